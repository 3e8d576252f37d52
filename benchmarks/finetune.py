"""Measure fine-tuning beside what users write, in the same dtype and in turn on one machine.

The strongest peer is a loop of twenty lines (:mod:`benchmarks.plain_loop`); the usual one is the
Trainer of transformers with texts of like length in a batch.

    python -m benchmarks.finetune                                # all parts: half an hour
    python -m benchmarks.finetune --only epoch --texts 64        # a shorter epoch
    python -m benchmarks.finetune --only seeds --repeats 1

Times are medians over the repeats; the range of a ratio over the repeats stands behind it.
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

from benchmarks import command
from benchmarks.machine import (
    Report,
    Row,
    alternate,
    machine_lines,
    matmul_peak,
    peak_share_row,
    seconds_of,
    speedup_row,
)
from benchmarks.plain_loop import BATCH_SIZE, plain_epoch
from benchmarks.training import (
    logged_seeds,
    our_epoch,
    our_seeds,
    seed_jobs,
    their_epoch,
    their_seeds,
)
from benchmarks.training_work import (
    MAX_LENGTH,
    MEDIAN_LENGTH,
    SIGMA,
    Work,
    training_work,
)
from project.support.machine import cpu_cores
from project.training.precision import precision
from project.training.worker_counts import worker_count

SEEDS = 5
# AdamW in float32 reads weight, gradient and two moments of every parameter, and writes all of
# them but the gradient.
BYTES_PER_STEP = 28
LOOP_TARGET = 1.8
PEAK_TARGET = 0.6
MAX_LOGGING_SHARE = 0.01  # of a seed's training
MIN_LOGGING_LIMIT = 0.15  # seconds that logging a seed may always take

_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class Settings(NamedTuple):
    """``texts`` in an epoch, and ``repeats`` of each measurement."""

    texts: int
    repeats: int


def epoch(settings: Settings, work: Work, report: Report) -> None:
    """One epoch beside the loop and the Trainer, in the fastest precision and in float32.

    On a CPU with one thread on every side, as when seeds train side by side.
    """
    torch.set_num_threads(1)
    kinds = list(dict.fromkeys([precision("auto"), "fp32"]))
    sides: dict[str, Callable[[int], float]] = {}
    for kind in kinds:
        sides[kind] = functools.partial(_repeat, our_epoch, work, kind)
        sides[f"loop {kind}"] = functools.partial(_repeat, plain_epoch, work, kind, seconds_of)
        sides[f"Trainer {kind}"] = functools.partial(_repeat, their_epoch, work, kind)
    for side in sides.values():  # the first epoch also pays for the choice of kernels
        side(0)
    seconds = alternate(sides, settings.repeats)
    for peer, words in (
        ("loop", "a loop of twenty lines with texts of like length"),
        ("Trainer", "Trainer with texts of like length"),
    ):
        for kind in kinds:
            measure = f"{work.name}: one epoch of {work.n} texts, {kind}, against {words}"
            target = LOOP_TARGET if peer == "loop" and kind == kinds[0] else None
            report.rows.append(
                speedup_row(measure, seconds[kind], seconds[f"{peer} {kind}"], target=target)
            )
    report.rows.append(_peak_row(work, seconds[kinds[0]], kinds[0]))


def seeds(settings: Settings, work: Work, report: Report) -> None:
    """Five seeds side by side, beside the Trainer five times in a row in the same precision."""
    has_gpu = torch.cuda.is_available()
    kind = precision("auto")
    workers = worker_count(None, seed_jobs(work, kind, SEEDS)).n
    torch.set_num_threads(cpu_cores())
    sides: dict[str, Callable[[int], float]] = {
        "ours": functools.partial(_repeat, our_seeds, work, kind, SEEDS, workers),
        "theirs": functools.partial(_repeat, their_seeds, work, kind, SEEDS),
    }
    seconds = alternate(sides, settings.repeats)

    machine = "one GPU" if has_gpu else f"{cpu_cores()} cores"
    before = f"{work.name}: {SEEDS} seeds of {work.n} texts on {machine}, {workers} at once"
    measure = f"{before}, {kind}, against Trainer one after another, texts of like length"
    report.rows.append(speedup_row(measure, seconds["ours"], seconds["theirs"], target=None))
    if has_gpu:
        report.rows.append(_limit_row(work, seconds["ours"], kind))


def tracking(settings: Settings, work: Work, report: Report) -> None:
    """Logging a seed's run, beside the training of a seed, in an experiment on the bundled task."""
    del settings
    measured = logged_seeds(work.folder, SEEDS)
    median = statistics.median(measured.logging)
    limit = max(MAX_LOGGING_SHARE * measured.training / SEEDS, MIN_LOGGING_LIMIT)
    report.rows.append(
        Row(
            f"logging one of {SEEDS} seeds (run, labels, predictions, epochs) to sqlite",
            f"{median * 1000:.0f} ms",
            f"{measured.training / SEEDS:.1f} s of training",
            f"{median * SEEDS / measured.training:.1%}",
            target=f"<= {limit * 1000:.0f} ms",
            met=median <= limit,
        )
    )


def _repeat(side: Callable[..., float], *arguments: object) -> float:
    """``side`` without the number of the repeat, which is the last argument."""
    return side(*arguments[:-1])


def _peak_row(work: Work, seconds: Sequence[float], kind: str) -> Row:
    """Useful operations per second as a share of the machine's peak.

    Counted: 6 × weights of the layers × tokens. Not counted: attention and padding.
    """
    rate = 6 * work.weights().layers * work.n_tokens / statistics.median(seconds)
    measure = f"{work.name}: useful operations of training, {kind}"
    return peak_share_row(measure, rate, [matmul_peak(_DTYPES[kind])], PEAK_TARGET)


def _limit_row(work: Work, seconds: Sequence[float], kind: str) -> Row:
    """The least time of the operations and of AdamW's memory traffic on this GPU."""
    weights = work.weights()
    n_steps = -(-work.n // BATCH_SIZE)
    buffer = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    bandwidth = 2 * len(buffer) / min(seconds_of(buffer.clone) for _ in range(5))
    computing = 6 * weights.layers * work.n_tokens / matmul_peak(_DTYPES[kind]).rate
    moving = n_steps * BYTES_PER_STEP * weights.total / bandwidth
    limit = SEEDS * (computing + moving)
    median = statistics.median(seconds)
    return Row(
        f"{work.name}: {SEEDS} seeds, share of this GPU's limit",
        f"{median:.3g} s",
        f"limit {limit:.3g} s",
        f"{limit / median:.0%}",
    )


PARTS: dict[str, tuple[Callable[[Settings, Work, Report], None], str]] = {
    "epoch": (epoch, "bundled"),
    "seeds": (seeds, "bundled"),
    "gpu": (seeds, "roberta-base"),
    "tracking": (tracking, "bundled"),
}
"""For each part what measures it, and its model."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if a target was missed."""
    options = _parser().parse_args(arguments)
    report = Report()
    lines = ["## Fine-tuning", "", *machine_lines()]
    for name in options.only:
        part, model = PARTS[name]
        if name == "gpu" and not torch.cuda.is_available():
            measure = f"{SEEDS} seeds of roberta-base on one GPU"
            report.rows.append(Row(measure, "not measured: no GPU"))
            continue
        sys.stderr.write(f"{name} ...\n")
        with tempfile.TemporaryDirectory() as folder:
            work = training_work(Path(folder), model, options.texts)
            part(Settings(options.texts, options.repeats), work, report)
    report.notes.append(
        f"texts: random token ids, log-normal length (median {MEDIAN_LENGTH}, sigma {SIGMA}, at "
        f"most {MAX_LENGTH}), mini-batches of {BATCH_SIZE} drawn at random on both sides, one "
        "epoch, the paper's recipe. An epoch: training alone. Seeds: loading, training, "
        "evaluation, predictions; for ours the start of its processes too, while the Trainer's "
        "libraries are loaded already."
    )
    return command.conclude(lines, report, options)


def _parser() -> argparse.ArgumentParser:
    parser = command.parser(__doc__, PARTS, repeats=3)
    parser.add_argument("--texts", type=int, default=512, help="texts of an epoch")
    return parser


if __name__ == "__main__":
    sys.exit(main())
