"""The epochs of a training, and which of them is kept."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """What is known after one epoch.

    Attributes
    ----------
    epoch
        Its number, counted over all phases from 1.
    training_loss
        Mean cross-entropy of the training texts, in nats.
    validation_accuracy, validation_macro_f1
        Scores in [0, 1]; nan without validation texts.
    learning_rate
        The rate at the end of the epoch.
    phase
        Index of the phase that it belongs to.
    texts_per_second
        Training texts a second. It depends on the machine, so comparisons of epochs leave it out.
    """

    epoch: int
    training_loss: float
    validation_accuracy: float
    validation_macro_f1: float
    learning_rate: float
    phase: int = 0
    texts_per_second: float = field(default=0.0, compare=False)

    def as_json(self) -> dict[str, Any]:
        """The epoch as in ``result.json`` and in checkpoints, where ``phase`` is ``lesson``."""
        values = dataclasses.asdict(self)
        return {"lesson" if name == "phase" else name: value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Epoch:
        """The inverse of :meth:`as_json`."""
        return cls(
            **{"phase" if name == "lesson" else name: value for name, value in values.items()}
        )


def best_epoch(history: Sequence[Epoch]) -> int:
    """Number of the epoch that is kept.

    It has the highest validation macro-F1 of the last phase; of several the earliest. Without
    validation texts it is the last one.
    """
    if math.isnan(history[-1].validation_macro_f1):
        return history[-1].epoch
    return max(
        history, key=lambda epoch: (epoch.phase, epoch.validation_macro_f1, -epoch.epoch)
    ).epoch


def best_macro_f1(history: Sequence[Epoch]) -> float:
    """Validation macro-F1 of the epoch that is kept."""
    best = best_epoch(history)
    return next(epoch.validation_macro_f1 for epoch in history if epoch.epoch == best)
