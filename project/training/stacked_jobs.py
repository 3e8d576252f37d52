"""Jobs whose seeds are trained at once: one group after another, in this process."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from project.config.finetune import STACKED
from project.support.errors import AssayError
from project.support.machine import set_memory_limits
from project.training.checkpoint import Checkpoint
from project.training.history import Evaluation
from project.training.results import Job, Stack
from project.training.seed import predict_and_save, readable_errors
from project.training.stacked import train_stacked
from project.training.workers import Outcome, Progress


def run_stacked(
    jobs: Sequence[Job], folder: Path, workers: int, progress: Progress
) -> Iterator[Outcome]:
    """Train the seeds of every arm at once, one arm after another in this process.

    Parameters
    ----------
    jobs, folder, progress
        See :func:`project.training.workers.run_in_processes`.
    workers
        Not used; it makes the functions interchangeable.
    """
    del workers
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(_stack_of(job).digest, []).append(job)
    threads = torch.get_num_threads()
    for group in groups.values():
        if not torch.cuda.is_available():
            torch.set_num_threads(1)  # as for a seed alone: the bits do not depend on the cores
            set_memory_limits()
        try:
            with readable_errors("Set batching=auto, which trains fewer seeds at once"):
                yield from _run_group(group, folder, progress)
        except AssayError as error:
            yield from (Outcome(job, error) for job in group)
        finally:
            torch.set_num_threads(threads)


def _stack_of(job: Job) -> Stack:
    if job.stack is None:
        raise AssayError(f"arm {job.arm}, seed {job.seed} is not to be trained with others.")
    return job.stack


def _run_group(group: Sequence[Job], folder: Path, progress: Progress) -> Iterator[Outcome]:
    """Train all seeds of a stack, and write the results of those in ``group``.

    The group is a part of the stack where a process was killed while it wrote results.
    """
    began = time.perf_counter()
    first = group[0]
    stack = _stack_of(first)
    job_at = {stack.seeds.index(job.seed): job for job in group}
    path = folder / f"{stack.digest}.safetensors"
    checkpoint = Checkpoint(path, stack.digest, first.config.checkpoint_seconds)

    def report(place: int, evaluation: Evaluation) -> None:
        if place in job_at:
            progress(job_at[place], evaluation)

    trained = train_stacked(
        first.encoder,
        first.config,
        first.inputs,
        seeds=stack.seeds,
        checkpoint=checkpoint,
        after_evaluation=report,
        underway=lambda told: progress(first, told),
    )
    outcomes: list[Outcome] = []
    for place, job in job_at.items():
        history = trained.histories[place]
        if error := _divergence(job, history):
            outcomes.append(Outcome(job, error))
            continue
        try:
            predict_and_save(
                job,
                folder,
                trained.select(place),
                history,
                seconds=lambda: checkpoint.spent + time.perf_counter() - began,
                name=STACKED,
            )
        except AssayError as failure:  # the results of the other seeds stand
            outcomes.append(Outcome(job, failure))
            continue
        outcomes.append(Outcome(job, None))
    checkpoint.remove()
    yield from outcomes


def _divergence(job: Job, history: Sequence[Evaluation]) -> AssayError | None:
    """The error of a seed whose loss was no number; None for any other."""
    wrong = next((one for one in history if not math.isfinite(one.training_loss)), None)
    if wrong is None:
        return None
    return AssayError(
        f"training diverged (loss is not a number) before step {wrong.step} of {job.n_steps}. "
        "Lower learning_rate."
    )
