"""The rate of random label errors that would cost as much as the annotator's errors."""

from __future__ import annotations

import numpy as np

from project.stats.bootstrap import Interval
from project.stats.types import Floats


def noise_equivalent_rate(rates: Floats, scores: Floats, target: Floats) -> Interval:
    """The rate of uniform label flips at which classifiers score as with the labels in question.

    By linear interpolation between the rates, after the scores are made to fall with the rate
    (isotonic regression).

    Parameters
    ----------
    rates
        Rising rates of flips ``(n_rates,)``; the first is 0, gold.
    scores
        Scores of classifiers trained at each rate ``(n_rates, 1 + replicates)``, the first column
        from the data.
    target
        Scores of classifiers trained on the labels in question ``(1 + replicates,)``.

    Returns
    -------
    Interval
        In the unit of ``rates``, 95 %. ``inf``: worse than the largest rate; 0: as good as gold.
    """
    # A rate can be read off only if the score falls at every step; noise may make it rise.
    falling = _falling(scores)
    rate = np.full(target.shape, np.inf)
    # From the largest rate down, so that the smallest rate at which the score reaches the target
    # is the last one to be written.
    for index in range(len(rates) - 1, 0, -1):
        upper = falling[index - 1]
        lower = falling[index]
        zeros = np.zeros_like(target)
        step = np.divide(upper - target, upper - lower, out=zeros, where=upper > lower)
        width = rates[index] - rates[index - 1]
        between = rates[index - 1] + np.clip(step, 0.0, 1.0) * width
        rate = np.where(lower <= target, between, rate)
    rate = np.where(falling[0] <= target, rates[0], rate)
    # Limits are values of replicates: interpolation with inf would be undefined.
    return Interval(
        float(rate[0]),
        float(np.quantile(rate[1:], 0.025, method="lower")),
        float(np.quantile(rate[1:], 0.975, method="higher")),
    )


def _falling(scores: Floats) -> Floats:
    """The falling sequence closest to every column of ``scores`` ``(n_rates, n)``."""
    from scipy.optimize import isotonic_regression

    columns = [isotonic_regression(column, increasing=False).x for column in scores.T]
    return np.stack(columns, axis=1)
