"""Intervals by resampling the test examples, and the seeds where there are several.

Arms are resampled together: all of them on the same examples. A difference, a ratio, or any other function of several arms is then computed replicate
by replicate, and :func:`interval` reads its interval off.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from project.stats.types import Codes, Floats

REPLICATES = 2000
Z95 = 1.959963984540054
"""The normal distribution's two-sided 95 % quantile."""


class Interval(NamedTuple):
    """An estimate, and between which values the middle 95 per cent of its replicates lie."""

    estimate: float
    low: float
    high: float


class WeightedScores(NamedTuple):
    """Scores in [0, 1] under several weightings of the examples: the first two ``(n_weightings, ...)``, the others with an axis of classes behind."""

    accuracy: Floats
    macro_f1: Floats
    precision: Floats
    recall: Floats
    f1: Floats


NO_INTERVAL = Interval(float("nan"), float("nan"), float("nan"))
"""Of what is not defined."""


def interval(values: Floats, level: float = 0.95) -> Interval:
    """The interval of ``values`` ``(1 + replicates,)``, the estimate first; replicates in which it is undefined (nan) are left out.

    ``level``: the share of the replicates between its limits.
    """
    known = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(known):
        return Interval(float(values[0]), float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values[0]), float(low), float(high))


def simultaneous_intervals(values: Floats, level: float = 0.95) -> list[Interval]:
    """Intervals of several numbers, ``values`` ``(n_numbers, 1 + replicates)``, that hold at once with probability ``level``.

    Each reaches as many of its own standard errors to either side as the most deviant of all numbers lies off in a share ``level`` of the replicates
    (single-step max-t; Westfall and Young 1993, Resampling-Based Multiple Testing, section 2), which makes use of how alike they are. The standard
    error is read off the middle 95 per cent, since the tails of few seeds are too heavy for a variance.
    """
    estimate, replicates = values[:, 0], values[:, 1:]
    low, high = np.nanquantile(replicates, [0.025, 0.975], axis=1)
    error = (high - low) / (2 * Z95)
    off = np.abs(replicates - estimate[:, None])[error > 0] / error[error > 0, None]
    off = off[:, ~np.isnan(off).all(axis=0)]
    reach = float(np.quantile(np.nanmax(off, axis=0), level)) if off.size else 0.0
    return [
        Interval(float(one), float(one - reach * each), float(one + reach * each))
        for one, each in zip(estimate, error, strict=True)
    ]


@functools.lru_cache(maxsize=2)  # all parts of a report resample the same examples
def example_weights(n: int, replicates: int, seed: int) -> Floats:
    """How often each of ``n`` examples is drawn, ``(1 + replicates, n)``, read-only: once in the first row, the data, then in every replicate."""
    random, weights = np.random.default_rng(seed), np.ones((1 + replicates, n))
    for row in weights[1:]:
        row[:] = np.bincount(random.integers(0, n, n), minlength=n)
    weights.flags.writeable = False
    return weights


def weighted_scores(
    gold: Codes, predicted: Codes, n_classes: int, weights: Floats
) -> WeightedScores:
    """Scores of every seed under every weighting, ``(n_weightings, n_seeds, ...)``.

    ``gold`` ``(n,)``, ``predicted`` ``(n_seeds, n)``, ``weights`` ``(n_weightings, n)``. Over all classes; an undefined ratio counts 0, as in
    :func:`project.stats.scores.scores`, to which these are equal where all weights are 1.
    """
    true = (gold[:, None] == np.arange(n_classes)).astype(np.float64)
    in_gold, total = weights @ true, weights.sum(axis=1)
    made = []
    for given in predicted:
        said = (given[:, None] == np.arange(n_classes)).astype(np.float64)
        hits, in_given = weights @ (true * said), weights @ said
        precision, recall, f1 = (
            _ratio(hits, in_given),
            _ratio(hits, in_gold),
            _ratio(2 * hits, in_gold + in_given),
        )
        made.append(
            WeightedScores(hits.sum(axis=1) / total, f1.mean(axis=1), precision, recall, f1)
        )
    return WeightedScores(*(np.stack(values, axis=1) for values in zip(*made, strict=True)))


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def mean_over_seeds(values: Floats, random: np.random.Generator) -> Floats:
    """Means over the seeds, ``(1 + replicates, ...)``, with the chance that is the seeds' own added to every replicate.

    ``values`` ``(1 + replicates, n_seeds, ...)``, the first row the data. The replicates hold the chance that is the examples', with that part of it
    which differs from seed to seed, the interaction. What is left of the variance between the seeds is their own: its square root over that of
    ``n_seeds``, times a number drawn from Student's t with ``n_seeds - 1`` degrees of freedom, is added. To draw seeds with replacement instead (a
    crossed bootstrap; Owen 2007, Annals of Applied Statistics 1:386) counts the interaction twice and is too narrow for few seeds
    (``python -m benchmarks.coverage``). One seed says nothing of seeds: nothing is added.
    """
    mean, n_seeds = values.mean(axis=1), values.shape[1]
    if n_seeds < 2:
        return np.asarray(mean)
    interaction = (
        (values - mean[:, None])[1:].var(axis=0, ddof=1).mean(axis=0) * n_seeds / (n_seeds - 1)
    )
    own = np.sqrt(np.maximum(0.0, values[0].var(axis=0, ddof=1) - interaction) / n_seeds)
    drawn = np.concatenate([[0.0], random.standard_t(n_seeds - 1, size=len(values) - 1)])
    return np.asarray(mean + own * drawn.reshape(-1, *(1,) * (mean.ndim - 1)))


def resampled_scores(
    gold: Codes,
    arms: Mapping[str, Codes],
    n_classes: int,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, WeightedScores]:
    """Every arm's scores, means over its seeds, in the data (first row) and in every replicate, ``(1 + replicates, ...)``.

    ``arms``: predictions ``(n_seeds, n)`` of each. Paired and hierarchical: all arms are scored on the same resampled examples, and the chance of
    each arm's seeds is added (:func:`mean_over_seeds`). With one seed the replicates say nothing of seeds.
    """
    weights = example_weights(len(gold), replicates, seed)
    found = {}
    for place, (name, predicted) in enumerate(arms.items()):
        scored = weighted_scores(gold, predicted, n_classes, weights)
        # the same numbers for all scores of an arm, others for every arm
        parts = (mean_over_seeds(values, np.random.default_rng([seed, place])) for values in scored)
        found[name] = WeightedScores(*(np.clip(values, 0.0, 1.0) for values in parts))
    return found


def gap_closed(arm: Floats, llm: Floats, gold: Floats) -> Interval:
    """Share of the way from ``llm`` to ``gold`` that ``arm`` has gone, all ``(1 + replicates,)``, with its interval.

    Not a number where the 95 % interval of gold minus llm holds zero: a share of nothing.
    """
    gap = gold - llm
    if interval(gap).low <= 0:
        return NO_INTERVAL
    return interval(np.divide(arm - llm, gap, out=np.full_like(gap, np.nan), where=gap > 0))
