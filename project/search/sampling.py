"""Samplers of Optuna, and the values that they suggest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna

from project.config.designs import SweepConfig


def make_sampler(config: SweepConfig, n_trials: int) -> optuna.samplers.BaseSampler:
    """A new sampler, seeded by the number of trials.

    With a new one for every trial, a study that was stopped continues as if it had not been.
    """
    seeds = np.random.SeedSequence([config.sweep_seed, n_trials])
    seed = int(seeds.generate_state(1)[0])
    if config.sampler == "gp":
        # Scores of the same setting differ between the seeds of the training.
        return optuna.samplers.GPSampler(seed=seed, deterministic_objective=False)
    if config.sampler == "grid":
        # Never used: every trial of a grid comes from the queue, with all its values.
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed)


def suggest_params(
    handle: optuna.Trial, varied: Mapping[str, Sequence[Any]], *, exact: bool
) -> dict[str, Any]:
    """A value for each part of a setting that varies.

    Parameters
    ----------
    handle
        Optuna's trial.
    varied
        The values of each part.
    exact
        Whether only these are tried, and no number between them.
    """
    return {name: _suggest(handle, name, values, exact) for name, values in varied.items()}


def _suggest(handle: optuna.Trial, name: str, values: Sequence[Any], exact: bool) -> Any:
    """A value for one part: one of ``values``, or any number between the smallest and largest."""
    if exact or isinstance(values[0], str):
        return handle.suggest_categorical(name, list(values))
    low = min(values)
    high = max(values)
    # Between whole numbers only whole ones are tried: a share of 7.318 per cent helps no reader.
    if all(float(value).is_integer() for value in (low, high)):
        number = handle.suggest_int(name, int(low), int(high))
        return float(number) if isinstance(values[0], float) else number
    return handle.suggest_float(name, low, high)
