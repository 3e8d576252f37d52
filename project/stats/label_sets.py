"""Scores and agreement of sets of labels: several labels for one text, or none.

A set is a row of zeros and ones, one for each label.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import krippendorff
import numpy as np

from project.stats.bootstrap import Interval
from project.stats.types import Floats, Mask

_SUBSET = 2 / 3
_OVERLAP = 1 / 3


class SetScores(NamedTuple):
    """Scores of sets of labels, each in [0, 1].

    Attributes
    ----------
    macro_f1
        Mean over the labels of the F1 of "has the label", over labels that a gold set has.
    micro_f1
        The F1 of all decisions together.
    jaccard
        Mean over the texts of the labels in both sets among those in one of them; 1 for two empty
        sets.
    exact
        Share of the texts with exactly the right set.
    """

    macro_f1: float
    micro_f1: float
    jaccard: float
    exact: float


def set_scores(gold: Mask, given: Mask, weights: Floats | None = None) -> SetScores:
    """The scores of sets.

    As ``f1_score`` (``average="macro"`` over the labels of gold, ``"micro"``), ``jaccard_score``
    (``average="samples"``) and ``accuracy_score`` of scikit-learn, except that two empty sets have
    the Jaccard index 1 (scikit-learn: ``zero_division``).

    Parameters
    ----------
    gold, given
        ``(n_texts, n_labels)``.
    weights
        Weight of each text ``(n_texts,)``; 1 by default.
    """
    weights = np.ones(len(gold)) if weights is None else weights
    both = weights @ (gold & given)
    n_gold, n_given = weights @ gold, weights @ given
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = 2 * both / (n_gold + n_given)
        micro = 2 * both.sum() / (n_gold.sum() + n_given.sum())
    either = (gold | given).sum(axis=1)
    jaccard = np.where(either > 0, (gold & given).sum(axis=1) / np.maximum(either, 1), 1.0)
    total = weights.sum()
    return SetScores(
        macro_f1=float(f1[n_gold > 0].mean()) if (n_gold > 0).any() else float("nan"),
        micro_f1=float(micro),
        jaccard=float(weights @ jaccard / total),
        exact=float(weights @ (gold == given).all(axis=1) / total),
    )


def masi_distance(first: Mask, second: Mask) -> float:
    """1 less MASI: the Jaccard index of two sets, weighted by how they lie to one another.

    The weight is 1 for equal sets, 2/3 where one contains the other, 1/3 where they overlap, 0
    where they share nothing (Passonneau 2006, Measuring Agreement on Set-valued Items, LREC). Two
    empty sets are equal. ``first``, ``second`` ``(n_labels,)``.
    """
    both = int((first & second).sum())
    if (first == second).all():
        return 0.0
    if not both:
        return 1.0
    is_contained = both in (int(first.sum()), int(second.sum()))
    jaccard = both / int((first | second).sum())
    return 1 - jaccard * (_SUBSET if is_contained else _OVERLAP)


def masi_alpha(sets: Mask) -> float:
    """Krippendorff's alpha of sets with MASI as the distance, by the package ``krippendorff``.

    ``sets`` ``(n_raters, n_texts, n_labels)``. nan where all sets are the same one.
    """
    distinct, codes = np.unique(sets.reshape(-1, sets.shape[2]), axis=0, return_inverse=True)
    if len(distinct) < 2:
        return float("nan")
    codes = codes.reshape(sets.shape[:2])
    distances = _distances(distinct.astype(bool))
    counts = np.zeros((sets.shape[1], len(distinct)), dtype=np.int64)
    for rater in codes:
        counts[np.arange(len(rater)), rater] += 1

    def distance(first: Any, second: Any, *_: Any, **__: Any) -> Any:
        return distances[first, second]

    return float(
        krippendorff.alpha(
            value_counts=counts,
            value_domain=np.arange(len(distinct)),
            level_of_measurement=distance,  # type: ignore[arg-type]  # it takes more arguments
        )
    )


def _distances(distinct: Mask) -> Floats:
    """The distance of every pair of sets ``(n, n)``."""
    n = len(distinct)
    found = np.zeros((n, n))
    for one in range(n):
        for other in range(one):
            found[one, other] = masi_distance(distinct[one], distinct[other])
    return found + found.T


def set_loss(
    gold: Mask,
    first: Mask,
    second: Mask,
    name: str,
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> Interval:
    """How much lower the second source scores than the first, with 95 % limits over the texts.

    A paired bootstrap over the texts; scores are means over the trainings, which are taken as
    fixed.

    Parameters
    ----------
    gold
        ``(n_texts, n_labels)``.
    first, second
        ``(n_trainings, n_texts, n_labels)``; their numbers of trainings may differ.
    name
        A field of :class:`SetScores`.
    replicates, seed
        Number of replicates and their seed.
    """

    def difference(weights: Floats) -> float:
        one, two = (
            np.mean([getattr(set_scores(gold, given, weights), name) for given in source])
            for source in (first, second)
        )
        return float(one - two)

    random = np.random.default_rng(seed)
    n = len(gold)
    drawn = [
        difference(np.bincount(random.integers(n, size=n), minlength=n).astype(np.float64))
        for _ in range(replicates)
    ]
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return Interval(difference(np.ones(n)), float(low), float(high))
