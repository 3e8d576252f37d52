"""The encoder of an experiment, loaded once before anything is paid for, and its recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from entrypoints.wiring.terminal import print_line
from project.config.experiment import ExperimentConfig
from project.config.finetune import STACKED, FinetuneConfig
from project.config.recipe import is_papers, with_recipe
from project.data.task import Task
from project.support.errors import AssayError
from project.training.encoder import Encoder
from project.training.jobs import Run
from project.training.one_encoder import run_one_encoder
from project.training.results import Job
from project.training.stacked import check_stackable
from project.training.stacked_jobs import run_stacked
from project.training.worker_counts import worker_count

if TYPE_CHECKING:
    from project.training.on_cluster import TrainingCluster


def find_encoder(config: FinetuneConfig, cluster: TrainingCluster | None = None) -> Encoder:
    """:meth:`Encoder.find`; prints what the user should know of the encoder.

    ``cluster`` is where it is trained, which decides the precision; None: here. Raises AssayError
    if no node of it can hold a training.
    """
    if config.batching == STACKED and cluster:
        raise AssayError(
            "batching=stacked needs cluster=none: on a cluster every seed is a task of its own. "
            "Set batching=auto, or leave cluster out."
        )
    encoder = Encoder.find(config, cluster.machine if cluster else None)
    if config.batching == STACKED:
        check_stackable(encoder, config)
    if cluster:
        cluster.needs(encoder, config)
    if encoder.note:
        print_line(f"note: {encoder.note}")
    return encoder


class Training(NamedTuple):
    """How seeds are trained: ``at_once``, and ``workers`` and ``run`` of ``run_jobs``.

    ``note`` is for the user; empty where there is none.
    """

    at_once: int
    workers: int
    run: Run | None
    note: str = ""


def training_of(
    encoder: Encoder,
    config: FinetuneConfig,
    jobs: Sequence[Job],
    cluster: TrainingCluster | None,
) -> Training:
    """How these seeds of an encoder are trained: here, or on a cluster."""
    if cluster and not encoder.is_linear:
        # Nodes may come, so that only the user limits how many run.
        n_slots = cluster.n_slots(encoder, config, jobs)
        return Training(min(config.workers or n_slots, n_slots), config.workers or 0, cluster.run)
    if any(job.one_encoder for job in jobs):
        n_workers, note = worker_count(config.workers, jobs)
        n_workers = min(n_workers, len({job.work for job in jobs}))
        return Training(n_workers, n_workers, run_one_encoder, note)
    if stacks := [job.stack for job in jobs if job.stack]:
        return Training(max(len(stack.seeds) for stack in stacks), 1, run_stacked)
    n_workers, note = worker_count(config.workers, jobs)
    return Training(n_workers, n_workers, None, note)


def with_recipe_for(
    config: ExperimentConfig,
    encoder: Encoder,
    task: Task,
    *,
    trains_on_parts: bool = False,
    sets_epochs: bool = False,
) -> ExperimentConfig:
    """The configuration with the recipe that this encoder and this task call for.

    Parameters
    ----------
    config
        The configuration, with what the task card fills in.
    encoder
        The encoder.
    task
        The task.
    trains_on_parts
        Whether some trainings see only a part of the training split, whatever the arms.
    sets_epochs
        Whether the entry point sets the epochs itself.
    """
    of_the_paper = not trains_on_parts and is_papers(
        task.name, task.counts.get("train", 0), config.label.arms
    )
    finetune = with_recipe(
        config.finetune,
        n_parameters=encoder.n_parameters,
        n_classes=len(task.label_set),
        is_papers=of_the_paper,
        sets_epochs=sets_epochs,
    )
    return dataclasses.replace(config, finetune=finetune)
