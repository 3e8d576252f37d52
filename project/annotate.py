"""An annotator over examples x demonstration sets -> annotations: shards on disk, resume, calibration."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from project.annotators import Annotator
from project.errors import AssayError
from project.prompt import Prompt
from project.stats.information import divide_by_prior, log_mean
from project.tables import RAW_LOG_PROBABILITY, check, class_columns, digest, read_table, with_class_columns, write_table

READING = 1  # to be raised when the code comes to read other answers: answers on disk are then asked for anew
SHARD = 64  # texts between two writes to disk: what a crash can cost
CONTENT_FREE = ("N/A", "", "[MASK]")
"""Inputs without content, for contextual calibration: Zhao et al. (2021), section 5."""

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Annotations:
    """One draw over one split. ``digest`` names everything that could change an answer; ``reused`` of ``len(table)`` were on disk."""

    table: pd.DataFrame
    prompt: Prompt
    digest: str
    reused: int
    seconds: float
    prompt_tokens: int


def annotation_digest(annotator: Annotator, prompt: Prompt, examples: pd.DataFrame) -> str:
    """Identity of the answers of ``annotator`` to ``examples`` under ``prompt``, before calibration."""
    return digest(
        {
            "reading": READING,
            "annotator": dict(annotator.identity),
            "prompt": [prompt.before, prompt.after, *prompt.answers],
            "examples": [list(examples["example_id"]), list(examples["text"])],
        }
    )


def annotate(
    annotator: Annotator, prompt: Prompt, examples: pd.DataFrame, label_set: Sequence[str],
    *, calibration: str, folder: Path, progress: Progress,
) -> Annotations:  # fmt: skip
    """Annotate every row of ``examples`` under ``prompt``; answers already in ``folder`` are not asked for again.

    Every shard of answers is on disk, below ``folder / digest``, before the next one is asked for. ``progress`` is called
    with the number of texts done since its last call. ``calibration`` is applied to the whole split at the end.
    """
    name = annotation_digest(annotator, prompt, examples)
    shards, reused = [], 0
    for start in range(0, len(examples), SHARD):
        part = examples.iloc[start : start + SHARD]
        path = folder / name / f"shard-{start // SHARD:05d}.parquet"
        if path.is_file():
            reused += len(part)
        else:
            write_table(path, _answers(annotator, prompt, part, label_set))
        shards.append(read_table(path))
        progress(len(part))
    raw = pd.concat(shards, ignore_index=True).assign(draw=prompt.draw)
    prior = None
    if calibration == "contextual":
        prior = _content_free_prior(annotator, prompt, label_set, folder / name / "content-free.parquet")
    table = calibrate(raw, label_set, calibration, prior)
    check("annotations", table, label_set)
    return Annotations(table, prompt, name, reused, float(raw["seconds"].sum()), int(raw["prompt_tokens"].sum()))


def calibrate(raw: pd.DataFrame, label_set: Sequence[str], calibration: str, log_prior: np.ndarray | None = None) -> pd.DataFrame:
    """The annotations table of raw answers: class probabilities divided by a prior, the label their argmax (ties: the first class).

    ``batch`` takes the prior from ``raw`` itself, one draw over one split; ``contextual`` needs ``log_prior``.
    """
    values = class_columns(raw, label_set, RAW_LOG_PROBABILITY)
    if calibration == "batch":
        values = divide_by_prior(values, log_mean(values))
    elif calibration == "contextual":
        assert log_prior is not None  # noqa: S101  (annotate() computes it)
        values = divide_by_prior(values, log_prior)
    elif calibration != "none":
        raise AssayError(f"calibration must be one of none, contextual, batch; got {calibration!r}.")
    labels = np.array(list(label_set), dtype=object)[values.argmax(axis=1)]
    kept = raw.drop(columns=["seconds", "prompt_tokens"])
    return with_class_columns(kept.assign(label=labels), values, label_set)


def _answers(annotator: Annotator, prompt: Prompt, part: pd.DataFrame, label_set: Sequence[str]) -> pd.DataFrame:
    began = time.perf_counter()
    answers = annotator.read(prompt, list(part["text"]))
    if not np.isfinite(answers.log_probabilities).all():
        raise AssayError(
            f"{annotator.name} gave log probabilities that are not numbers for a text near example {part['example_id'].iloc[0]!r}. "
            "Try -P annotator_dtype=float32."
        )
    table = pd.DataFrame(
        {
            "example_id": list(part["example_id"]), "draw": prompt.draw, "label_mass": answers.label_mass, "truncated": answers.truncated,
            "error": pd.Series([None] * len(part), dtype="str"), "prompt_tokens": answers.prompt_tokens,
            "seconds": (time.perf_counter() - began) / len(part),
        }
    )  # fmt: skip
    return with_class_columns(table, answers.log_probabilities, label_set, RAW_LOG_PROBABILITY)


def _content_free_prior(annotator: Annotator, prompt: Prompt, label_set: Sequence[str], path: Path) -> np.ndarray:
    """Log of the mean distribution over the content-free inputs under ``prompt``; asked for once."""
    if not path.is_file():
        inputs = pd.DataFrame({"example_id": [f"content-free-{i}" for i in range(len(CONTENT_FREE))], "text": list(CONTENT_FREE)})
        write_table(path, _answers(annotator, prompt, inputs, label_set))
    return log_mean(class_columns(read_table(path), label_set, RAW_LOG_PROBABILITY))
