"""Measure fine-tuning against transformers' Trainer: both sides in one run, on one machine, in turn.

    python -m benchmarks.finetune                                # all parts: an hour on two cores
    python -m benchmarks.finetune --only epoch --texts 64        # a shorter epoch
    python -m benchmarks.finetune --only seeds --repeats 1

Times are medians over the repeats; behind a ratio stands its range over the repeats.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.command import conclude, names
from benchmarks.machine import (
    Report,
    Row,
    describe,
    faster,
    gemm_peak,
    in_turn,
    share_of_peak,
    wall,
)
from benchmarks.training import (
    LONGEST,
    MEDIAN,
    SIGMA,
    Work,
    logged_seeds,
    our_epoch,
    our_seeds,
    their_epoch,
    their_seeds,
    workload,
)
from project.support.machine import cpu_cores
from project.training.encoder import precision
from project.training.workers import default_workers

SEEDS = 5
BYTES_OF_A_STEP = 28  # AdamW in float32 reads weight, gradient and two moments of every parameter and writes all but the gradient
_DTYPE = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class Settings(NamedTuple):
    """``texts`` in an epoch; ``repeats`` of everything."""

    texts: int
    repeats: int


def epoch(settings: Settings, work: Work, report: Report) -> None:
    """One epoch of roberta-base's shape against the Trainer with either padding."""
    torch.set_num_threads(cpu_cores())
    ours = {
        kind: functools.partial(_repeat, our_epoch, work, kind)
        for kind in dict.fromkeys([precision("auto"), "fp32"])
    }
    theirs = {
        kind: functools.partial(_repeat, their_epoch, work, kind)
        for kind in ("max_length", "longest")
    }
    found = in_turn({**ours, **theirs}, settings.repeats)
    kind = "fp16" if torch.cuda.is_available() else "fp32"
    for padding, words, target in (
        ("max_length", f"padding to {LONGEST}", 5.0),
        ("longest", "dynamic padding", 1.8),
    ):
        for index, own in enumerate(ours):
            measure = f"{work.name}: one epoch of {work.n} texts, {own}, against Trainer in {kind} with {words}"
            report.rows.append(
                faster(measure, found[own], found[padding], target=None if index else target)
            )
    report.rows.append(_work_done(work, found[next(iter(ours))], next(iter(ours))))


def seeds(settings: Settings, work: Work, report: Report) -> None:
    """Five seeds side by side against the Trainer five times in a row, dynamic padding."""
    cuda, own = torch.cuda.is_available(), precision("auto")
    workers = default_workers(work.encoder(own).weight_bytes)
    torch.set_num_threads(cpu_cores())
    sides: dict[str, Callable[[int], float]] = {
        "ours": functools.partial(_repeat, our_seeds, work, own, SEEDS, workers),
        "theirs": functools.partial(_repeat, their_seeds, work, SEEDS),
    }
    if not cuda and own != "fp32":
        sides["fp32"] = functools.partial(_repeat, our_seeds, work, "fp32", SEEDS, workers)
    found = in_turn(sides, settings.repeats)
    kind, where = ("fp16", "one GPU") if cuda else ("fp32", f"{cpu_cores()} cores")
    measure = f"{work.name}: {SEEDS} seeds of {work.n} texts on {where}, {workers} at once, {{}}, against Trainer in {kind}, dynamic padding"
    report.rows.append(
        faster(measure.format(own), found["ours"], found["theirs"], target=4.0 if cuda else 2.5)
    )
    if "fp32" in found:
        report.rows.append(
            faster(measure.format("fp32"), found["fp32"], found["theirs"], target=None)
        )
    if cuda:
        report.rows.append(_share_of_limit(work, found["ours"], own))


def tracking(settings: Settings, work: Work, report: Report) -> None:
    """What logging a seed's run takes, against the seed's training, as both are done in an experiment on the embedded task."""
    del settings
    seconds, trained = logged_seeds(work.folder, SEEDS)
    median, most = statistics.median(seconds), max(0.01 * trained / SEEDS, 0.15)
    measure = f"logging one of {SEEDS} seeds (run, labels, predictions, epochs) to sqlite"
    row = Row(
        measure,
        f"{median * 1000:.0f} ms",
        f"{trained / SEEDS:.1f} s of training",
        f"{median * SEEDS / trained:.1%}",
        f"<= {most * 1000:.0f} ms",
    )
    report.rows.append(row._replace(met=median <= most))


def _repeat(side: Callable[..., float], *arguments: object) -> float:
    """``side`` without the number of the repeat, which comes last."""
    return side(*arguments[:-1])


def _work_done(work: Work, seconds: Sequence[float], kind: str) -> Row:
    """Useful operations a second: 6 x weights of the layers x tokens, attention and padding not counted, of the peak of matrix products."""
    weights, _ = work.weights()
    rate = 6 * weights * work.n_tokens / statistics.median(seconds)
    return share_of_peak(
        f"{work.name}: useful operations of training, {kind}", rate, [gemm_peak(_DTYPE[kind])], None
    )


def _share_of_limit(work: Work, seconds: Sequence[float], kind: str) -> Row:
    """The least time that operations and AdamW's memory traffic take on this GPU, as a share of the time taken."""
    weights, everything = work.weights()
    steps = -(-work.n // 16)
    buffer = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    bandwidth = 2 * len(buffer) / min(wall(buffer.clone) for _ in range(5))
    limit = SEEDS * (
        6 * weights * work.n_tokens / gemm_peak(_DTYPE[kind]).rate
        + steps * BYTES_OF_A_STEP * everything / bandwidth
    )
    share = limit / statistics.median(seconds)
    return Row(
        f"{work.name}: {SEEDS} seeds, share of this GPU's limit",
        f"{statistics.median(seconds):.3g} s",
        f"limit {limit:.3g} s",
        f"{share:.0%}",
    )


PARTS: dict[str, tuple[Callable[[Settings, Work, Report], None], str]] = {
    "epoch": (epoch, "roberta-base"),
    "seeds": (seeds, "bundled"),
    "gpu": (seeds, "roberta-base"),
    "tracking": (tracking, "bundled"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit status whether every target was met."""
    options = _parser().parse_args(arguments)
    report = Report()
    lines = ["## Fine-tuning", "", *describe()]
    for name in options.only:
        part, model = PARTS[name]
        if name == "gpu" and not torch.cuda.is_available():
            report.rows.append(
                Row(
                    f"{SEEDS} seeds of roberta-base on one GPU",
                    "not measured: no GPU",
                    target=">= 4×",
                )
            )
            continue
        sys.stderr.write(f"{name} ...\n")
        with tempfile.TemporaryDirectory() as folder:
            part(
                Settings(options.texts, options.repeats),
                workload(Path(folder), model, options.texts),
                report,
            )
    report.notes.append(
        f"texts: random token ids, log-normal length (median {MEDIAN}, sigma {SIGMA}, at most {LONGEST}), mini-batches of 16 drawn at random on both "
        "sides, one epoch, the paper's recipe. An epoch: training alone. Seeds: loading, training, evaluation, predictions; for ours the start of "
        "its processes too, while the Trainer's libraries are loaded already."
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
    parser.add_argument("--texts", type=int, default=512, help="texts of an epoch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="file to write the report to as well")
    return parser


if __name__ == "__main__":
    sys.exit(main())
