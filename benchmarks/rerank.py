"""Measure annotation with a cross-encoder beside the pipeline of transformers, in turn.

    python -m benchmarks.rerank
    python -m benchmarks.rerank --texts 16 --repeats 1

Both score the texts of the bundled task with its four labels, tokenisation included, in the same
dtype. The model is the bundled encoder with a random head, named like an NLI model's. The
pipeline ``zero-shot-classification`` gets the texts sorted by length, which it does not do itself,
and the batch size that is fastest in a first try; and once more with its default, one pair at a
time. Seconds are those of the CPU where there is no GPU, so that other work on the machine counts
little.
"""

from __future__ import annotations

import functools
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
from benchmarks.machine import Report, alternate, cpu_seconds, machine_lines, speedup_row
from project.annotation.engines.rerank.engine import RerankAnnotator
from project.annotation.pairs import pair_prompt
from project.config.annotation import AnnotateConfig
from project.config.prompt import PromptConfig
from project.config.task import TaskConfig
from project.data.task import load_task
from project.support.models import encoder_source, quiet_transformers

BATCH_SIZES = (1, 4, 8, 16, 32, 64)
DTYPES = ("float32", "bfloat16")
OUTPUTS = {0: "contradiction", 1: "neutral", 2: "entailment"}


class Sides:
    """Both sides, with the same weights, texts and dtype."""

    def __init__(self, folder: Path, texts: Sequence[str], dtype: str) -> None:
        """``folder``: with the model."""
        self.texts = sorted(texts, key=len)
        card = load_task(TaskConfig()).card
        self._prompt = pair_prompt(PromptConfig(), card)
        self._labels = list(card.labels)
        self._ours = RerankAnnotator(
            AnnotateConfig("rerank", str(folder), annotator_dtype=dtype, calibration="none")
        )
        self._theirs: Any = transformers.pipeline(
            "zero-shot-classification",
            model=str(folder),
            dtype=getattr(torch, dtype),
            device=0 if torch.cuda.is_available() else -1,
        )

    def ours(self) -> np.ndarray:
        """Our probabilities ``(n, n_labels)``, shard by shard as in an annotation."""
        size = self._ours.shard_size
        parts = [
            self._ours.read(self._prompt, self.texts[start : start + size]).log_probabilities
            for start in range(0, len(self.texts), size)
        ]
        return np.exp(np.concatenate(parts))

    def theirs(self, n: int, batch_size: int) -> np.ndarray:
        """The pipeline's probabilities of ``n`` texts, evenly taken."""
        texts = self.texts[:: max(1, len(self.texts) // n)]
        answers = self._theirs(texts, candidate_labels=self._labels, batch_size=batch_size)
        rows = [dict(zip(each["labels"], each["scores"], strict=True)) for each in answers]
        return np.array([[row[label] for label in self._labels] for row in rows])


def measure(sides: Sides, dtype: str, repeats: int, report: Report) -> None:
    """Add the rows and the notes of one dtype to ``report``."""
    n = len(sides.texts)
    sides.ours()
    sides.theirs(4, 4)
    few = max(8, n // 4)
    first = {size: cpu_seconds(functools.partial(sides.theirs, few, size)) for size in BATCH_SIZES}
    best = min(first, key=lambda size: first[size])
    times = alternate(
        {
            "ours": lambda _: cpu_seconds(sides.ours),
            "theirs": lambda _: cpu_seconds(lambda: sides.theirs(n, best)),
            "default": lambda _: cpu_seconds(lambda: sides.theirs(n, 1)),
        },
        repeats,
    )
    kind = "seconds" if torch.cuda.is_available() else "CPU seconds"
    what = f"{dtype}, {n} texts with 4 labels, {kind}"
    for side, setting in (
        ("theirs", f"texts sorted by length, batch size {best}"),
        ("default", "its default, one pair at a time"),
    ):
        against = times[side]
        report.rows.append(
            speedup_row(
                f"{what}, against the pipeline, {setting}", times["ours"], against, target=None
            )
        )
    moved = float(np.abs(sides.ours() - sides.theirs(n, best)).max())
    report.notes.append(f"{dtype}: the probabilities of both differ by at most {moved:.1e}.")
    report.notes.append(
        f"{dtype}, batch sizes tried: "
        + ", ".join(f"{size}: {first[size]:.2f} s" for size in BATCH_SIZES)
    )


def save_model(folder: Path) -> None:
    """Write the bundled encoder with a random head of three outputs to ``folder``."""
    source = encoder_source("bundled", "main")
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(0)
        config = AutoConfig.from_pretrained(
            source.location,
            id2label=OUTPUTS,
            label2id={name: index for index, name in OUTPUTS.items()},
        )
        model = AutoModelForSequenceClassification.from_pretrained(source.location, config=config)
        tokenizer = AutoTokenizer.from_pretrained(source.location)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> int:
    """Measure, and print the report."""
    parser = command.parser(__doc__, DTYPES, repeats=5)
    parser.add_argument("--texts", type=int, default=128, help="texts to label")
    options = parser.parse_args()
    lines = ["# Annotation with a cross-encoder", "", *machine_lines()]
    report = Report()
    texts = list(load_task(TaskConfig()).examples["text"])[: options.texts]
    with tempfile.TemporaryDirectory() as name:
        save_model(Path(name))
        for dtype in options.only:
            measure(Sides(Path(name), texts, dtype), dtype, options.repeats, report)
    return command.conclude(lines, report, options)


if __name__ == "__main__":
    sys.exit(main())
