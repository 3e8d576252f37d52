"""Trainings and jobs that are run to their end, with checks of what they report."""

import dataclasses

import pytest

from project.support.errors import Incomplete
from project.training.checkpoint import Checkpoint
from project.training.history import Evaluation, Report
from project.training.jobs import run_jobs
from project.training.loop import train


def number_of(report):
    """The number of an evaluation; a training of a test has no reports in between."""
    assert isinstance(report, Evaluation)
    return report.number


def with_phase(data, **changes):
    """``data`` with changes to its first phase, and without the others."""
    return dataclasses.replace(data, phases=(data.phases[0]._replace(**changes),))


def trained(encoder, config, data, folder, seed=0):
    """The model of one training and its evaluations; every one was handed over in order."""
    evaluations: list[Evaluation] = []
    model, history = train(
        encoder,
        config,
        data,
        seed=seed,
        checkpoint=Checkpoint(folder / "x.safetensors", "x", 0),
        after_evaluation=evaluations.append,
    )
    assert evaluations == history
    return model, history


def outcomes(jobs, folder, workers):
    """Seed -> result of each job; every evaluation was handed over in order."""
    seen: dict[int, list[Report]] = {}
    found = {
        job.seed: result
        for job, result in run_jobs(
            jobs,
            folder=folder,
            workers=workers,
            progress=lambda job, one: seen.setdefault(job.seed, []).append(one),
        )
    }
    assert seen == {
        seed: result.history for seed, result in found.items()
    }  # every seed's epochs, in order
    return found


def results_in(folder):
    """The names of the folders of results."""
    return sorted(path.name for path in folder.iterdir() if path.name != "claims")


def finished_and_error(jobs, folder, workers):
    """The seeds that are finished, in order, and the message of the error at the end."""
    finished: list[int] = []
    with pytest.raises(Incomplete) as error:
        finished.extend(
            job.seed
            for job, _ in run_jobs(jobs, folder=folder, workers=workers, progress=lambda *_: None)
        )
    return sorted(finished), str(error.value)
