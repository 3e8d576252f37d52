"""Variance components of a crossed design: how much draws and seeds contribute."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.types import Floats


class Components(NamedTuple):
    """Variance components in squared units of the values.

    The estimates ``draw`` and ``seed`` may be negative, as they are differences. ``residual`` holds
    the interaction of draw and seed and any noise within a cell; it is never negative.
    """

    draw: Floats
    seed: Floats
    residual: Floats


def crossed_components(values: npt.ArrayLike) -> Components:
    """Variance components of values with one number for every draw with every seed.

    Two-way random effects without replication, y = mean + draw + seed + residual, by the method of
    moments. Mean squares are set equal to their expectations: E MS_draw = n_seeds draw + residual,
    E MS_seed = n_draws seed + residual, E MS_residual = residual (Searle, Casella and McCulloch
    1992, Variance Components, section 4.4). The estimates are unbiased, and so are their means over
    further axes.

    Parameters
    ----------
    values
        One number for every draw with every seed ``(n_draws, n_seeds, ...)``.

    Returns
    -------
    Components
        Fields of shape ``(...)``; all nan for fewer than two draws or seeds.
    """
    table = np.asarray(values, dtype=np.float64)
    n_draws, n_seeds = table.shape[:2]
    if min(n_draws, n_seeds) < 2:
        undefined = np.full(table.shape[2:], np.nan)
        return Components(undefined, undefined, undefined)
    mean = table.mean(axis=(0, 1), keepdims=True)
    draw_effect = table.mean(axis=1, keepdims=True) - mean
    seed_effect = table.mean(axis=0, keepdims=True) - mean
    rest = table - mean - draw_effect - seed_effect
    ms_draw = n_seeds * (draw_effect**2).sum(axis=(0, 1)) / (n_draws - 1)
    ms_seed = n_draws * (seed_effect**2).sum(axis=(0, 1)) / (n_seeds - 1)
    ms_residual = (rest**2).sum(axis=(0, 1)) / ((n_draws - 1) * (n_seeds - 1))
    return Components(
        draw=(ms_draw - ms_residual) / n_seeds,
        seed=(ms_seed - ms_residual) / n_draws,
        residual=ms_residual,
    )
