"""The evaluations of a training, and which of them is kept."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_STORED = {"number": "epoch", "phase": "lesson"}
"""Names in files where they differ: those of the versions that evaluated after every epoch."""
_READ = {stored: name for name, stored in _STORED.items()}


@dataclass(frozen=True)
class Evaluation:
    """What is known at one evaluation, which comes after every epoch or a number of steps.

    Attributes
    ----------
    number
        Its number, counted over all phases from 1.
    training_loss
        Mean loss of the texts trained on since the evaluation before, in nats: the cross-entropy,
        or -log P(label) where the texts' classes are latent.
    validation_accuracy, validation_macro_f1
        Scores in [0, 1]; nan without validation texts.
    learning_rate
        The rate of the next step.
    phase
        Index of the phase that it belongs to.
    step
        Optimiser steps before it, counted over all phases; 0 in results of older versions.
    texts_per_second
        Training texts a second. It depends on the machine, so comparisons leave it out.
    """

    number: int
    training_loss: float
    validation_accuracy: float
    validation_macro_f1: float
    learning_rate: float
    phase: int = 0
    step: int = 0
    texts_per_second: float = field(default=0.0, compare=False)

    def as_json(self) -> dict[str, Any]:
        """The evaluation as in ``result.json`` and in checkpoints."""
        values = dataclasses.asdict(self)
        return {_STORED.get(name, name): value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Evaluation:
        """The inverse of :meth:`as_json`."""
        return cls(**{_READ.get(name, name): value for name, value in values.items()})


@dataclass(frozen=True)
class Underway:
    """What is known between two evaluations that are far apart.

    ``step``: optimiser steps so far, counted over all phases; ``texts_per_second``: training texts
    since the evaluation before.
    """

    step: int
    texts_per_second: float


Report = Evaluation | Underway
"""What a training tells of itself."""


def best_evaluation(history: Sequence[Evaluation]) -> Evaluation:
    """The evaluation whose weights are kept.

    It has the highest validation macro-F1 of the last phase; of several the earliest. Without
    validation texts it is the last one.
    """
    if math.isnan(history[-1].validation_macro_f1):
        return history[-1]
    return max(history, key=lambda one: (one.phase, one.validation_macro_f1, -one.number))
