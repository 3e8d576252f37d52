"""Intervals by resampling the test examples, and the seeds where there are several.

Arms are resampled together: all of them on the same examples. A difference, a ratio, or any other function of several arms is then computed replicate
by replicate, and :func:`interval` reads its interval off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
REPLICATES = 2000


class Interval(NamedTuple):
    """An estimate, and between which values the middle 95 per cent of its replicates lie."""

    estimate: float
    low: float
    high: float


class Weighted(NamedTuple):
    """Scores in [0, 1] under several weightings of the examples: the first two ``(n_weightings, ...)``, the others with an axis of classes behind."""

    accuracy: Floats
    macro_f1: Floats
    precision: Floats
    recall: Floats
    f1: Floats


def interval(values: Floats, level: float = 0.95) -> Interval:
    """The interval of ``values`` ``(1 + replicates,)``, the estimate first; replicates in which it is undefined (nan) are left out.

    ``level``: the share of the replicates between its limits.
    """
    known = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(known):
        return Interval(float(values[0]), float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values[0]), float(low), float(high))


def simultaneous(values: Floats, level: float = 0.95) -> list[Interval]:
    """Intervals of several numbers, ``values`` ``(n_numbers, 1 + replicates)``, that hold at once with probability ``level``.

    Each reaches as many of its own standard errors to either side as the most deviant of all numbers lies off in a share ``level`` of the replicates
    (single-step max-t; Westfall and Young 1993, Resampling-Based Multiple Testing, section 2), which makes use of how alike they are.
    """
    estimate, replicates = values[:, 0], values[:, 1:]
    error = np.nanstd(replicates, axis=1, ddof=1)
    off = np.abs(replicates - estimate[:, None])[error > 0] / error[error > 0, None]
    reach = float(np.quantile(np.nanmax(off, axis=0), level)) if len(off) else 0.0
    return [Interval(float(one), float(one - reach * each), float(one + reach * each)) for one, each in zip(estimate, error, strict=True)]


def example_weights(n: int, replicates: int, seed: int) -> Floats:
    """How often each of ``n`` examples is drawn, ``(1 + replicates, n)``: once in the first row, which is the data, then in every replicate."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=replicates)
    return np.concatenate([np.ones((1, n)), drawn])


def weighted_scores(gold: Codes, predicted: Codes, n_classes: int, weights: Floats) -> Weighted:
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
        precision, recall, f1 = _ratio(hits, in_given), _ratio(hits, in_gold), _ratio(2 * hits, in_gold + in_given)
        made.append(Weighted(hits.sum(axis=1) / total, f1.mean(axis=1), precision, recall, f1))
    return Weighted(*(np.stack(values, axis=1) for values in zip(*made, strict=True)))


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def drawn_seeds(n_seeds: int, replicates: int, seed: int) -> npt.NDArray[np.int64]:
    """Which seeds every replicate takes, with replacement, ``(1 + replicates, n_seeds)``; all of them in the first row."""
    drawn = np.random.default_rng(seed).integers(0, n_seeds, size=(replicates, n_seeds))
    return np.concatenate([np.arange(n_seeds)[None], drawn])


def seed_mean(values: Floats, drawn: npt.NDArray[np.int64]) -> Floats:
    """The mean over the ``drawn`` seeds of ``values`` ``(n_weightings, n_seeds, ...)``; ``(n_weightings, ...)``."""
    places = drawn.reshape(*drawn.shape, *(1,) * (values.ndim - 2))
    return np.asarray(np.take_along_axis(values, places, axis=1).mean(axis=1))


def resampled(gold: Codes, arms: Mapping[str, Codes], n_classes: int, *, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Weighted]:
    """Every arm's scores, means over its seeds, in the data (first row) and in every replicate, ``(1 + replicates, ...)``.

    ``arms``: predictions ``(n_seeds, n)`` of each. Paired and hierarchical: all arms are scored on the same resampled examples, and the seeds of
    each are resampled too. With one seed the replicates say nothing of seeds.
    """
    weights = example_weights(len(gold), replicates, seed)
    found = {}
    for place, (name, predicted) in enumerate(arms.items()):
        drawn = drawn_seeds(len(predicted), replicates, seed + 1 + place)
        found[name] = Weighted(*(seed_mean(values, drawn) for values in weighted_scores(gold, predicted, n_classes, weights)))
    return found


def gap_closed(arm: Floats, llm: Floats, gold: Floats) -> Interval:
    """Share of the way from ``llm`` to ``gold`` that ``arm`` has gone, all ``(1 + replicates,)``, with its interval.

    Not a number where the 95 % interval of gold minus llm holds zero: a share of nothing.
    """
    gap = gold - llm
    if interval(gap).low <= 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    return interval(np.divide(arm - llm, gap, out=np.full_like(gap, np.nan), where=gap > 0))
