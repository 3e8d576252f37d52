"""Samplers of Optuna, and the values that they suggest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna

from project.config.designs import SweepConfig

_LEARNING_STEPS = 4


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


def trials_at_once(config: SweepConfig, wanted: int, n_places: int) -> int:
    """How many trials a worker has open at the same time.

    Parameters
    ----------
    config
        ``sweep_at_once`` is the number; without it, the sampler decides together with the others.
    wanted
        How many trials the study is to have.
    n_places
        How many seeds a cluster trains at the same time; 0 without one.
    """
    if config.sweep_at_once or not n_places:
        return config.sweep_at_once or 1
    # Where trials are pruned, the first seeds are trained alone.
    n_seeds = 1 if config.prune else config.sweep_seeds
    filling = math.ceil(n_places / n_seeds)
    # A point of a grid depends on no other trial. The other samplers learn from those that have
    # ended: with a quarter of all trials open, they learn at least three times.
    most = wanted if config.sampler == "grid" else math.ceil(wanted / _LEARNING_STEPS)
    return min(filling, most)


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
