"""Where variance comes from: components of a crossed design."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.types import Floats


class Components(NamedTuple):
    """Variance components as computed, in squared units of the values; an estimate may be negative, the residual never is.

    ``residual``: what is left, the interaction of draw and seed and any noise within a cell.
    """

    draw: Floats
    seed: Floats
    residual: Floats


def crossed_components(values: npt.ArrayLike) -> Components:
    """Components of ``values`` ``(n_draws, n_seeds, ...)``, one value for every draw with every seed; each has the shape ``(...)``.

    Two-way random effects without replication, y = mean + draw + seed + residual, by the method of moments: mean squares are set equal to
    their expectations, E MS_draw = n_seeds draw + residual, E MS_seed = n_draws seed + residual, E MS_residual = residual (Searle, Casella
    and McCulloch 1992, Variance Components, section 4.4). Unbiased, so that means over further axes are too; all ``nan`` for fewer than
    two draws or seeds.
    """
    table = np.asarray(values, dtype=np.float64)
    n_draws, n_seeds = table.shape[:2]
    if min(n_draws, n_seeds) < 2:
        nothing = np.full(table.shape[2:], np.nan)
        return Components(nothing, nothing, nothing)
    mean = table.mean(axis=(0, 1), keepdims=True)
    of_draw, of_seed = (
        table.mean(axis=1, keepdims=True) - mean,
        table.mean(axis=0, keepdims=True) - mean,
    )
    square_draw = n_seeds * (of_draw**2).sum(axis=(0, 1)) / (n_draws - 1)
    square_seed = n_draws * (of_seed**2).sum(axis=(0, 1)) / (n_seeds - 1)
    residual = ((table - mean - of_draw - of_seed) ** 2).sum(axis=(0, 1)) / (
        (n_draws - 1) * (n_seeds - 1)
    )
    return Components(
        (square_draw - residual) / n_seeds, (square_seed - residual) / n_draws, residual
    )
