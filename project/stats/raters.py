"""What several people's labels tell: agreement, majority, and how well people themselves do.

Every function takes the labels as class codes ``(n_raters, n_examples)``, -1 where a rater did not
label an example.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from project.stats.agreement import (
    alpha_interval,
    churn,
    label_counts,
    pairwise_agreement,
)
from project.stats.bootstrap import (
    NO_INTERVAL,
    REPLICATES,
    Interval,
    example_weights,
    interval,
    weighted_scores,
)
from project.stats.kappas import cohen_kappa
from project.stats.types import Codes, Counts, Floats, Mask, Weights


class PairAgreement(NamedTuple):
    """Agreement of two raters on the examples that both label.

    ``first`` and ``second`` are rows of the codes, ``agreement`` is a share in [0, 1] and ``kappa``
    is Cohen's. Both are nan without a common example; kappa also if both use only one class, the
    same one.
    """

    first: int
    second: int
    n_common: int
    agreement: float
    kappa: float


class RaterScores(NamedTuple):
    """One rater against the majority of the others.

    ``n_examples`` are scored. Of the other examples with a label of this rater, ``n_ties`` have no
    majority among the others, and ``n_alone`` have no other label.
    """

    accuracy: Interval
    macro_f1: Interval
    n_examples: int
    n_ties: int
    n_alone: int


class HumanCeiling(NamedTuple):
    """Every rater against the majority of the others, and the means over the raters."""

    accuracy: Interval
    macro_f1: Interval
    raters: tuple[RaterScores, ...]


def rater_counts(codes: Codes, n_classes: int) -> Counts:
    """Labels of each class given to each example, ``(n_examples, n_classes)``.

    ``codes`` ``(n_raters, n_examples)``, -1 missing. Raises ValueError for other codes than
    -1..n_classes-1 and for another number of dimensions.
    """
    codes = np.asarray(codes)
    if codes.ndim != 2:
        raise ValueError(f"codes must have the shape (n_raters, n_examples), got {codes.shape}")
    if ((codes < -1) | (codes >= n_classes)).any():
        raise ValueError(f"codes must be in 0..{n_classes - 1}, or -1 for a missing label")
    return label_counts(codes, n_classes)


def rater_alpha(
    codes: Codes,
    n_classes: int,
    *,
    ordered: bool = False,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """Krippendorff's alpha of the raters with its 95 % interval over the examples.

    :func:`project.stats.agreement.alpha_interval`. Examples with fewer than two labels do not
    count; nan where alpha is undefined.

    Parameters
    ----------
    codes
        Class codes ``(n_raters, n_examples)``, -1 missing.
    n_classes
        Number of classes.
    ordered
        Whether alpha is of the ordinal level instead of the nominal one.
    replicates, seed
        Number and seed of the bootstrap replicates.
    """
    counts = rater_counts(codes, n_classes)
    return alpha_interval(counts, ordered=ordered, replicates=replicates, seed=seed)


def rater_pairs(codes: Codes, n_classes: int) -> list[PairAgreement]:
    """Agreement of every pair of raters, in the order of the rows.

    ``codes`` ``(n_raters, n_examples)``, -1 missing.
    """
    rater_counts(codes, n_classes)  # refuses codes of no class
    codes = np.asarray(codes)
    agreement = pairwise_agreement(codes, n_classes)
    return [
        PairAgreement(
            first=first,
            second=second,
            n_common=int(((codes[first] >= 0) & (codes[second] >= 0)).sum()),
            agreement=float(agreement[first, second]),
            kappa=cohen_kappa(codes[first], codes[second], n_classes),
        )
        for first, second in itertools.combinations(range(len(codes)), 2)
    ]


def majority(counts: Counts) -> Codes:
    """The class with most labels of each example ``(n_examples,)``, -1 for a tie or no label.

    ``counts`` ``(n_examples, n_classes)``.
    """
    most = counts.max(axis=1, keepdims=True)
    decided = ((counts == most).sum(axis=1) == 1) & (most[:, 0] > 0)
    return np.where(decided, counts.argmax(axis=1), -1).astype(np.int64)


def to_adjudicate(counts: Counts) -> Codes:
    """Indices of the examples whose labels differ, the most urgent first.

    Ties come first, since they have no majority. The others follow by the share of the pairs of
    raters who disagree, from the largest. Equal ones keep the order of the data.

    ``counts`` ``(n_examples, n_classes)``.
    """
    divided = np.flatnonzero((counts > 0).sum(axis=1) > 1)
    tied = majority(counts[divided]) < 0
    disagreement = churn(counts[divided])
    return divided[np.lexsort((-disagreement, ~tied))]


def majority_of_others(codes: Codes, n_classes: int) -> Codes:
    """The majority label of all other raters, for every rater, ``(n_raters, n_examples)``.

    -1 where the others have a tie or no label. ``codes`` ``(n_raters, n_examples)``, -1 missing.
    """
    counts = rater_counts(codes, n_classes)
    classes = np.arange(n_classes)
    others = [majority(counts - (row[:, None] == classes)) for row in np.asarray(codes)]
    return np.array(others, dtype=np.int64).reshape(np.shape(codes))


def human_ceiling(
    codes: Codes, n_classes: int, *, replicates: int = REPLICATES, seed: int = 0
) -> HumanCeiling:
    """How well people do by the measure by which an LLM is judged.

    Every rater is scored against the majority of the others, where these have one. The accuracy of
    a rater has Wilson's 95 % interval (1927). The other intervals come from a bootstrap over the
    examples, on which all raters are resampled together. Where a score has no error at all, a
    bootstrap would have no width: the lower limit is then Wilson's of the accuracy. The raters are
    taken as fixed. The means are over the raters with at least one such example.

    Parameters
    ----------
    codes
        Class codes ``(n_raters, n_examples)``, -1 missing.
    n_classes
        Number of classes, over all of which macro-F1 runs; an undefined ratio counts 0.
    replicates, seed
        Number and seed of the bootstrap replicates.

    Returns
    -------
    HumanCeiling
        nan where no other rater labelled the same examples.
    """
    codes = np.asarray(codes)
    references = majority_of_others(codes, n_classes)
    n_labels = (codes >= 0).sum(axis=0)
    weights = example_weights(codes.shape[1], replicates, seed)
    raters = []
    replicates_of_rater = []
    for given, reference in zip(codes, references, strict=True):
        scored = (given >= 0) & (reference >= 0)
        alone = (given >= 0) & (n_labels == 1)
        values = _score_replicates(given, reference, scored, n_classes, weights)
        if scored.any():
            replicates_of_rater.append(values)
        raters.append(
            RaterScores(
                accuracy=_wilson(int((given == reference)[scored].sum()), int(scored.sum())),
                macro_f1=_uncertain(interval(values[1]), int(scored.sum())),
                n_examples=int(scored.sum()),
                n_ties=int(((given >= 0) & ~scored & ~alone).sum()),
                n_alone=int(alone.sum()),
            )
        )
    if not replicates_of_rater:
        return HumanCeiling(NO_INTERVAL, NO_INTERVAL, tuple(raters))
    accuracy, macro_f1 = np.mean(replicates_of_rater, axis=0)
    # A text on which people agree is one observation, however many of them labelled it.
    n = int(((codes >= 0) & (references >= 0)).any(axis=0).sum())
    return HumanCeiling(
        _uncertain(interval(accuracy), n), _uncertain(interval(macro_f1), n), tuple(raters)
    )


def _score_replicates(
    given: Codes, reference: Codes, scored: Mask, n_classes: int, weights: Weights
) -> Floats:
    """Accuracy and macro-F1 under every weighting ``(2, n_weightings)``; nan without an example."""
    used = weights[:, scored]
    values = np.full((2, len(weights)), np.nan)
    drawn = used.sum(axis=1) > 0
    if drawn.any():
        scores = weighted_scores(reference[scored], given[None, scored], n_classes, used[drawn])
        values[:, drawn] = scores.accuracy[:, 0], scores.macro_f1[:, 0]
    return values


def _uncertain(value: Interval, n: int) -> Interval:
    """An interval over ``n`` examples, with Wilson's lower limit where all of them are right."""
    return value._replace(low=_wilson(n, n).low) if value.low == 1.0 else value


def _wilson(hits: int, n: int) -> Interval:
    """Wilson's 95 % interval (1927) of the share of ``hits`` in ``n``; nan for n = 0."""
    from scipy.stats import binomtest

    if n == 0:
        return NO_INTERVAL
    limits = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    return Interval(hits / n, float(limits.low), float(limits.high))
