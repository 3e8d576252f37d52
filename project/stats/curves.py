"""Learning curves: the saturating power law, where it flattens, and intervals over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.bootstrap import Interval, interval
from project.stats.types import Floats

RATES = (0.02, 3.0)
"""Between which rates are sought: of what is missing to the limit, each doubling makes up between 1.4 and 87.5 per cent."""
_TOP = 1.0
_COARSE, _FINE, _ROUNDS = 48, 9, 12
_ROUNDING = 1e-12


class PowerLaw(NamedTuple):
    """y(n) = ``limit`` - ``gain`` * n ** -``rate``, one law for each place of ``(...)``, which is the shape of every field.

    ``gain`` >= 0, ``limit`` <= 1, ``rate`` within :data:`RATES`, and nan where ``gain`` is 0, since nothing is known of it there.
    ``residual``: root of the (weighted) mean square of what the law leaves, in units of the values.
    """

    limit: Floats
    gain: Floats
    rate: Floats
    residual: Floats


class FittedCurve(NamedTuple):
    """A curve of sizes from ``smallest`` to ``largest`` with its ``law``, shape ``()``, and those of the ``replicates``, shape ``(replicates,)``.

    ``plateau`` beyond ``largest`` is an extrapolation, and so is ``limit`` always; beyond half of ``largest`` the doubling that it speaks of
    ends where nothing was measured. ``last``: the fit_curve value at ``largest``; ``last_doubling``: that minus the one at half of it.
    """

    smallest: float
    largest: float
    law: PowerLaw
    replicates: PowerLaw
    limit: Interval
    rate: Interval
    plateau: Interval
    last_doubling: Interval
    last: Interval


class CurveGap(NamedTuple):
    """How far one fitted curve lies above another: at ``size``, the largest one that both measured, and between their limits."""

    size: float
    at_size: Interval
    limit: Interval


def fit_power_law(
    sizes: npt.ArrayLike, values: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> PowerLaw:
    """The law of least squares through ``values`` ``(..., n_points)``, scores in [0, 1], at ``sizes`` ``(n_points,)``; fields ``(...)``.

    Hestness et al. (2017), arXiv 1712.00409, for error rates; the form "pow3" of Viering and Loog (2023), The Shape of Learning Curves: a
    Review, IEEE TPAMI 45(6). For a given rate limit and gain are linear, and their bounds are kept exactly; the rate is sought on a grid of
    logarithms, refined around its best point. ``weights`` ``(n_points,)``: of the squares, else all alike. With three points the law may pass
    through all of them, and its residual says nothing. Curves that are flat first and rise then, as fine-tuning may, are no power laws.
    """
    n, y, w = _points(sizes, values, weights)
    flat, smallest = y.reshape(-1, len(n)), n.min()
    # relative to the smallest size, so that the powers are in (0, 1] for every rate
    relative, steps = n / smallest, np.linspace(0.0, 1.0, _FINE)
    grid = np.geomspace(*RATES, _COARSE)
    best = _solve(relative, flat, w, grid[None])[2].argmin(axis=1)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, _COARSE - 1)]
    every = np.arange(len(flat))
    for _ in range(_ROUNDS):
        rates = low[:, None] + (high - low)[:, None] * steps
        limit, gain, square = _solve(relative, flat, w, rates)
        best = square.argmin(axis=1)
        low, high = (
            rates[every, np.maximum(best - 1, 0)],
            rates[every, np.minimum(best + 1, _FINE - 1)],
        )
    limit, gain, square, rate = (table[every, best] for table in (limit, gain, square, rates))
    rises = gain * (1.0 - relative.max() ** -rate) > _ROUNDING
    fields = (
        limit,
        np.where(rises, gain * smallest**rate, 0.0),
        np.where(rises, rate, np.nan),
        np.sqrt(square),
    )
    return PowerLaw(*(field.reshape(y.shape[:-1]) for field in fields))


def _points(
    sizes: npt.ArrayLike, values: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    """Sizes, values, and weights that sum to 1."""
    n, y = np.asarray(sizes, dtype=np.float64), np.asarray(values, dtype=np.float64)
    w = np.ones(n.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if n.ndim != 1 or y.shape[-1:] != n.shape or w.shape != n.shape:
        raise ValueError(
            f"values must have one column, and weights one number, for each of {n.size} sizes; got {y.shape} and {w.shape}."
        )
    if not (np.isfinite(n) & (n > 0) & np.isfinite(w) & (w > 0)).all():
        raise ValueError("sizes and weights must be above 0 and finite.")
    if len(np.unique(n)) < 3:
        raise ValueError(
            f"a power law needs at least 3 different sizes; got {len(np.unique(n))}. Measure more sizes."
        )
    if not ((y >= 0) & (y <= _TOP)).all():
        raise ValueError("values must be scores in [0, 1]; some are outside, or missing.")
    return n, y, w / w.sum()


def _solve(
    relative: Floats, values: Floats, weights: Floats, rates: Floats
) -> tuple[Floats, Floats, Floats]:
    """Limit, gain and mean square, ``(n_curves, n_rates)`` each, of ``values`` ``(n_curves, n_points)`` under ``rates`` ``(n_curves or 1, n_rates)``.

    At most one bound is active: with the gain at 0 the limit is a mean of scores, and with the limit at 1 the gain cannot be negative.
    """
    x, y = relative ** -rates[..., None], values[:, None, :]
    mean_x, mean_y = x @ weights, y @ weights
    across, up = x - mean_x[..., None], y - mean_y[..., None]
    gain = np.maximum(-(across * up) @ weights / (across**2 @ weights), 0.0)
    limit = mean_y + gain * mean_x
    gain = np.where(limit > _TOP, (x * (_TOP - y)) @ weights / (x**2 @ weights), gain)
    limit = np.minimum(limit, _TOP)
    return limit, gain, (y - limit[..., None] + gain[..., None] * x) ** 2 @ weights


def power_law_value(law: PowerLaw, size: npt.ArrayLike) -> Floats:
    """y(``size``); the shapes of law and size are broadcast."""
    power = np.asarray(size, dtype=np.float64) ** -law.rate
    return np.asarray(law.limit - np.where(law.gain > 0, law.gain * power, 0.0))


def plateau_size(law: PowerLaw, threshold: float) -> Floats:
    """The size beyond which a doubling gains less than ``threshold`` (in units of the values), y(2n) - y(n), ``(...)``; 0 for a flat law.

    y(2n) - y(n) = gain (1 - 2 ** -rate) n ** -rate, which falls with n. Where the size is beyond those measured it is an extrapolation.
    """
    if not threshold > 0:
        raise ValueError(
            f"threshold must be above 0, else no power law ever flattens; got {threshold}."
        )
    rises = law.gain > 0
    at_one = law.gain * (1.0 - 2.0**-law.rate) / threshold
    # from logarithms, where a slow law and a tiny threshold give more than a float holds
    with np.errstate(over="ignore"):
        return np.asarray(
            np.where(
                rises,
                np.exp(np.log(np.where(rises, at_one, 1.0)) / np.where(rises, law.rate, 1.0)),
                0.0,
            )
        )


def fit_curve(
    sizes: npt.ArrayLike,
    by_seed: Sequence[npt.ArrayLike],
    threshold: float,
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> FittedCurve:
    """The law through the mean of every size's scores ``by_seed``, ``(n_seeds,)`` for each of ``sizes``, weighted by the number of seeds.

    The weights make it the fit through all scores. The intervals are the middle 95 % of a bootstrap over the seeds: of each size with k seeds
    k - 1 are drawn with replacement, independently of the other sizes, and the means are fit_curve again. Not k, as usual, since the means would
    then vary too little, by (k - 1) / k, which counts for few seeds (Rao and Wu 1988, JASA 83:231). They say nothing of other training texts or
    other test examples; with one seed at any size they say nothing of seeds either, and are nan. The interval of the rate is over the
    replicates that rise. ``threshold``: of :func:`plateau`.
    """
    scored = [np.asarray(one, dtype=np.float64) for one in by_seed]
    counts = np.array([len(one) for one in scored])
    n = np.asarray(sizes, dtype=np.float64)
    law = fit_power_law(n, [one.mean() for one in scored], counts)
    if counts.min() > 1:
        # by size, so that two curves with as many seeds at a size draw the same ones: see gap
        drawn = [
            np.random.default_rng([seed, int(size)]).integers(0, k, (replicates, k - 1))
            for size, k in zip(n, counts, strict=True)
        ]
        resampled = fit_power_law(
            n,
            np.stack(
                [one[places].mean(axis=1) for one, places in zip(scored, drawn, strict=True)],
                axis=1,
            ),
            counts,
        )
    else:
        resampled = PowerLaw(*np.full((4, replicates), np.nan))
    largest = float(n.max())

    def both(of: PowerLaw) -> tuple[Floats, ...]:
        last = power_law_value(of, largest)
        return (
            of.limit,
            of.rate,
            np.where(np.isnan(of.limit), np.nan, plateau_size(of, threshold)),
            last - power_law_value(of, largest / 2),
            last,
        )

    return FittedCurve(
        float(n.min()),
        largest,
        law,
        resampled,
        *(
            interval(np.append(one, many))
            for one, many in zip(both(law), both(resampled), strict=True)
        ),
    )


def curve_gap(one: FittedCurve, other: FittedCurve) -> CurveGap:
    """``one`` minus ``other``, with the middle 95 % of the differences between their replicates; ``limit`` is an extrapolation.

    Curves fit_curve with the same ``seed`` and as many seeds at a size have drawn the same places there: paired, for curves whose seeds are the
    same and in the same order. For curves that share no seeds, fit them with different ones.
    """
    if one.replicates.limit.shape != other.replicates.limit.shape:
        raise ValueError("two curves must have equally many replicates.")
    size = min(one.largest, other.largest)
    laws = ((one.law, other.law), (one.replicates, other.replicates))
    at_size = np.concatenate(
        [
            np.atleast_1d(power_law_value(mine, size) - power_law_value(its, size))
            for mine, its in laws
        ]
    )
    limit = np.concatenate([np.atleast_1d(mine.limit - its.limit) for mine, its in laws])
    return CurveGap(size, interval(at_size), interval(limit))
