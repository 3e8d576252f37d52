"""Intervals from resampled test examples and, with several seeds, the spread of the seeds.

All arms are resampled together, on the same examples. A difference, a ratio or any other function
of several arms is computed replicate by replicate; :func:`interval` gives its interval.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from project.stats.types import Codes, Floats

REPLICATES = 2000
Z95 = 1.959963984540054
"""The two-sided 95 % quantile of the normal distribution."""


class Interval(NamedTuple):
    """An estimate and the limits of its interval."""

    estimate: float
    low: float
    high: float


class WeightedScores(NamedTuple):
    """Scores in [0, 1] under several weightings of the examples.

    The first two have the shape ``(n_weightings, ...)``, the others one more axis of classes.
    """

    accuracy: Floats
    macro_f1: Floats
    precision: Floats
    recall: Floats
    f1: Floats


NO_INTERVAL = Interval(float("nan"), float("nan"), float("nan"))
"""The interval of an undefined estimate."""


def interval(values: Floats, level: float = 0.95) -> Interval:
    """The interval between the quantiles of the replicates.

    ``values`` ``(1 + replicates,)``, the estimate first. Undefined replicates (nan) are left out.
    ``level`` is the share of the replicates between the limits.
    """
    known = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(known):
        return Interval(float(values[0]), float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values[0]), float(low), float(high))


def simultaneous_intervals(values: Floats, level: float = 0.95) -> list[Interval]:
    """Intervals of several numbers that all hold together with probability ``level``.

    ``values`` ``(n_numbers, 1 + replicates)``, the estimates first. Each interval reaches the same
    number of its own standard errors to either side: the ``level`` quantile of the largest
    deviation in a replicate (single-step max-t; Westfall and Young 1993, Resampling-Based Multiple
    Testing, section 2), which makes use of the numbers' correlation. The standard error is read
    off the middle 95 % of the replicates, because the tails of few seeds are too heavy for a
    variance.
    """
    estimates = values[:, 0]
    replicates = values[:, 1:]
    low, high = np.nanquantile(replicates, [0.025, 0.975], axis=1)
    error = (high - low) / (2 * Z95)
    # Numbers that do not vary have no deviation. Replicates without a defined number are left out.
    varies = error > 0
    deviation = np.abs(replicates - estimates[:, None])[varies] / error[varies, None]
    deviation = deviation[:, ~np.isnan(deviation).all(axis=0)]
    reach = 0.0
    if deviation.size:
        reach = float(np.quantile(np.nanmax(deviation, axis=0), level))
    return [
        Interval(float(estimate), float(estimate - reach * e), float(estimate + reach * e))
        for estimate, e in zip(estimates, error, strict=True)
    ]


@functools.lru_cache(maxsize=2)  # all parts of a report resample the same examples
def example_weights(n: int, replicates: int, seed: int) -> Floats:
    """How often each of ``n`` examples is drawn, ``(1 + replicates, n)``, read-only.

    The first row stands for the data and is 1 everywhere; the others are bootstrap replicates.
    """
    random = np.random.default_rng(seed)
    weights = np.ones((1 + replicates, n))
    for row in weights[1:]:
        row[:] = np.bincount(random.integers(0, n, n), minlength=n)
    weights.flags.writeable = False
    return weights


def weighted_scores(
    gold: Codes, predicted: Codes, n_classes: int, weights: Floats
) -> WeightedScores:
    """Scores of every seed under every weighting, ``(n_weightings, n_seeds, ...)``.

    With all weights 1 they equal :func:`project.stats.scores.scores`.

    Parameters
    ----------
    gold : array ``(n,)``
        Gold class codes.
    predicted : array ``(n_seeds, n)``
        Predicted class codes of every seed.
    n_classes : int
        Size of the label set, over all of which macro-F1 runs; an undefined ratio counts 0.
    weights : array ``(n_weightings, n)``
        How often each example counts.
    """
    classes = np.arange(n_classes)
    is_gold = (gold[:, None] == classes).astype(np.float64)
    n_gold = weights @ is_gold
    total = weights.sum(axis=1)
    by_seed = []
    for codes in predicted:
        is_predicted = (codes[:, None] == classes).astype(np.float64)
        hits = weights @ (is_gold * is_predicted)
        n_predicted = weights @ is_predicted
        f1 = _ratio(2 * hits, n_gold + n_predicted)
        by_seed.append(
            WeightedScores(
                accuracy=hits.sum(axis=1) / total,
                macro_f1=f1.mean(axis=1),
                precision=_ratio(hits, n_predicted),
                recall=_ratio(hits, n_gold),
                f1=f1,
            )
        )
    return WeightedScores(*(np.stack(values, axis=1) for values in zip(*by_seed, strict=True)))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    zeros = np.zeros_like(numerator)
    return np.divide(numerator, denominator, out=zeros, where=denominator > 0)


def mean_over_seeds(values: Floats, random: np.random.Generator) -> Floats:
    """Means over the seeds, ``(1 + replicates, ...)``, with the spread of the seeds added.

    The replicates of ``values`` hold the chance of the examples and its interaction with the
    seeds. What remains of the variance between the seeds is their own. Its square root over that
    of the number of seeds, times a draw from Student's t with n_seeds - 1 degrees of freedom, is
    added to every replicate. Drawing seeds with replacement instead (a crossed bootstrap; Owen
    2007, Annals of Applied Statistics 1:386) counts the interaction twice and is too narrow for
    few seeds (``python -m benchmarks.coverage``). With one seed nothing is added.

    Parameters
    ----------
    values : array ``(1 + replicates, n_seeds, ...)``
        Scores of every seed, the first row from the data.
    random : numpy Generator
        Source of the draws.
    """
    mean = values.mean(axis=1)
    n_seeds = values.shape[1]
    if n_seeds < 2:
        return np.asarray(mean)
    centred = (values - mean[:, None])[1:]
    interaction = centred.var(axis=0, ddof=1).mean(axis=0) * n_seeds / (n_seeds - 1)
    own = np.sqrt(np.maximum(0.0, values[0].var(axis=0, ddof=1) - interaction) / n_seeds)
    draws = random.standard_t(n_seeds - 1, size=len(values) - 1)
    draws = np.concatenate([[0.0], draws])  # the first row is the data
    return np.asarray(mean + own * draws.reshape(-1, *(1,) * (mean.ndim - 1)))


def resampled_scores(
    gold: Codes,
    arms: Mapping[str, Codes],
    n_classes: int,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, WeightedScores]:
    """Scores of every arm, means over its seeds, in the data and in every replicate.

    Paired and hierarchical: all arms are scored on the same resampled examples, and the spread of
    each arm's seeds is added (:func:`mean_over_seeds`). With one seed the intervals leave out the
    spread of seeds.

    Parameters
    ----------
    gold : array ``(n,)``
        Gold class codes.
    arms : mapping
        Predictions ``(n_seeds, n)`` of every arm.
    n_classes : int
        Size of the label set.
    replicates : int
        Number of bootstrap replicates.
    seed : int
        Seed of the replicates.

    Returns
    -------
    dict
        Scores ``(1 + replicates, ...)`` by arm, the first row from the data.
    """
    weights = example_weights(len(gold), replicates, seed)
    scores_of_arm = {}
    for index, (name, predicted) in enumerate(arms.items()):
        by_seed = weighted_scores(gold, predicted, n_classes, weights)
        # The same draws for all scores of an arm, different ones for every arm.
        means = (
            mean_over_seeds(values, np.random.default_rng([seed, index])) for values in by_seed
        )
        scores_of_arm[name] = WeightedScores(*(np.clip(values, 0.0, 1.0) for values in means))
    return scores_of_arm


def gap_closed(arm: Floats, llm: Floats, gold: Floats) -> Interval:
    """The share of the way from ``llm`` to ``gold`` that ``arm`` has gone, with its interval.

    All ``(1 + replicates,)``. Undefined where the 95 % interval of gold minus llm reaches down to
    zero, since the share of a gap that may not exist means nothing.
    """
    gap = gold - llm
    if interval(gap).low <= 0:
        return NO_INTERVAL
    undefined = np.full_like(gap, np.nan)
    return interval(np.divide(arm - llm, gap, out=undefined, where=gap > 0))
