"""The settings that wait to be tried: points of a grid, and settings whose last attempt failed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from project.search.space import Space
from project.search.trials import (
    ATTEMPT,
    QUEUED,
    RETRY_OF,
    is_complete_setting,
    tried_params,
)

MAX_ATTEMPTS = 3
"""Attempts at one setting; one whose workers always die may be what kills them."""


class Queue:
    """The queue of a study's trials."""

    def __init__(self, study: optuna.Study, space: Space) -> None:
        """The queue of ``study``, which searches ``space``."""
        self._study = study
        self._space = space

    def add(self, params: Mapping[str, Any], attempt: int = 1, **attributes: int) -> None:
        """Queue a setting, with further user ``attributes`` of its trial."""
        # Also as an attribute, which can be read before the trial has started.
        self._study.enqueue_trial(
            dict(params), user_attrs={QUEUED: dict(params), ATTEMPT: attempt, **attributes}
        )

    def add_grid(self, n_points: int, seed: int, trials: Sequence[FrozenTrial]) -> None:
        """Queue the first points of the shuffled grid, except those that were queued before.

        The queue stands in for Optuna's own grid sampler. That one neither gives out single trials
        nor tries a point again.

        Parameters
        ----------
        n_points
            How many points of the grid are wanted.
        seed
            Seed of their order. They are shuffled, so that the beginning of a grid has all values
            of every part.
        trials
            All trials of the study.
        """
        points = self._space.grid()
        random.Random(seed).shuffle(points)
        queued = [trial.user_attrs.get(QUEUED) for trial in trials]
        for point in points[:n_points]:
            if point not in queued:
                self.add(point)

    def retry(self, trial: FrozenTrial, attempt: int) -> bool:
        """Queue a trial's setting again as the given attempt; False if it was tried too often."""
        if attempt > MAX_ATTEMPTS or not is_complete_setting(trial, self._space.varied()):
            return False
        self.add(tried_params(trial), attempt, **{RETRY_OF: trial.number})
        return True
