"""Intervals from resampled test examples and, with several seeds, the spread of the seeds.

All arms are resampled together, on the same examples. A difference, a ratio or any other function
of several arms is computed replicate by replicate; :func:`interval` gives its interval.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from project.stats.types import Codes, Floats, Weights
from project.stats.weighting import weighted

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
    number of its own standard errors to either side. In a replicate, the largest deviation of any
    number from its estimate is noted, in standard errors. The intervals reach as far as the
    ``level`` quantile of these deviations (single-step max-t; Westfall and Young 1993,
    Resampling-Based Multiple Testing, section 2). Correlated numbers thus get shorter intervals.
    The standard error is read off the middle 95 % of the replicates, because the tails of few
    seeds are too heavy for a variance.
    """
    estimates = values[:, 0]
    replicates = values[:, 1:]
    low, high = np.nanquantile(replicates, [0.025, 0.975], axis=1)
    standard_errors = (high - low) / (2 * Z95)
    # Numbers that do not vary have no deviation. Replicates without a defined number are left out.
    varies = standard_errors > 0
    deviation = np.abs(replicates - estimates[:, None])[varies] / standard_errors[varies, None]
    deviation = deviation[:, ~np.isnan(deviation).all(axis=0)]
    reach = 0.0
    if deviation.size:
        reach = float(np.quantile(np.nanmax(deviation, axis=0), level))
    half_widths = reach * standard_errors
    return [
        Interval(float(estimate), float(estimate - half_width), float(estimate + half_width))
        for estimate, half_width in zip(estimates, half_widths, strict=True)
    ]


@functools.lru_cache(maxsize=2)  # all parts of a report resample the same examples
def example_weights(n_examples: int, replicates: int, seed: int) -> Weights:
    """How often each example is drawn, ``(1 + replicates, n_examples)``, read-only.

    The first row stands for the data and is 1 everywhere; the others are bootstrap replicates.

    Parameters
    ----------
    n_examples
        Number of examples. Each replicate draws this many of them, with replacement.
    replicates
        Number of bootstrap replicates.
    seed
        Seed of the draws.
    """
    random = np.random.default_rng(seed)
    # In bytes: real numbers take eight times the memory, 320 MB for 20,000 examples. Nothing is
    # drawn more than 255 times: the chance of that is below 1 / 255!, ten to the power of -504.
    weights = np.ones((1 + replicates, n_examples), dtype=np.uint8)
    for row in weights[1:]:
        drawn = random.integers(0, n_examples, n_examples)
        row[:] = np.bincount(drawn, minlength=n_examples)
    # All callers share the cached array.
    weights.flags.writeable = False
    return weights


def weighted_scores(
    gold: Codes, predicted: Codes, n_classes: int, weights: Weights
) -> WeightedScores:
    """Scores of every seed under every weighting, ``(n_weightings, n_seeds, ...)``.

    With all weights 1 they equal :func:`project.stats.scores.scores`.

    Parameters
    ----------
    gold
        Gold class codes ``(n,)``.
    predicted
        Predicted class codes of every seed ``(n_seeds, n)``.
    n_classes
        Size of the label set. Macro-F1 is the mean over the classes with a gold label in the data;
        an undefined ratio counts 0.
    weights
        How often each example counts ``(n_weightings, n)``.
    """
    classes = np.arange(n_classes)
    is_gold = (gold[:, None] == classes).astype(np.float64)
    n_gold = weighted(weights, is_gold)
    total = weights.sum(axis=1)
    present = np.unique(gold)
    by_seed = []
    # Seed by seed: the scores of all seeds at once would take n_seeds times the memory.
    for codes in predicted:
        is_predicted = (codes[:, None] == classes).astype(np.float64)
        both = weighted(weights, np.concatenate([is_gold * is_predicted, is_predicted], axis=1))
        hits, n_predicted = np.split(both, 2, axis=1)
        f1 = _ratio(2 * hits, n_gold + n_predicted)
        by_seed.append(
            WeightedScores(
                accuracy=hits.sum(axis=1) / total,
                macro_f1=f1[:, present].mean(axis=1),
                precision=_ratio(hits, n_predicted),
                recall=_ratio(hits, n_gold),
                f1=f1,
            )
        )
    return _stacked(by_seed)


def _stacked(by_seed: list[WeightedScores]) -> WeightedScores:
    """The scores of all seeds, with an axis of seeds behind that of the weightings."""
    fields = {
        name: np.stack([getattr(scores, name) for scores in by_seed], axis=1)
        for name in WeightedScores._fields
    }
    return WeightedScores(**fields)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """The ratio, 0 where the denominator is 0."""
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
    values
        Scores of every seed ``(1 + replicates, n_seeds, ...)``, the first row from the data.
    random
        Source of the draws.
    """
    mean = values.mean(axis=1)
    n_seeds = values.shape[1]
    if n_seeds < 2:
        return np.asarray(mean)
    draws = random.standard_t(n_seeds - 1, size=len(values) - 1)
    return mean_with_draws(values, np.concatenate([[0.0], draws]))  # the first row is the data


def mean_with_draws(values: Floats, draws: Floats) -> Floats:
    """:func:`mean_over_seeds` with given draws of Student's t ``(1 + replicates,)``."""
    standard_error = np.sqrt(own_seed_variance(values[0], values[1:]) / values.shape[1])
    mean = values.mean(axis=1)
    # One draw for all scores of a replicate.
    further_axes = (1,) * (mean.ndim - 1)
    return np.asarray(mean + standard_error * draws.reshape(-1, *further_axes))


def own_seed_variance(data: Floats, resampled: Floats) -> Floats:
    """The variance between seeds that is their own, without the part of the examples, ``(...)``.

    Parameters
    ----------
    data
        Score of every seed ``(n_seeds, ...)``, two at least.
    resampled
        The same in the replicates ``(replicates, n_seeds, ...)``.
    """
    n_seeds = len(data)
    # How a seed's distance from the mean of the seeds changes with the examples. Distances from a
    # mean of k values vary too little, by the factor (k - 1) / k.
    centred = resampled - resampled.mean(axis=1, keepdims=True)
    interaction = centred.var(axis=0, ddof=1).mean(axis=0) * n_seeds / (n_seeds - 1)
    return np.asarray(np.maximum(0.0, data.var(axis=0, ddof=1) - interaction))


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
    gold
        Gold class codes ``(n,)``.
    arms
        Predictions ``(n_seeds, n)`` of every arm.
    n_classes
        Size of the label set.
    replicates
        Number of bootstrap replicates.
    seed
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
        means = {}
        for score, values in by_seed._asdict().items():
            # A new generator each time: all scores of an arm get the same draws, every arm its own.
            random = np.random.default_rng([seed, index])
            # The spread of the seeds, which is added, may lead out of the range of scores.
            means[score] = np.clip(mean_over_seeds(values, random), 0.0, 1.0)
        scores_of_arm[name] = WeightedScores(**means)
    return scores_of_arm
