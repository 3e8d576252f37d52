"""Measure annotation against what people use today: both sides in one run, on one machine, in turn.

    python -m benchmarks.annotate                                              # all parts, the bundled model
    python -m benchmarks.annotate --only transformers --model 0.5B             # half a billion random weights
    python -m benchmarks.annotate --only transformers --texts 32 --repeats 1   # a quick look

What lm_eval and vllm are compared with is measured where these packages are installed (see ``benchmarks/requirements.txt``).
Times are medians over the repeats; behind a ratio stands its range over the repeats.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks import again, engines, host, vllm_engine
from benchmarks.command import conclude, names
from benchmarks.engines import Settings
from benchmarks.machine import Report, Row, describe
from benchmarks.workload import SHAPES, model_folder

PARTS: dict[str, Callable[[Settings, str, Report], None]] = {
    "transformers": engines.against_generate,
    "lm_eval": engines.against_lm_eval,
    "vllm": vllm_engine.against_vllm,
    "memory": host.memory,
    "again": again.again,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit status whether every target was met."""
    options = _parser().parse_args(arguments)
    texts, few = (4096, 64) if torch.cuda.is_available() else (128, 8)
    settings = Settings(
        options.texts or texts, options.few or few, options.repeats, options.price_hour
    )
    settings = settings._replace(few=min(settings.few, settings.texts))
    report = Report()
    lines = ["## Annotation", "", *describe()]
    for model in options.model:
        with model_folder(model) as folder:
            for part in options.only:
                if part == "memory" and model != options.model[0]:  # no model takes part in it
                    continue
                sys.stderr.write(f"{part} ({model}) ...\n")
                PARTS[part](settings, folder, report)
                gc.collect()
                torch.cuda.empty_cache()  # the next part may be an engine that wants most of the GPU
    if not torch.cuda.is_available():
        report.rows.append(
            Row("1,000 labels on a GPU: seconds, price, share of its peak", "not measured: no GPU")
        )
    return conclude(lines, report, options.out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        type=names(tuple(PARTS)),
        default=list(PARTS),
        metavar="PART,...",
        help=f"parts to run: {', '.join(PARTS)}",
    )
    parser.add_argument(
        "--model",
        type=lambda text: text.split(","),
        default=["bundled"],
        metavar="MODEL,...",
        help=f"models: bundled (135M), {', '.join(SHAPES)} (random weights of that shape), a local folder or a hub id",
    )
    parser.add_argument(
        "--texts",
        type=int,
        help="texts that our side reads in a repeat; 128 on a CPU, 4096 on a GPU",
    )
    parser.add_argument(
        "--few",
        type=int,
        help="texts that a slower side reads in a repeat; 8 on a CPU, 64 on a GPU",
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="repeats, each with a prompt of its own"
    )
    parser.add_argument(
        "--price-hour",
        type=float,
        default=0.0,
        help="price of this machine for an hour, for the price of 1,000 labels on a GPU",
    )
    parser.add_argument("--out", type=Path, help="file to write the report to as well")
    return parser


if __name__ == "__main__":
    sys.exit(main())
