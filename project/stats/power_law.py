"""The saturating power law of a learning curve, y(n) = limit - gain n^-rate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.types import Floats

RATES = (0.02, 3.0)
"""Smallest and largest rate: a doubling closes between 1.4 and 87.5 % of the way to the limit."""
_MAX_SCORE = 1.0
_N_COARSE = 48  # rates of the first grid
_N_FINE = 9  # rates of each refined grid
_ROUNDS = 12  # of refinement
_ROUNDING = 1e-12  # a smaller gain over the measured sizes is none


class PowerLaw(NamedTuple):
    """y(n) = ``limit`` - ``gain`` * n ** -``rate``; every field has the shape ``(...)``.

    ``gain`` is at least 0, ``limit`` at most 1, and ``rate`` within :data:`RATES`. Where the gain
    is 0 the rate is unknown, nan. ``residual`` is the root of the (weighted) mean square of the
    residuals, in units of the values.
    """

    limit: Floats
    gain: Floats
    rate: Floats
    residual: Floats


class _Points(NamedTuple):
    """Sizes ``(n_points,)``, values ``(..., n_points)``, and weights that sum to 1."""

    sizes: Floats
    values: Floats
    weights: Floats


class _LinearFit(NamedTuple):
    """The best limit and gain for some rates, ``(n_curves, n_rates)`` each.

    ``mean_square`` is the weighted mean square of the residuals.
    """

    limit: Floats
    gain: Floats
    mean_square: Floats


def fit_power_law(
    sizes: npt.ArrayLike, values: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> PowerLaw:
    """The power law of least squares through the points of one or several curves.

    Hestness et al. (2017), arXiv 1712.00409, for error rates; the form "pow3" of Viering and Loog
    (2023), The Shape of Learning Curves: a Review, IEEE TPAMI 45(6). For a given rate the limit and
    the gain are linear, and their bounds are kept exactly. The rate is searched on a logarithmic
    grid, which is refined around its best point; this fits thousands of curves at once, which
    scipy's curve_fit would have to fit one by one. With three points the law may pass through all
    of them, and its residual means nothing. Curves that are flat first and then rise, as in
    fine-tuning, do not follow a power law.

    Parameters
    ----------
    sizes
        At least three different sizes ``(n_points,)``.
    values
        Scores ``(..., n_points)`` in [0, 1].
    weights
        Weights of the squares ``(n_points,)``; equal by default.

    Returns
    -------
    PowerLaw
        Fields of shape ``(...)``.

    Raises
    ------
    ValueError
        If shapes differ, sizes or weights are not above 0, or values are not scores.
    """
    n, y, w = _points(sizes, values, weights)
    smallest = n.min()
    # Relative to the smallest size, so that the powers are in (0, 1] for every rate.
    relative = n / smallest
    rate, fit = _best_rates(relative, y.reshape(-1, len(n)), w)
    rises = fit.gain * (1.0 - relative.max() ** -rate) > _ROUNDING
    law = PowerLaw(
        limit=fit.limit,
        gain=np.where(rises, fit.gain * smallest**rate, 0.0),
        rate=np.where(rises, rate, np.nan),
        residual=np.sqrt(fit.mean_square),
    )
    return PowerLaw(*(field.reshape(y.shape[:-1]) for field in law))


def _best_rates(relative: Floats, curves: Floats, weights: Floats) -> tuple[Floats, _LinearFit]:
    """The rate of least squares of every curve, and its limit and gain, ``(n_curves,)`` each."""
    grid = np.geomspace(*RATES, _N_COARSE)
    best = _linear_fit(relative, curves, weights, grid[None]).mean_square.argmin(axis=1)
    low = grid[np.maximum(best - 1, 0)]
    high = grid[np.minimum(best + 1, _N_COARSE - 1)]
    # Every round searches between the neighbours of the best rate so far.
    steps = np.linspace(0.0, 1.0, _N_FINE)
    all_curves = np.arange(len(curves))
    for _ in range(_ROUNDS):
        rates = low[:, None] + (high - low)[:, None] * steps
        fit = _linear_fit(relative, curves, weights, rates)
        best = fit.mean_square.argmin(axis=1)
        low = rates[all_curves, np.maximum(best - 1, 0)]
        high = rates[all_curves, np.minimum(best + 1, _N_FINE - 1)]
    at_best = _LinearFit(*(table[all_curves, best] for table in fit))
    return rates[all_curves, best], at_best


def _points(sizes: npt.ArrayLike, values: npt.ArrayLike, weights: npt.ArrayLike | None) -> _Points:
    """The points as arrays; raises ValueError for points that cannot be fitted."""
    n = np.asarray(sizes, dtype=np.float64)
    y = np.asarray(values, dtype=np.float64)
    w = np.ones(n.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if n.ndim != 1 or y.shape[-1:] != n.shape or w.shape != n.shape:
        raise ValueError(
            f"values must have one column, and weights one number, for each of {n.size} sizes; "
            f"got {y.shape} and {w.shape}."
        )
    if not (np.isfinite(n) & (n > 0) & np.isfinite(w) & (w > 0)).all():
        raise ValueError("sizes and weights must be above 0 and finite.")
    n_sizes = len(np.unique(n))
    if n_sizes < 3:
        raise ValueError(
            f"a power law needs at least 3 different sizes; got {n_sizes}. Measure more sizes."
        )
    if not ((y >= 0) & (y <= _MAX_SCORE)).all():
        raise ValueError("values must be scores in [0, 1]; some are outside, or missing.")
    return _Points(n, y, w / w.sum())


def _linear_fit(relative: Floats, values: Floats, weights: Floats, rates: Floats) -> _LinearFit:
    """Limit and gain of least squares for every curve and rate.

    At most one bound is active: with the gain at 0 the limit is a mean of scores, and with the
    limit at 1 the gain cannot be negative.

    Parameters
    ----------
    relative
        Sizes relative to the smallest ``(n_points,)``.
    values
        Scores ``(n_curves, n_points)``.
    weights
        Weights that sum to 1 ``(n_points,)``.
    rates
        Rates to try ``(n_curves or 1, n_rates)``.
    """
    # Weighted linear regression of y = limit - gain x, with x = size^-rate.
    x = relative ** -rates[..., None]
    y = values[:, None, :]
    mean_x = x @ weights
    mean_y = y @ weights
    dx = x - mean_x[..., None]
    dy = y - mean_y[..., None]
    gain = np.maximum(-(dx * dy) @ weights / (dx**2 @ weights), 0.0)
    limit = mean_y + gain * mean_x
    # Where the limit would exceed its bound, it stays there, and the gain is fitted alone.
    gain_at_bound = (x * (_MAX_SCORE - y)) @ weights / (x**2 @ weights)
    gain = np.where(limit > _MAX_SCORE, gain_at_bound, gain)
    limit = np.minimum(limit, _MAX_SCORE)
    residual = y - limit[..., None] + gain[..., None] * x
    return _LinearFit(limit, gain, residual**2 @ weights)


def power_law_value(law: PowerLaw, size: npt.ArrayLike) -> Floats:
    """y(``size``); the shapes of law and size are broadcast."""
    power = np.asarray(size, dtype=np.float64) ** -law.rate
    return np.asarray(law.limit - np.where(law.gain > 0, law.gain * power, 0.0))


def plateau_size(law: PowerLaw, threshold: float) -> Floats:
    """The size beyond which doubling gains less than ``threshold``, ``(...)``; 0 for a flat law.

    y(2n) - y(n) = gain (1 - 2^-rate) n^-rate, which falls with n. A result beyond the measured
    sizes is an extrapolation. ``threshold`` is in units of the values; ValueError unless above 0.
    """
    if not threshold > 0:
        raise ValueError(
            f"threshold must be above 0, else no power law ever flattens; got {threshold}."
        )
    rises = law.gain > 0
    gain_at_one = law.gain * (1.0 - 2.0**-law.rate) / threshold
    # By logarithms: a slow law and a tiny threshold give a size beyond the range of floats.
    with np.errstate(over="ignore"):
        log_size = np.log(np.where(rises, gain_at_one, 1.0)) / np.where(rises, law.rate, 1.0)
        return np.asarray(np.where(rises, np.exp(log_size), 0.0))
