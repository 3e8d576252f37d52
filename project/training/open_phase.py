"""The phase that a training is in: its texts, what they teach, and its schedule."""

from __future__ import annotations

import torch

from project.config.finetune import FinetuneConfig
from project.config.recipe import rate_factor
from project.stats.types import Floats
from project.training.inputs import TrainingInputs, schedules


class OpenPhase:
    """One phase of a training, on the device that computes.

    Attributes
    ----------
    number
        Its index among the phases.
    indices, lengths
        Indices of its texts in the tokens, and how many tokens each has; both ``(n,)``.
    targets, weights
        Target distributions ``(n, n_classes)`` and weights ``(n,)`` of the texts, in float32.
    schedule
        Its steps.
    steps_before
        Steps of the phases before it.
    """

    def __init__(
        self, inputs: TrainingInputs, config: FinetuneConfig, number: int, device: str
    ) -> None:
        """Open the phase with this index among those of ``inputs``."""
        phase = inputs.phases[number]
        planned = schedules(config, inputs.phases)
        self.number = number
        self.indices = phase.indices
        self.lengths = inputs.tokens.lengths(phase.indices)
        self.targets = _on(device, phase.targets)
        self.weights = _on(device, phase.weights)
        self.schedule = planned[number]
        self.steps_before = sum(one.n_steps for one in planned[:number])
        self._top_rate = float(config.learning_rate or 0)
        self._factor = rate_factor(config.scheduler, config.warmup_ratio, self.schedule.n_steps)

    def rate(self, step: int) -> float:
        """Learning rate before ``step`` of the phase."""
        return self._top_rate * self._factor(step)


def _on(device: str, values: Floats) -> torch.Tensor:
    """``values`` in float32 on the device."""
    return torch.tensor(values, dtype=torch.float32, device=device)
