"""One encoder for all labels of a task whose texts may have several: an output for each label.

The classification layer has one output a label, the log odds of yes; the loss is the mean binary
cross-entropy. Every label has a job and a result of its own, as if it had been trained alone, but
all of them are trained in one piece.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from project.config.finetune import FinetuneConfig
from project.stats.types import Codes
from project.support.errors import AssayError
from project.support.files import digest
from project.training.history import Report
from project.training.inputs import Phase, TrainingInputs
from project.training.results import Job, OneEncoder
from project.training.workers import Outcome, Progress, run_in_process, run_in_processes

_YES = 1  # the code of yes: labels are no and yes


def in_one_encoder(jobs: Sequence[Job]) -> list[Job]:
    """The jobs of all labels, one each, as jobs of one encoder.

    Parameters
    ----------
    jobs
        One job for each label: of the same arm, seed, texts and recipe.

    Raises
    ------
    AssayError
        If these differ.
    """
    first = jobs[0]
    for job in jobs:
        _check_alike(first, job)
    inputs = _joined([job.inputs for job in jobs])
    shared = digest(["one encoder", *(job.digest for job in jobs)])
    return [
        dataclasses.replace(
            job, digest=digest([shared, place]), one_encoder=OneEncoder(shared, inputs, place)
        )
        for place, job in enumerate(jobs)
    ]


def run_one_encoder(
    jobs: Sequence[Job], folder: Path, workers: int, progress: Progress
) -> Iterator[Outcome]:
    """Train the encoders of these jobs, each with all labels; see ``run_in_processes``."""
    by_work: dict[str, list[Job]] = {}
    for job in jobs:
        by_work.setdefault(job.work, []).append(job)
    together = [_training_of(parts) for parts in by_work.values()]

    def report(job: Job, told: Report) -> None:
        for part in job.parts.values():
            progress(part, told)

    run: Callable[..., Iterator[Outcome]] = (
        run_in_process if min(workers, len(together)) <= 1 else run_in_processes
    )
    for outcome in run(together, folder, workers, report):
        yield from (Outcome(part, outcome.error) for part in outcome.job.parts.values())


def _training_of(parts: Sequence[Job]) -> Job:
    """The job that trains the encoder of these labels, or of what is left of them."""
    first = parts[0]
    by_place = {part.one_encoder.place: part for part in parts if part.one_encoder}
    if first.one_encoder is None:
        raise AssayError(f"arm {first.arm}, seed {first.seed} has an encoder for one label.")
    return dataclasses.replace(
        first,
        digest=first.one_encoder.digest,
        inputs=first.one_encoder.inputs,
        one_encoder=None,
        parts=by_place,
    )


def _check_alike(first: Job, job: Job) -> None:
    """Raise AssayError for jobs that one encoder cannot learn."""
    same: dict[str, Callable[[Job], object]] = {
        "arms": lambda one: one.arm,
        "seeds": lambda one: one.seed,
        "texts": lambda one: (one.inputs.tokens.folder.name, one.test_ids),
        "recipes": lambda one: one.config,
        "phases of training": lambda one: len(one.inputs.phases),
    }
    for name, of in same.items():
        if of(first) != of(job):
            raise AssayError(
                f"one encoder needs labels with the same {name}; arm {job.arm}, seed {job.seed} "
                "differs. Set one_encoder=false, which trains each label alone."
            )


def _joined(inputs: Sequence[TrainingInputs]) -> TrainingInputs:
    """What one encoder learns: the texts that have an answer for at least one label."""
    n_phases = len(inputs[0].phases)
    validation = _union([one.validation_indices for one in inputs])
    known = np.full((len(validation), len(inputs)), -1)
    for place, one in enumerate(inputs):
        rows = np.searchsorted(validation, one.validation_indices)
        known[rows, place] = one.validation_labels
    return TrainingInputs(
        tokens=inputs[0].tokens,
        phases=tuple(_phase([one.phases[number] for one in inputs]) for number in range(n_phases)),
        validation_indices=validation,
        validation_labels=known,
    )


def _phase(phases: Sequence[Phase]) -> Phase:
    """A phase of all labels."""
    indices = _union([phase.indices for phase in phases])
    values = np.zeros((len(indices), len(phases)))
    weights = np.zeros_like(values)
    for place, phase in enumerate(phases):
        rows = np.searchsorted(indices, phase.indices)
        values[rows, place] = phase.targets[:, _YES]
        weights[rows, place] = phase.weights
    return Phase(indices, values, weights)


def _union(indices: Sequence[Codes]) -> Codes:
    """The indices in any of these, in order."""
    return functools.reduce(np.union1d, indices)


def check_one_encoder(
    config: FinetuneConfig, *, is_linear: bool, on_cluster: bool, other_losses: Sequence[str] = ()
) -> None:
    """Raise AssayError for settings with which one encoder cannot learn all labels.

    ``other_losses``: arms that are not trained by the cross-entropy of their labels.
    """
    wrong = {
        f"arms must not hold {', '.join(other_losses)}": bool(other_losses),
        "encoder must be one that is fine-tuned": is_linear,
        "batching must not be stacked": config.batching == "stacked",
        "log_model must be none": config.log_model != "none",
        "cluster must be none": on_cluster,
    }
    for rule, is_broken in wrong.items():
        if is_broken:
            raise AssayError(
                f"{rule} with one_encoder=true. Change it, or set one_encoder=false, which trains "
                "each label alone."
            )
