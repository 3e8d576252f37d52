"""The settings that wait to be tried: points of a grid, and attempts after one that failed."""

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
"""Attempts at a setting whose workers die."""


class Queue:
    """The queue of a study's trials."""

    def __init__(self, study: optuna.Study, space: Space) -> None:
        """The queue of ``study``, which searches ``space``."""
        self._study = study
        self._space = space

    def add(self, params: Mapping[str, Any], attempt: int = 1, **attributes: int) -> None:
        """Queue a setting, with further user ``attributes`` of its trial."""
        self._study.enqueue_trial(
            dict(params), user_attrs={QUEUED: dict(params), ATTEMPT: attempt, **attributes}
        )

    def add_grid(self, n: int, seed: int, trials: Sequence[FrozenTrial]) -> None:
        """Queue the first ``n`` points of the grid that are not among ``trials``.

        They are shuffled with ``seed``, so that the beginning of a grid is a fair part of it.
        Optuna's own grid sampler cannot be asked for one trial at a time, nor for one again.
        """
        points = self._space.grid()
        random.Random(seed).shuffle(points)
        queued = [trial.user_attrs.get(QUEUED) for trial in trials]
        for point in points[:n]:
            if point not in queued:
                self.add(point)

    def retry(self, trial: FrozenTrial, attempt: int) -> bool:
        """Queue a trial's setting again, unless it was tried too often; returns whether it is."""
        possible = attempt <= MAX_ATTEMPTS and is_complete_setting(trial, self._space.varied())
        if possible:
            self.add(tried_params(trial), attempt, **{RETRY_OF: trial.number})
        return possible
