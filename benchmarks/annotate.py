"""Measure annotation beside the programs that people use today, in turn on one machine.

    # all parts, the bundled model
    python -m benchmarks.annotate
    # half a billion random weights
    python -m benchmarks.annotate --only transformers --model 0.5B
    # a quick look
    python -m benchmarks.annotate --only transformers --texts 32 --repeats 1

The parts lm_eval and vllm need these packages (see ``benchmarks/requirements.txt``). Times are
medians over the repeats; the range of a ratio over the repeats stands behind it.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence

import torch

from benchmarks import again, command, generate, harness, host, vllm_engine
from benchmarks.machine import Report, Row, machine_lines
from benchmarks.readers import Settings
from benchmarks.workload import SHAPES, model_folder

PARTS: dict[str, Callable[[Settings, str, Report], None]] = {
    "transformers": generate.against_generate,
    "lm_eval": harness.against_lm_eval,
    "vllm": vllm_engine.against_vllm,
    "memory": host.memory,
    "again": again.again,
}
_GPU_TEXTS = (4096, 64)  # of our side and of a slower side in one repeat
_CPU_TEXTS = (128, 8)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if a target was missed."""
    options = _parser().parse_args(arguments)
    if options.one_core:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    has_gpu = torch.cuda.is_available()
    texts, few = _GPU_TEXTS if has_gpu else _CPU_TEXTS
    texts = options.texts or texts
    settings = Settings(
        texts=texts,
        few=min(options.few or few, texts),
        repeats=options.repeats,
        price_hour=options.price_hour,
    )
    report = Report()
    lines = ["## Annotation", "", *machine_lines()]
    for model in options.model:
        with model_folder(model) as folder:
            for part in options.only:
                if part == "memory" and model != options.model[0]:  # it uses no model
                    continue
                sys.stderr.write(f"{part} ({model}) ...\n")
                PARTS[part](settings, folder, report)
                # The next part may be an engine that takes most of the GPU's memory.
                gc.collect()
                torch.cuda.empty_cache()
    if not has_gpu:
        measure = "1,000 labels on a GPU: seconds, price, share of its peak"
        report.rows.append(Row(measure, "not measured: no GPU"))
    return command.conclude(lines, report, options)


def _parser() -> argparse.ArgumentParser:
    parser = command.parser(__doc__, PARTS, repeats=3)
    parser.add_argument(
        "--model",
        type=lambda text: text.split(","),
        default=["bundled"],
        metavar="MODEL,...",
        help=f"models: bundled (135M), {', '.join(SHAPES)} (random weights of that shape), "
        "a local folder or a hub id",
    )
    parser.add_argument(
        "--one-core",
        action="store_true",
        help="use one core of the CPU (Linux): threads that wait for one another cost CPU seconds",
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
        "--price-hour",
        type=float,
        default=0.0,
        help="price of this machine for an hour, for the price of 1,000 labels on a GPU",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
