"""The recipe of a training where the user leaves it open, and when its steps are taken.

``paper`` is the recipe of Lu and Smith (2025): three epochs at 2e-5, validated after each. It is
made for 5,000 texts and RoBERTa-base: on 64 texts it is 12 steps, in which no encoder learns a
task, so that trainings on few labels would look worse than the labels are. ``steps`` adds epochs
until a least number of steps is done, the same for every arm, and has a learning rate by the size
of the encoder. Its numbers were chosen once, by ``benchmarks/recipe.py`` (see EXPERIMENTS.md).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from project.config.arms import arm_facts
from project.config.finetune import PAPER, STEPS, FinetuneConfig

PAPER_TASKS = ("imdb", "ecommerce", "manifestos", "toxic")
PAPER_TRAIN = 5000
"""Training texts of each task in the paper."""
PAPER_EPOCHS = 3
PAPER_RATE = 2e-5
PAPER_PARAMETERS = 125e6
"""Parameters of RoBERTa-base, from which size on its learning rate is taken."""
MIN_STEPS = 200
MIN_STEPS_OF_A_CLASS = 15
"""In a task of many classes, 21 for instance, ``MIN_STEPS`` are too few."""
EVALUATIONS = 10
FEW_STEPS = 50
"""With fewer steps a training has hardly begun."""
_POWER = 0.946  # gives all-MiniLM-L6-v2 1e-4
_MAX_RATE = 4e-4


class Schedule(NamedTuple):
    """When one phase of a training takes its steps.

    Attributes
    ----------
    epochs
        Passes over the texts of the phase.
    steps_per_epoch
        Optimiser steps of one pass.
    evaluated_after
        The steps of the phase, counted from 1, after which the validation texts are predicted; in
        ascending order. The last one is the last step.
    """

    epochs: int
    steps_per_epoch: int
    evaluated_after: tuple[int, ...]

    @property
    def n_steps(self) -> int:
        """Optimiser steps of the phase."""
        return self.epochs * self.steps_per_epoch


def schedule(config: FinetuneConfig, n_texts: int) -> Schedule:
    """The schedule of a phase of ``n_texts`` texts; what ``config`` leaves open is the paper's."""
    per_epoch = max(1, math.ceil(n_texts / config.train_batch_size))
    epochs = max(config.epochs or PAPER_EPOCHS, math.ceil((config.min_steps or 0) / per_epoch))
    n_steps = epochs * per_epoch
    if not config.evaluations:
        return Schedule(epochs, per_epoch, tuple(range(per_epoch, n_steps + 1, per_epoch)))
    n = min(config.evaluations, n_steps)
    after = tuple(math.ceil(number * n_steps / n) for number in range(1, n + 1))
    return Schedule(epochs, per_epoch, after)


def default_learning_rate(n_parameters: int) -> float:
    """The peak learning rate of an encoder of ``n_parameters`` parameters.

    From RoBERTa-base on it is the paper's. Smaller encoders need more, as a power of their size:
    1e-4 for the 23 million of all-MiniLM-L6-v2, which at 2e-5 hardly leaves its start in 200
    steps; at most 4e-4. Two digits are kept.
    """
    ratio = max(1.0, PAPER_PARAMETERS / max(n_parameters, 1))
    return float(f"{min(_MAX_RATE, PAPER_RATE * ratio**_POWER):.1e}")


def with_recipe(
    config: FinetuneConfig,
    *,
    n_parameters: int,
    n_classes: int,
    is_papers: bool = False,
    sets_epochs: bool = False,
) -> FinetuneConfig:
    """``config`` with a value in place of every ``auto`` of the recipe.

    What the user or the task card sets stays as it is. With ``epochs`` set there is no least
    number of steps unless that is set too, and the validation texts are predicted after every
    epoch.

    Parameters
    ----------
    config
        The hyper-parameters.
    n_parameters
        Parameters of the encoder.
    n_classes
        Size of the label set.
    is_papers
        Whether every training is one of the paper: its task with all of its training texts.
    sets_epochs
        Whether the entry point sets the epochs itself.
    """
    recipe = config.recipe
    if recipe == "auto":
        recipe = PAPER if is_papers else STEPS
    by_epoch = recipe == PAPER or sets_epochs or config.epochs is not None
    values: dict[str, Any] = {
        "epochs": PAPER_EPOCHS,
        "min_steps": 0 if by_epoch else max(MIN_STEPS, MIN_STEPS_OF_A_CLASS * n_classes),
        "evaluations": 0 if by_epoch else EVALUATIONS,
        "learning_rate": PAPER_RATE if recipe == PAPER else default_learning_rate(n_parameters),
    }
    left_open = {name: value for name, value in values.items() if getattr(config, name) is None}
    return dataclasses.replace(config, recipe=recipe, **left_open)


def is_papers(task: str, n_train: int, arm_kinds: Iterable[str]) -> bool:
    """Whether every training is one of the paper: its task, with as many texts as there.

    Parameters
    ----------
    task
        Name of the task.
    n_train
        Size of its training split.
    arm_kinds
        Kinds of the arms; those that train on a few human labels are not the paper's.
    """
    on_parts = any(arm_facts(kind).trains_on_a_part for kind in arm_kinds)
    return task in PAPER_TASKS and n_train == PAPER_TRAIN and not on_parts


def rate_factor(scheduler: str, warmup_ratio: float, steps: int) -> Callable[[int], float]:
    """The share of the peak learning rate at every step, as a function of the step.

    The schedules are transformers' of the same names.

    Parameters
    ----------
    scheduler
        After the warm-up: ``linear`` to 0, ``cosine`` (half a cosine to 0) or ``constant``.
    warmup_ratio
        Share of the steps in which the rate rises linearly from 0, rounded up to whole steps.
    steps
        Number of training steps.
    """
    warmup = math.ceil(warmup_ratio * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return step / max(1, warmup)
        if scheduler == "constant":
            return 1.0
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        if scheduler == "linear":
            return 1.0 - progress
        return 0.5 * (1.0 + math.cos(math.pi * progress))

    return factor


# What a loss that sums over the classes of a label cannot stand beside, by what it must be.
_LATENT = {"targets": "hard", "label_smoothing": 0.0, "ordinal_targets": "none"}


def latent_conflict(config: FinetuneConfig) -> tuple[str, object] | None:
    """A parameter that arms with ``facts.latent`` cannot stand beside, and its right value."""
    return next(
        ((name, value) for name, value in _LATENT.items() if getattr(config, name) != value), None
    )
