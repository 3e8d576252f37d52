"""The memory that a training takes on a CPU, beside the estimate that decides how many run at once.

    python -m benchmarks.seed_memory                    # 12 minutes, 4 GB of memory
    python -m benchmarks.seed_memory --only bundled

Each training runs in a process of its own, in one thread, and takes two steps of two epochs. The
last row is a process that trains six times on texts of mixed lengths.
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
from benchmarks.training_work import Work, one_epoch, training_work
from project.support.machine import set_memory_limits
from project.training.checkpoint import Checkpoint
from project.training.loop import train
from project.training.seed_memory import PROCESS_BYTES, batch_bytes

_CHILD = "child"


class _Shape(NamedTuple):
    """A training: the model, tokens of every text, precision, texts of a mini-batch and in all.

    ``length`` 0: of random lengths. ``trainings``: how many the process trains one after the other.
    """

    model: str
    length: int
    precision: str
    batch: int
    texts: int
    trainings: int = 1

    @property
    def name(self) -> str:
        """What the report calls it."""
        lengths = f"{self.length}" if self.length else "4 to 256"
        times = f", {self.trainings} trainings" if self.trainings > 1 else ""
        return f"{self.model}, {self.precision}: {self.batch} texts of {lengths} tokens{times}"


_SHAPES = [
    *(_Shape("bundled", length, "fp32", 16, 32) for length in (8, 42, 256)),
    _Shape("bundled", 256, "bf16", 16, 32),
    *(_Shape("roberta-base", 8, kind, 4, 8) for kind in ("fp32", "bf16")),
    *(_Shape("roberta-base", 256, kind, 4, 8) for kind in ("fp32", "bf16")),
    _Shape("bundled", 0, "bf16", 16, 400, trainings=6),
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if an estimate is below what was measured."""
    options = command.parser(__doc__, dict.fromkeys(shape.model for shape in _SHAPES))
    chosen = options.parse_args(arguments)
    report = Report()
    for shape in _SHAPES:
        if shape.model in chosen.only:
            report.rows.append(_row(shape))
    return command.conclude(["## Memory of a seed", "", *machine_lines()], report, chosen)


def _row(shape: _Shape) -> Row:
    """The peak of one training beside its estimate."""
    with tempfile.TemporaryDirectory() as folder:
        # The random weights are made here, so that they do not count as memory of the training.
        _work(Path(folder), shape)
        child = subprocess.run(
            [sys.executable, "-m", "benchmarks.seed_memory", _CHILD, folder, *map(str, shape)],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[1],
        )
    peak, estimate = json.loads(child.stdout.splitlines()[-1])
    return Row(
        f"{shape.name}, peak",
        f"{peak / 2**20:,.0f} MiB",
        f"estimate {estimate / 2**20:,.0f} MiB",
        f"{estimate / peak - 1:+.0%}",
        target=">= 0%",
        met=estimate >= peak,
    )


def _work(folder: Path, shape: _Shape) -> Work:
    """The texts and the model of a training."""
    return training_work(folder, shape.model, shape.texts, length=shape.length or None)


def _train(folder: Path, shape: _Shape) -> tuple[int, int]:
    """The peak of this process after a training, and the estimate, in bytes."""
    torch.set_num_threads(1)
    set_memory_limits()
    work = _work(folder, shape)
    encoder = work.encoder(shape.precision)
    config = dataclasses.replace(one_epoch(), train_batch_size=shape.batch, epochs=2)
    inputs = work.inputs()
    for seed in range(shape.trainings):
        train(
            encoder,
            config,
            inputs,
            seed=seed,
            checkpoint=Checkpoint(folder / f"{seed}.safetensors", "none", 1e9),
            after_evaluation=lambda evaluation: None,
        )
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    lengths = work.tokens.lengths(inputs.phases[0].indices)
    model = encoder.training_bytes(config)
    return peak, PROCESS_BYTES + model + batch_bytes(encoder.shape, lengths, config)


if __name__ == "__main__":
    if sys.argv[1:2] == [_CHILD]:
        at, model, length, kind, *counts = sys.argv[2:]
        found = _train(Path(at), _Shape(model, int(length), kind, *map(int, counts)))
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.exit(main())
