"""Measure predictions beside the pipeline of transformers, in turn on one machine.

    python -m benchmarks.predict
    python -m benchmarks.predict --texts 128 --repeats 1

Both read the texts of the bundled task, tokenisation included, in bf16 where the machine has it.
The pipeline gets the batch size that is fastest in a first try, and once more the texts sorted by
length, which it does not do itself. Seconds are those of all cores, with one thread for every
product: threads that wait for one another cost such seconds, too.
"""

from __future__ import annotations

import functools
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from benchmarks import command
from benchmarks.machine import (
    Peak,
    Report,
    alternate,
    cpu_seconds,
    machine_lines,
    matmul_peak,
    peak_share_row,
    speedup_row,
)
from project.config.task import TaskConfig
from project.data.task import load_task
from project.support.models import encoder_source, quiet_transformers
from project.training.classifier import Classifiers, SavedClassifier
from project.training.precision import DTYPES, precision

BATCH_SIZES = (1, 4, 8, 16, 32, 64)
MAX_LENGTH = 256
TARGET = 3.0
PEAK_TARGET = 0.7
_PEAKS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class Sides:
    """Both sides, with the same weights, texts and precision."""

    def __init__(self, folder: Path, texts: Sequence[str]) -> None:
        """``folder``: where the weights are written."""
        source = encoder_source("bundled", "main")
        with quiet_transformers():
            config = AutoConfig.from_pretrained(source.location, num_labels=4)
            model = AutoModelForSequenceClassification.from_pretrained(
                source.location, config=config
            )
            tokenizer = AutoTokenizer.from_pretrained(source.location)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        self.texts = list(texts)
        self.precision = precision("auto")
        saved = SavedClassifier("bundled", model=folder, tokenizer=folder, max_length=MAX_LENGTH)
        self._ours = Classifiers([saved], self.precision, 64)
        self._theirs: Any = transformers.pipeline(
            "text-classification",
            model=str(folder),
            tokenizer=tokenizer,
            dtype=DTYPES[self.precision],
            device=0 if torch.cuda.is_available() else -1,
        )

    def ours(self) -> np.ndarray:
        """Our classes."""
        return self._ours.classify(self.texts).probabilities[0].argmax(axis=1)

    def operations(self) -> float:
        """Floating point operations of the layers' products, without attention and padding."""
        model = self._theirs.model
        layers = sum(
            value.numel()
            for name, value in model.named_parameters()
            if value.ndim == 2 and "embeddings" not in name
        )
        read = self._theirs.tokenizer(self.texts, truncation=True, max_length=MAX_LENGTH)
        return 2.0 * layers * sum(len(ids) for ids in read["input_ids"])

    def theirs(self, texts: Sequence[str], batch_size: int) -> np.ndarray:
        """The pipeline's classes."""
        answers = self._theirs(
            list(texts), batch_size=batch_size, truncation=True, max_length=MAX_LENGTH
        )
        names = self._theirs.model.config.label2id
        return np.array([names[answer["label"]] for answer in answers])


def _first_try(sides: Sides, texts: Sequence[str]) -> dict[int, float]:
    """Seconds of the pipeline by batch size."""
    return {size: cpu_seconds(functools.partial(sides.theirs, texts, size)) for size in BATCH_SIZES}


def measure(sides: Sides, repeats: int, report: Report) -> None:
    """Add the rows and the notes to ``report``."""
    in_order = sorted(sides.texts, key=len)
    few = sides.texts[: max(16, len(sides.texts) // 4)]
    sides.theirs(few[:8], 8)
    first = _first_try(sides, few)
    first_sorted = _first_try(sides, sorted(few, key=len))
    best = min(first, key=lambda size: first[size])
    best_sorted = min(first_sorted, key=lambda size: first_sorted[size])
    sides.ours()
    times = alternate(
        {
            "ours": lambda _: cpu_seconds(sides.ours),
            "theirs": lambda _: cpu_seconds(lambda: sides.theirs(sides.texts, best)),
            "peak": lambda _: matmul_peak(_PEAKS[sides.precision], clock=cpu_seconds),
            "sorted": lambda _: cpu_seconds(lambda: sides.theirs(in_order, best_sorted)),
        },
        repeats,
    )
    n = len(sides.texts)
    report.rows += [
        # The strongest peer first: a skilled user sorts the texts.
        speedup_row(
            f"{n} texts against the pipeline, texts sorted by length, batch size {best_sorted}",
            times["ours"],
            times["sorted"],
            target=TARGET,
        ),
        speedup_row(
            f"{n} texts against the pipeline, batch size {best}",
            times["ours"],
            times["theirs"],
            target=None,
        ),
    ]
    peaks: list[Peak] = times["peak"]
    report.rows.append(
        peak_share_row(
            f"useful operations of predictions, {sides.precision}",
            sides.operations() / statistics.median(times["ours"]),
            peaks,
            PEAK_TARGET,
        )
    )
    same = float((sides.ours() == sides.theirs(sides.texts, best)).mean())
    report.notes.append(
        f"Both in {sides.precision}; {same:.1%} of the classes are the same (random head, so that "
        "classes are close)."
    )
    report.notes.append(
        "Batch sizes tried: " + ", ".join(f"{size}: {first[size]:.2f} s" for size in BATCH_SIZES)
    )


def main() -> int:
    """Measure, and return 1 if the target was missed."""
    parser = command.parser(__doc__, ["pipeline"], repeats=3)
    parser.add_argument("--texts", type=int, default=512, help="texts to predict")
    options = parser.parse_args()
    lines = ["# Predictions", "", *machine_lines()]
    torch.set_num_threads(1)
    report = Report()
    examples = load_task(TaskConfig()).examples["text"]
    with tempfile.TemporaryDirectory() as folder:
        sides = Sides(Path(folder), list(examples)[: options.texts])
        measure(sides, options.repeats, report)
    return command.conclude(lines, report, options)


if __name__ == "__main__":
    sys.exit(main())
