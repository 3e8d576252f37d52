"""One seed as a job, and what it leaves on disk: predictions, history, perhaps the model."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from project.config.finetune import FinetuneConfig
from project.config.recipe import Schedule
from project.data.tables import SourceRun, check
from project.stats.types import Codes
from project.support.checksums import damaged_files, report_damage, seal
from project.support.errors import AssayError
from project.support.files import new_folder, write_atomically
from project.support.parquet import read_table, write_table
from project.training.encoder import Encoder
from project.training.history import Evaluation
from project.training.inputs import TrainingInputs, schedules

PREDICTIONS = "predictions.parquet"
RESULT = "result.json"
MODEL = "model"
SOURCE = "source.json"


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

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """The schedule of each phase; none for a logistic regression."""
        if self.inputs.points is not None:
            return ()
        return schedules(self.config, self.inputs.phases)

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
        ``packed`` or ``padded``.
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
    final = folder / job.digest
    with _temporary_folder(folder, job) as temporary:
        write_table(temporary / PREDICTIONS, predictions)
        write_atomically(temporary / RESULT, json.dumps(facts, indent=1).encode())
        if job.keep_model:
            job.encoder.save(model, job.label_set, temporary / MODEL)
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
def _temporary_folder(folder: Path, job: Job) -> Iterator[Path]:
    """A folder for a result that is not complete yet; what is left of it is deleted at the end."""
    temporary = new_folder(folder, job.digest)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def import_result(
    folder: Path, job: Job, *, predictions: bytes, result: bytes, source: SourceRun
) -> None:
    """Write a result from the tracking store to ``folder / digest``, as if it were trained here.

    Parameters
    ----------
    folder
        Folder of all results.
    job
        The job with the same digest.
    predictions, result
        Bytes of ``predictions.parquet`` and ``result.json``.
    source
        The run that they come from.

    Raises
    ------
    AssayError
        If the files are not a valid result of the job.
    """
    files = {PREDICTIONS: predictions, RESULT: result, SOURCE: json.dumps(source).encode()}
    with _temporary_folder(folder, job) as temporary:
        for name, data in files.items():
            write_atomically(temporary / name, data)
        _check_imported(temporary, job)
        seal(temporary)
        with contextlib.suppress(OSError):  # another process was faster
            temporary.rename(folder / job.digest)


def _check_imported(folder: Path, job: Job) -> None:
    """Refuse files that are no result, one of other examples, or one with an invalid history."""
    try:
        result = load_result(folder, job, reused=True)
    except (
        ValueError,  # AssayError is one
        TypeError,
        KeyError,
        AttributeError,
        OSError,
        RecursionError,
    ) as error:
        raise AssayError(
            f"not a valid trained seed: {' '.join(str(error).split())[:200]}"
        ) from error
    if tuple(result.predictions["example_id"]) != job.test_ids:
        raise AssayError("not a valid trained seed of this split: it predicts other examples.")
    if not _is_history_valid(result):
        raise AssayError("not a valid trained seed: its history is incomplete or no numbers.")


def _is_history_valid(result: SeedResult) -> bool:
    """Whether evaluations are numbered from 1, and all their values are finite numbers."""
    values: list[object] = [result.seconds]
    for evaluation in result.history:
        values += evaluation.as_json().values()
    numbers = [evaluation.number for evaluation in result.history]
    return (
        bool(numbers)
        and all(_is_finite(value) for value in values)
        and numbers == list(range(1, len(numbers) + 1))
        and isinstance(result.batching, str)
    )


def _is_finite(value: object) -> bool:
    """Whether ``value`` is a finite number; true and false, which Python counts, are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
