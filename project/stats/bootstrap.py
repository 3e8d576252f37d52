"""Intervals by resampling the test examples, and the seeds where there are several."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


class Interval(NamedTuple):
    """An estimate, and between which values the middle 95 per cent of its replicates lie."""

    estimate: float
    low: float
    high: float


def example_weights(n: int, replicates: int, seed: int) -> Floats:
    """How often each of ``n`` examples is drawn in every replicate of a bootstrap, ``(replicates, n)``."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=replicates).astype(np.float64)


def macro_f1(gold: Codes, predicted: Codes, n_classes: int, weights: Floats) -> Floats:
    """Macro-F1 of every seed under every weighting of the examples, ``(n_weightings, n_seeds)``.

    ``gold`` ``(n,)``, ``predicted`` ``(n_seeds, n)``, ``weights`` ``(n_weightings, n)``. Over all classes; an undefined ratio counts 0, as in
    :func:`project.stats.scores.scores`, to which this is equal where all weights are 1.
    """
    classes = np.arange(n_classes)
    true = gold[:, None] == classes
    in_gold = weights @ true
    result = np.empty((len(weights), len(predicted)))
    for seed, given in enumerate(predicted):
        said = given[:, None] == classes
        total = in_gold + weights @ said
        result[:, seed] = np.divide(2 * (weights @ (true & said)), total, out=np.zeros_like(total), where=total > 0).mean(axis=1)
    return result


def macro_f1_difference(gold: Codes, one: Codes, other: Codes, n_classes: int, *, replicates: int = 2000, seed: int = 0) -> Interval:
    """Mean macro-F1 over the seeds of ``one`` minus that of ``other``, both ``(n_seeds, n)``, with a 95 % interval.

    A paired, hierarchical bootstrap: both are scored on the same resampled examples, and the seeds of each are resampled too. With one seed
    the interval says nothing of seeds.
    """
    random = np.random.default_rng([seed, 1])
    weights = np.concatenate([np.ones((1, len(gold))), example_weights(len(gold), replicates, seed)])
    means = []
    for predicted in (one, other):
        scored = macro_f1(gold, predicted, n_classes, weights)
        drawn = random.integers(0, len(predicted), size=(replicates, len(predicted)))
        means.append(np.concatenate([[scored[0].mean()], np.take_along_axis(scored[1:], drawn, axis=1).mean(axis=1)]))
    difference = means[0] - means[1]
    low, high = np.quantile(difference[1:], [0.025, 0.975])
    return Interval(float(difference[0]), float(low), float(high))
