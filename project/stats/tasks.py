"""Statistics over tasks: each task is one draw from the tasks that a method is used for."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from scipy import stats

from project.stats.bootstrap import Interval
from project.stats.types import Floats

MIN_FOR_LIMITS = 6
"""Fewest tasks for which a median has limits of 95 %: with five, even the smallest and the largest
value enclose it in 93.8 % of all samples only."""
MIN_FOR_REGRESSION = 8
"""Fewest tasks on which a regression is fitted."""


class Quartiles(NamedTuple):
    """First quartile, median with its limits, third quartile; ``n`` tasks."""

    low: float
    median: Interval
    high: float
    n: int


def quartiles(values: Floats, level: float = 0.95) -> Quartiles:
    """Quartiles of one number for each task, and limits of the median over all such tasks.

    The quartiles are those of numpy's default, type 7 of Hyndman and Fan (1996). The limits are two
    of the sorted values, which enclose the median of any continuous distribution with at least
    ``level`` (Conover 1999, 3.2); nan where no two values do.

    Parameters
    ----------
    values
        One number for each task ``(n,)``; nan are left out.
    level
        Of the limits.

    Returns
    -------
    Quartiles
        In the unit of ``values``; all nan for no values.
    """
    known = np.sort(values[~np.isnan(values)])
    nan = float("nan")
    if not len(known):
        return Quartiles(nan, Interval(nan, nan, nan), nan, 0)
    low, median, high = (float(part) for part in np.quantile(known, (0.25, 0.5, 0.75)))
    # The limits are the values of this rank from below and from above.
    rank = int(stats.binom.ppf((1 - level) / 2, len(known), 0.5))
    limits = (float(known[rank - 1]), float(known[-rank])) if rank else (nan, nan)
    return Quartiles(low, Interval(median, *limits), high, len(known))


class Shift(NamedTuple):
    """A paired difference over tasks.

    Attributes
    ----------
    difference
        The Hodges-Lehmann estimate: median of all means of two differences, with its limits.
    p
        Two-sided p value of Wilcoxon's signed-rank test that the differences lie around 0; nan
        where it could not be below one less the level, however the differences lay.
    n
        Number of tasks.
    """

    difference: Interval
    p: float
    n: int


def shift(differences: Floats, level: float = 0.95) -> Shift:
    """Where paired differences lie, with exact limits and Wilcoxon's signed-rank test.

    Source: Hollander, Wolfe and Chicken (2014), 3.1 to 3.3. Both take it that the differences are
    spread symmetrically. Differences of 0 are left out of the test, as there.

    Parameters
    ----------
    differences
        One for each task ``(n,)``; nan are left out.
    level
        Of the limits, which are at least as wide.

    Returns
    -------
    Shift
        The limits are nan where so few tasks cannot give any of this level.
    """
    known = differences[~np.isnan(differences)]
    n = len(known)
    nan = float("nan")
    if not n:
        return Shift(Interval(nan, nan, nan), nan, 0)
    pairs = itertools.combinations_with_replacement(known, 2)
    means = np.sort([(first + second) / 2 for first, second in pairs])
    estimate = float(np.median(means))
    counts = _signed_rank_counts(n)
    cumulative = np.cumsum(counts) / counts.sum()
    # So many of the sorted means lie beyond each limit.
    beyond = int(np.searchsorted(cumulative, (1 - level) / 2, side="right"))
    limits = (float(means[beyond - 1]), float(means[-beyond])) if beyond else (nan, nan)
    moved = known[known != 0]
    p = nan  # so few tasks cannot give any p value below 1 - level
    if beyond:
        p = float(stats.wilcoxon(moved, method="auto").pvalue) if len(moved) else 1.0
    return Shift(Interval(estimate, *limits), p, n)


def _signed_rank_counts(n: int) -> Floats:
    """How many of the 2**n choices of signs give each sum of positive ranks, from 0 on."""
    counts = np.ones(1)
    for rank in range(1, n + 1):
        longer = np.zeros(len(counts) + rank)
        longer[: len(counts)] += counts
        longer[rank:] += counts
        counts = longer
    return counts


class Relation(NamedTuple):
    """A linear regression over tasks.

    Attributes
    ----------
    slopes
        Change of the outcome for one standard deviation more of each feature ``(n_features,)``.
    error
        Root of the mean squared error where every task is predicted from the others.
    error_of_mean
        The same where the prediction is the mean of the others, without any feature.
    p
        F test that no feature goes with the outcome.
    n
        Number of tasks.
    """

    slopes: Floats
    error: float
    error_of_mean: float
    p: float
    n: int


def relation(features: Floats, outcome: Floats) -> Relation | None:
    """Ordinary least squares of an outcome on features, with its leave-one-task-out error.

    The errors of left-out tasks come from the residuals and the hat matrix, without refitting
    (Allen 1974, PRESS): ``residual / (1 - leverage)``.

    Parameters
    ----------
    features
        One row for each task ``(n, n_features)``, without nan.
    outcome
        ``(n,)``, without nan.

    Returns
    -------
    Relation | None
        None with fewer than ``MIN_FOR_REGRESSION`` tasks, fewer than three tasks for each
        coefficient, a constant feature, or features that determine one another.
    """
    n, n_features = features.shape
    if n < max(MIN_FOR_REGRESSION, 3 * (n_features + 1)):
        return None
    spreads = features.std(axis=0, ddof=1)
    if (spreads <= 1e-12 * np.abs(features).max(axis=0)).any():
        return None
    scaled = (features - features.mean(axis=0)) / spreads
    design = np.column_stack([np.ones(n), scaled])
    if np.linalg.matrix_rank(design) < n_features + 1:
        return None
    inverse = np.linalg.pinv(design)
    coefficients = inverse @ outcome
    leverage = np.einsum("ij,ji->i", design, inverse)
    if (leverage > 1 - 1e-9).any():  # one task alone decides a coefficient
        return None
    residuals = outcome - design @ coefficients
    left_out = residuals / (1 - leverage)
    of_mean = (outcome - outcome.mean()) * n / (n - 1)
    explained = float(((outcome - outcome.mean()) ** 2).sum() - (residuals**2).sum())
    unexplained = float((residuals**2).sum()) / (n - n_features - 1)
    f = explained / n_features / unexplained if unexplained > 0 else np.inf
    return Relation(
        slopes=coefficients[1:],
        error=float(np.sqrt((left_out**2).mean())),
        error_of_mean=float(np.sqrt((of_mean**2).mean())),
        p=float(stats.f.sf(f, n_features, n - n_features - 1)),
        n=n,
    )
