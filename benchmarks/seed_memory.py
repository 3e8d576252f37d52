"""The memory that a training takes on a CPU, beside the estimate that decides how many run at once.

    python -m benchmarks.seed_memory                    # 5 minutes, 4 GB of memory
    python -m benchmarks.seed_memory --only bundled

Each training runs in a process of its own, in one thread, and takes two steps of two epochs.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks import command
from benchmarks.machine import Report, Row, machine_lines
from benchmarks.training_work import one_epoch, training_work
from project.support.machine import keep_freed_memory
from project.training.checkpoint import Checkpoint
from project.training.loop import train
from project.training.seed_memory import PROCESS_BYTES, batch_bytes

_CHILD = "child"


class _Shape(NamedTuple):
    """A training: the model, tokens of every text, precision, texts of a mini-batch."""

    model: str
    length: int
    precision: str
    batch: int


_SHAPES = [
    *(_Shape("bundled", length, "fp32", 16) for length in (8, 42, 256)),
    _Shape("bundled", 256, "bf16", 16),
    *(_Shape("roberta-base", 8, kind, 4) for kind in ("fp32", "bf16")),
    *(_Shape("roberta-base", 256, kind, 4) for kind in ("fp32", "bf16")),
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if an estimate is below what was measured."""
    options = command.parser(__doc__, dict.fromkeys(shape.model for shape in _SHAPES))
    chosen = options.parse_args(arguments)
    report = Report()
    for shape in _SHAPES:
        if shape.model in chosen.only:
            report.rows.append(_row(shape))
    return command.conclude(["## Memory of a seed", "", *machine_lines()], report, chosen.out)


def _row(shape: _Shape) -> Row:
    """The peak of one training beside its estimate."""
    with tempfile.TemporaryDirectory() as folder:
        # The random weights are made here, so that they do not count as memory of the training.
        training_work(Path(folder), shape.model, 2 * shape.batch, length=shape.length)
        child = subprocess.run(
            [sys.executable, "-m", "benchmarks.seed_memory", _CHILD, folder, *map(str, shape)],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[1],
        )
    peak, estimate = json.loads(child.stdout.splitlines()[-1])
    return Row(
        f"{shape.model}, {shape.precision}: {shape.batch} texts of {shape.length} tokens, peak",
        f"{peak / 2**20:,.0f} MiB",
        f"estimate {estimate / 2**20:,.0f} MiB",
        f"{estimate / peak - 1:+.0%}",
        target=">= 0%",
        met=estimate >= peak,
    )


def _train(folder: Path, shape: _Shape) -> tuple[int, int]:
    """The peak of this process after a training, and the estimate, in bytes."""
    torch.set_num_threads(1)
    keep_freed_memory()
    work = training_work(folder, shape.model, 2 * shape.batch, length=shape.length)
    encoder = work.encoder(shape.precision)
    config = dataclasses.replace(one_epoch(), train_batch_size=shape.batch, epochs=2)
    inputs = work.inputs()
    train(
        encoder,
        config,
        inputs,
        seed=0,
        checkpoint=Checkpoint(folder / "none.safetensors", "none", 1e9),
        after_evaluation=lambda evaluation: None,
    )
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    lengths = work.tokens.lengths(inputs.phases[0].indices)
    model = encoder.training_bytes(config)
    return peak, PROCESS_BYTES + model + batch_bytes(encoder.shape, lengths, config)


if __name__ == "__main__":
    if sys.argv[1:2] == [_CHILD]:
        at, model, length, kind, batch = sys.argv[2:]
        found = _train(Path(at), _Shape(model, int(length), kind, int(batch)))
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.exit(main())
