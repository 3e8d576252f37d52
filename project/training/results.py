"""One seed as a job, and what it leaves on disk: predictions, history, perhaps the model."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from project.config.finetune import FinetuneConfig
from project.config.recipe import Schedule
from project.data.tables import SourceRun, check
from project.stats.types import Codes
from project.support.checksums import damaged_files, report_damage, seal
from project.support.files import new_folder, write_atomically
from project.support.parquet import read_table, write_table
from project.training.encoder import Encoder
from project.training.history import Evaluation
from project.training.inputs import TrainingInputs, schedules

PREDICTIONS = "predictions.parquet"
RESULT = "result.json"
MODEL = "model"
SOURCE = "source.json"


class Stack(NamedTuple):
    """Seeds that are trained at once on stacked weights, and the identity of all together."""

    seeds: tuple[int, ...]
    digest: str


class OneEncoder(NamedTuple):
    """The training of one encoder for all labels of a task, of which a job reads one.

    Attributes
    ----------
    digest
        Identity of the training.
    inputs
        What the encoder learns: all labels.
    place
        Index of the job's label among the outputs.
    """

    digest: str
    inputs: TrainingInputs
    place: int


@dataclass(frozen=True)
class Job:
    """One (arm, seed): everything that a worker process needs.

    Attributes
    ----------
    arm
        Name of the arm, for messages.
    seed
        The seed.
    digest
        Identity of everything that can change the predictions; the name of the result's folder.
    encoder, config, inputs
        What is trained, how, and on what.
    test_indices, test_ids
        Indices of the predicted texts in the tokens, and their ids.
    label_set
        All labels, in the task's order.
    keep_model
        Whether the trained model is kept in the result's folder, as ``save_pretrained`` writes it.
    stack
        The seeds that are trained together with this one; None: it is trained alone.
    one_encoder
        The encoder that learns this label with others; None: the label has one of its own.
    parts
        Of the training of such an encoder: the jobs whose results it writes, by ``place``.
    """

    arm: str
    seed: int
    digest: str
    encoder: Encoder
    config: FinetuneConfig
    inputs: TrainingInputs
    test_indices: Codes
    test_ids: tuple[str, ...]
    label_set: tuple[str, ...]
    keep_model: bool = False
    stack: Stack | None = None
    one_encoder: OneEncoder | None = None
    parts: Mapping[int, Job] = field(default_factory=dict)

    @property
    def work(self) -> str:
        """What one process does at a time: this seed, or all that are trained with it."""
        together = self.stack or self.one_encoder
        return together.digest if together else self.digest

    @property
    def trained_on(self) -> TrainingInputs:
        """What the encoder learns, with other labels where it has several."""
        return self.one_encoder.inputs if self.one_encoder else self.inputs

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """The schedule of each phase; none for a logistic regression."""
        if self.inputs.points is not None:
            return ()
        return schedules(self.config, self.trained_on.phases)

    @property
    def n_steps(self) -> int:
        """Optimiser steps of all phases together; 0 for a logistic regression."""
        return sum(schedule.n_steps for schedule in self.schedules)

    @property
    def n_evaluations(self) -> int:
        """Evaluations of all phases together; 1 for a logistic regression."""
        return sum(len(schedule.evaluated_after) for schedule in self.schedules) or 1


@dataclass(frozen=True)
class SeedResult:
    """What one job leaves on disk.

    Attributes
    ----------
    folder
        Folder of the result.
    predictions
        The predictions table.
    history
        All evaluations.
    seconds
        Seconds of training and prediction.
    batching
        ``packed``, ``padded`` or ``stacked``.
    reused
        Whether the result was there before.
    source
        The run in the store that it was taken from, if it was not trained here.
    """

    folder: Path
    predictions: pd.DataFrame
    history: list[Evaluation]
    seconds: float
    batching: str
    reused: bool
    source: SourceRun | None = None


def is_finished(folder: Path, job: Job) -> bool:
    """Whether the job's result is on disk, with its model where that is to be kept."""
    if job.parts:
        return all(is_finished(folder, part) for part in job.parts.values())
    result = folder / job.digest
    return (result / RESULT).is_file() and (not job.keep_model or (result / MODEL).is_dir())


def has_result(folder: Path, job: Job) -> bool:
    """Whether the job's result is on disk and whole. A damaged one is named and deleted."""
    if not is_finished(folder, job):
        return False
    result = folder / job.digest
    if damaged := damaged_files(result, unchecked="" if job.keep_model else MODEL):
        report_damage(result, damaged, f"Arm {job.arm}, seed {job.seed} is trained again.")
        shutil.rmtree(result)
        return False
    return True


def load_result(folder: Path, job: Job, *, reused: bool) -> SeedResult:
    """A job's result.

    Parameters
    ----------
    folder
        The folder of this result alone.
    job
        The job.
    reused
        Whether the result was on disk before this run.
    """
    facts = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    source = None
    if (folder / SOURCE).is_file():
        source = SourceRun(*json.loads((folder / SOURCE).read_text(encoding="utf-8")))
    return SeedResult(
        folder=folder,
        predictions=check("predictions", read_table(folder / PREDICTIONS), job.label_set),
        history=[Evaluation.from_json(values) for values in facts["history"]],
        seconds=facts["seconds"],
        batching=facts["batching"],
        reused=reused,
        source=source,
    )


def save_result(
    folder: Path, job: Job, predictions: pd.DataFrame, facts: dict[str, Any], *, model: Any
) -> None:
    """Write a result to ``folder / digest`` in one rename, so that the folder is always complete.

    Parameters
    ----------
    folder
        Folder of all results.
    job
        The finished job.
    predictions
        The predictions table.
    facts
        ``seconds``, ``batching`` and ``history``, ready for JSON.
    model
        The trained model, written only if the job keeps it.
    """
    with temporary_folder(folder, job) as temporary:
        write_table(temporary / PREDICTIONS, predictions)
        write_atomically(temporary / RESULT, json.dumps(facts, indent=1).encode())
        if job.keep_model:
            job.encoder.save(model, job.label_set, temporary / MODEL)
        publish(temporary, folder, job)


def publish(temporary: Path, folder: Path, job: Job) -> None:
    """Rename a complete result to ``folder / digest``, sealed."""
    final = folder / job.digest
    if (final / SOURCE).is_file():  # taken from the store, which did not hold the model
        shutil.rmtree(final)
    if job.keep_model and (final / RESULT).is_file() and not (final / MODEL).is_dir():
        # Trained before without the model: the same result gains it.
        (temporary / MODEL).rename(final / MODEL)
        seal(final)
        return
    seal(temporary)
    try:
        temporary.rename(final)
    except OSError:
        if not is_finished(folder, job):  # else another process finished the same job
            raise


@contextlib.contextmanager
def temporary_folder(folder: Path, job: Job) -> Iterator[Path]:
    """A folder for a result that is not complete yet; what is left of it is deleted at the end."""
    temporary = new_folder(folder, job.digest)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
