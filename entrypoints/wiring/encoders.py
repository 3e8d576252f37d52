"""The encoder of an experiment, loaded once before anything is paid for, and its recipe."""

from __future__ import annotations

import dataclasses

from entrypoints.wiring.terminal import print_line
from project.config.experiment import ExperimentConfig
from project.config.finetune import FinetuneConfig
from project.config.recipe import is_papers, with_recipe
from project.data.task import Task
from project.training.encoder import Encoder


def find_encoder(config: FinetuneConfig) -> Encoder:
    """:meth:`Encoder.find`; prints what the user should know of the encoder."""
    encoder = Encoder.find(config)
    if encoder.note:
        print_line(f"note: {encoder.note}")
    return encoder


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
