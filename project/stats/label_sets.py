"""Scores and agreement of sets of labels: several labels for one text, or none.

A set is a row of zeros and ones, one for each label.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from project.stats.bootstrap import Interval
from project.stats.jaccard_limits import jaccard
from project.stats.types import Floats, Mask

_SUBSET = 2 / 3
_OVERLAP = 1 / 3
_WEIGHTS_AT_ONCE = 4_000_000
"""Weights of texts that are in memory together, 32 MB."""


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
    return SetScores(*map(float, _weighted_scores(weights[None], gold, given[None])[:, 0]))


def _weighted_scores(weights: Floats, gold: Mask, trainings: Mask) -> Floats:
    """Means over the trainings of the scores under several weightings of the texts.

    All scores are sums over the texts of what each text counts, so that one product of matrices
    serves all weightings and labels.

    Parameters
    ----------
    weights
        ``(n_weightings, n_texts)``.
    gold
        ``(n_texts, n_labels)``.
    trainings
        ``(n_trainings, n_texts, n_labels)``.

    Returns
    -------
    Floats
        ``(n_scores, n_weightings)`` in the order of :class:`SetScores`.
    """
    n_labels = gold.shape[1]
    n_gold = weights @ gold.astype(np.float64)
    is_in_gold = n_gold > 0
    total = weights.sum(axis=1)
    scores = np.zeros((len(SetScores._fields), len(weights)))
    for given in trainings:
        both = gold & given
        exact = (gold == given).all(axis=1)
        sums = weights @ np.column_stack([both, given, jaccard(gold, given), exact]).astype(
            np.float64
        )
        n_both, n_given = sums[:, :n_labels], sums[:, n_labels : 2 * n_labels]
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = np.where(is_in_gold, 2 * n_both / (n_gold + n_given), 0.0)
            macro = f1.sum(axis=1) / is_in_gold.sum(axis=1)
            micro = 2 * n_both.sum(axis=1) / (n_gold.sum(axis=1) + n_given.sum(axis=1))
        scores += np.array([macro, micro, sums[:, -2] / total, sums[:, -1] / total])
    return scores / len(trainings)


def masi_distance(first: Mask, second: Mask) -> Floats:
    """1 less MASI: the Jaccard index of two sets, weighted by how they lie to one another.

    The weight is 1 for equal sets, 2/3 where one contains the other, 1/3 where they overlap, 0
    where they share nothing (Passonneau 2006, Measuring Agreement on Set-valued Items, LREC). Two
    empty sets are equal. ``first``, ``second`` ``(..., n_labels)``.
    """
    both = (first & second).sum(axis=-1)
    either = (first | second).sum(axis=-1)
    is_contained = both == np.minimum(first.sum(axis=-1), second.sum(axis=-1))
    weight = np.where(both == either, 1.0, np.where(is_contained, _SUBSET, _OVERLAP))
    jaccard = both / np.maximum(either, 1)
    return np.asarray(1 - np.where(either > 0, weight * jaccard, 1.0))


def masi_alpha(sets: Mask) -> float:
    """Krippendorff's alpha of sets with MASI as the distance, in [-1, 1].

    1 less the mean distance of two answers to one text by that of any two answers (Krippendorff
    2011, Computing Krippendorff's Alpha-Reliability, section C). The package ``krippendorff`` needs
    memory for every two sets of every text.

    ``sets`` ``(n_raters, n_texts, n_labels)``, at least two raters. nan where all sets are the
    same one.
    """
    distinct, n_of_each = np.unique(sets.reshape(-1, sets.shape[2]), axis=0, return_counts=True)
    if len(distinct) < 2:
        return float("nan")
    within = np.mean(
        [masi_distance(one, other).mean() for one, other in itertools.combinations(sets, 2)]
    )
    total = sum(
        n * n_of_each @ masi_distance(one, distinct)
        for one, n in zip(distinct, n_of_each, strict=True)
    )
    n_answers = n_of_each.sum()
    return float(1 - within * n_answers * (n_answers - 1) / total)


def set_losses(
    gold: Mask,
    first: Mask,
    second: Mask,
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """How much lower the second source scores than the first, with 95 % limits over the texts.

    A paired bootstrap over the texts, with the same draws for all scores; scores are means over
    the trainings, which are taken as fixed.

    Parameters
    ----------
    gold
        ``(n_texts, n_labels)``.
    first, second
        ``(n_trainings, n_texts, n_labels)``; their numbers of trainings may differ.
    replicates, seed
        Number of replicates and their seed.

    Returns
    -------
    dict
        The loss by the name of the score, a field of :class:`SetScores`.
    """

    def losses(weights: Floats) -> Floats:
        return _weighted_scores(weights, gold, first) - _weighted_scores(weights, gold, second)

    random = np.random.default_rng(seed)
    n = len(gold)
    at_once = max(1, _WEIGHTS_AT_ONCE // n)
    blocks = []
    for start in range(0, replicates, at_once):
        n_drawn = min(at_once, replicates - start)
        drawn = [np.bincount(random.integers(n, size=n), minlength=n) for _ in range(n_drawn)]
        blocks.append(losses(np.array(drawn, dtype=np.float64)))
    limits = np.nanpercentile(np.concatenate(blocks, axis=1), (2.5, 97.5), axis=1)
    estimates = losses(np.ones((1, n)))[:, 0]
    return {
        name: Interval(float(estimate), float(low), float(high))
        for name, estimate, low, high in zip(SetScores._fields, estimates, *limits, strict=True)
    }
