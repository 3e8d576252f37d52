"""Agreement of several ways to divide the same texts into classes of their own.

Two taxonomies name their labels differently, so their labels are matched first. Matching makes
agreement look better than it is; :class:`Stability` therefore has the value of chance beside it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from project.stats.agreement import krippendorff_alpha, label_counts, nominal_alpha
from project.stats.bootstrap import Interval
from project.stats.types import Codes, Counts, Floats

REPLICATES = 1000
_PERMUTATIONS = 200
_COMES_BACK = 0.5
"""Least Jaccard index of two labels that count as the same one."""


class Stability(NamedTuple):
    """How much taxonomies agree on the same texts.

    Attributes
    ----------
    alpha
        Krippendorff's alpha, nominal level, of the assignments after their labels are matched to
        those of ``reference``, with its 95 % percentile interval over the texts, for this
        matching. nan where it is undefined.
    chance
        The mean of that alpha where every taxonomy's assignments are shuffled among the texts:
        what matching alone gives.
    rand
        Adjusted Rand index of every pair ``(n_taxonomies, n_taxonomies)``; it needs no matching.
    reference
        Index of the taxonomy with the highest mean adjusted Rand index, the first one in a tie.
    """

    alpha: Interval
    chance: float
    rand: Floats
    reference: int


class Return(NamedTuple):
    """How often a label of one taxonomy comes back in the others.

    ``jaccard`` ``(n_taxonomies,)``: of its texts and those of the label matched to it; 1 for its
    own taxonomy, 0 without a match. ``matched`` ``(n_taxonomies,)``: that label's index, -1
    without a match. ``n_back``: other taxonomies in which the Jaccard index is at least 0.5.
    """

    jaccard: Floats
    matched: Codes
    n_back: int


def contingency(first: Codes, second: Codes, n_first: int, n_second: int) -> Counts:
    """Texts by label of two taxonomies ``(n_first, n_second)``; -1, no label, is left out."""
    known = (first >= 0) & (second >= 0)
    cells = first[known] * n_second + second[known]
    return np.bincount(cells, minlength=n_first * n_second).reshape(n_first, n_second)


def matches(table: Counts) -> Codes:
    """The row matched to each column of a contingency table ``(n_second,)``, -1 for none.

    The matching has the most texts on matched pairs (Hungarian method). Pairs without a common
    text are not matched.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(table, maximize=True)
    found = np.full(table.shape[1], -1, dtype=np.int64)
    is_shared = table[rows, columns] > 0
    found[columns[is_shared]] = rows[is_shared]
    return found


def aligned(codes: Codes, n_labels: Codes, reference: int) -> tuple[Codes, int]:
    """All assignments in the labels of ``reference``, and the number of classes.

    Parameters
    ----------
    codes
        Label indices ``(n_taxonomies, n_texts)``, -1 where a text has none.
    n_labels
        Number of labels of each taxonomy ``(n_taxonomies,)``.
    reference
        Index of the taxonomy whose labels keep their index. A label of another taxonomy without
        a match becomes a class of its own, behind these.
    """
    renamed = np.full_like(codes, -1)
    n_classes = int(n_labels[reference])
    for index, assigned in enumerate(codes):
        if index == reference:
            renamed[index] = assigned
            continue
        size = int(n_labels[index])
        names = matches(contingency(codes[reference], assigned, int(n_labels[reference]), size))
        is_new = names < 0
        names[is_new] = n_classes + np.arange(int(is_new.sum()))
        n_classes += int(is_new.sum())
        renamed[index] = np.where(assigned >= 0, names[assigned], -1)
    return renamed, n_classes


def adjusted_rand(codes: Codes) -> Floats:
    """Adjusted Rand index of every pair of taxonomies (Hubert and Arabie 1985), by scikit-learn.

    ``codes`` as in :func:`aligned`; texts without a label in one of the two are left out of a
    pair. Returns ``(n_taxonomies, n_taxonomies)``, nan for a pair without common texts.
    """
    from sklearn.metrics import adjusted_rand_score

    n = len(codes)
    found = np.eye(n)
    for one in range(n):
        for other in range(one):
            known = (codes[one] >= 0) & (codes[other] >= 0)
            value = np.nan
            if known.any():
                value = adjusted_rand_score(codes[one][known], codes[other][known])
            found[one, other] = found[other, one] = value
    return found


def most_agreeing(rand: Floats) -> int:
    """Index of the taxonomy with the highest mean index with the others; the first in a tie.

    ``rand`` ``(n_taxonomies, n_taxonomies)``: see :func:`adjusted_rand`.
    """
    others = np.where(np.eye(len(rand), dtype=bool), np.nan, rand)
    means = [np.nanmean(row) if np.isfinite(row).any() else -np.inf for row in others]
    return int(np.argmax(means))


def stability(
    codes: Codes, n_labels: Codes, *, replicates: int = REPLICATES, seed: int = 0
) -> Stability:
    """How much taxonomies agree on the same texts.

    Parameters
    ----------
    codes, n_labels
        See :func:`aligned`; at least two taxonomies and one text.
    replicates, seed
        Bootstrap replicates over the texts, and their seed.

    Raises
    ------
    ValueError
        For fewer than two taxonomies, or no text.
    """
    codes = np.asarray(codes, dtype=np.int64)
    n_labels = np.asarray(n_labels, dtype=np.int64)
    n, n_texts = codes.shape
    if n < 2 or not n_texts:
        raise ValueError(f"stability needs two taxonomies and a text; got {n} and {n_texts}")
    rand = adjusted_rand(codes)
    reference = most_agreeing(rand)

    random = np.random.default_rng(seed)
    chance = [
        nominal_alpha(label_counts(*aligned(random.permuted(codes, axis=1), n_labels, reference)))
        for _ in range(_PERMUTATIONS)
    ]
    counts = label_counts(*aligned(codes, n_labels, reference))
    estimate = krippendorff_alpha(counts)
    # Matching anew would find more agreement in every replicate, since each repeats texts.
    resampled = np.array(
        [nominal_alpha(counts[random.integers(n_texts, size=n_texts)]) for _ in range(replicates)]
    )
    known = resampled[np.isfinite(resampled)]
    low, high = np.percentile(known, (2.5, 97.5)) if len(known) else (np.nan, np.nan)
    return Stability(
        Interval(estimate, float(low), float(high)),
        float(np.nanmean(chance)) if np.isfinite(chance).any() else float("nan"),
        rand,
        reference,
    )


def returns(codes: Codes, n_labels: Codes, reference: int) -> list[Return]:
    """How often each label of the taxonomy ``reference`` comes back in the others.

    ``codes``, ``n_labels``: see :func:`aligned`.
    """
    size = int(n_labels[reference])
    jaccard = np.zeros((size, len(codes)))
    matched = np.full((size, len(codes)), -1, dtype=np.int64)
    for index, assigned in enumerate(codes):
        table = contingency(codes[reference], assigned, size, int(n_labels[index]))
        if index == reference:
            jaccard[:, index] = 1.0
            matched[:, index] = np.arange(size)
            continue
        for label, row in enumerate(matches(table)):
            if row >= 0:
                both = table[row, label]
                jaccard[row, index] = both / (table[row].sum() + table[:, label].sum() - both)
                matched[row, index] = label
    others = np.arange(len(codes)) != reference
    return [
        Return(jaccard[row], matched[row], int((jaccard[row, others] >= _COMES_BACK).sum()))
        for row in range(size)
    ]


def effective_labels(counts: Counts) -> float:
    """Number of equally frequent labels with the same entropy, exp(H); nan without a text.

    ``counts`` ``(n_labels,)``: texts of each label. The Hill number of order 1.
    """
    total = counts.sum()
    if not total:
        return float("nan")
    shares = counts[counts > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))
