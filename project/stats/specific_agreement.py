"""Specific agreement: how well raters agree about each class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from project.stats.bootstrap import (
    NO_INTERVAL,
    REPLICATES,
    Interval,
    example_weights,
    simultaneous_intervals,
)
from project.stats.raters import rater_counts
from project.stats.types import Codes, Floats, Weights
from project.stats.weighting import weighted

_LEVEL = 0.95


class ClassAgreement(NamedTuple):
    """Specific agreement about one class, in [0, 1], and the examples that tell about it.

    ``n_examples`` have two labels or more, at least one of them of this class.
    """

    agreement: Interval
    n_examples: int


def class_agreement(
    codes: Codes, n_classes: int, *, replicates: int = REPLICATES, seed: int = 0
) -> list[ClassAgreement]:
    """Specific agreement about each class, with intervals that hold together with 95 %.

    Take two different raters of the same example at random. Specific agreement about class c is
    the probability that the second one chose c where the first one did. With the letters of
    :func:`project.stats.agreement.nominal_alpha` it is sum_u n_uc (n_uc - 1) / sum_u n_uc (m_u - 1)
    (Fleiss 1971, Psychological Bulletin 76:378; for missing labels Uebersax 1982, Educational and
    Psychological Measurement 42:181). For two raters it is 2a / (2a + b + c) of Spitzer and
    Fleiss (1974), British Journal of Psychiatry 125:341.

    The intervals come from a bootstrap over the examples (:func:`simultaneous_intervals`, on the
    scale of arcsin(sqrt(p)), which keeps the limits in [0, 1]). The raters are taken as fixed. A
    class that does not vary in a bootstrap, because its examples are all alike, gets exact limits.

    Parameters
    ----------
    codes
        Class codes ``(n_raters, n_examples)``, -1 missing.
    n_classes
        Number of classes.
    replicates, seed
        Number and seed of the bootstrap replicates.

    Returns
    -------
    list of ClassAgreement
        One for each class; nan for a class that no pair of raters could agree on.
    """
    counts = rater_counts(codes, n_classes).astype(np.float64)
    counts = counts[counts.sum(axis=1) > 1]
    n_raters = counts.sum(axis=1, keepdims=True)
    agreeing = counts * (counts - 1)
    possible = counts * (n_raters - 1)
    chosen = counts > 0
    error = (1 - _LEVEL) / max(1, int(chosen.any(axis=0).sum()))
    intervals = [NO_INTERVAL] * n_classes
    varying = []
    for c, rows in enumerate(chosen.T):
        if len(set(agreeing[rows, c] / possible[rows, c])) > 1:
            varying.append(c)
        elif rows.any():
            intervals[c] = _alike_interval(agreeing[rows, c], possible[rows, c], n_raters, error)
    if varying:
        # The error is divided between the classes that vary, together, and each of the others.
        level = 1 - error * len(varying)
        weights = example_weights(len(counts), replicates, seed)
        bounds = _bounded_intervals(agreeing[:, varying], possible[:, varying], weights, level)
        for c, bound in zip(varying, bounds, strict=True):
            intervals[c] = bound
    n_examples = chosen.sum(axis=0).tolist()
    return [ClassAgreement(*pair) for pair in zip(intervals, n_examples, strict=True)]


def _bounded_intervals(
    agreeing: Floats, possible: Floats, weights: Weights, level: float
) -> list[Interval]:
    """Simultaneous intervals of the specific agreement, with limits in [0, 1].

    Parameters
    ----------
    agreeing, possible
        Numerator and denominator of each example ``(n_examples, n_classes)``.
    weights
        How often each example counts ``(1 + replicates, n_examples)``.
    level
        Probability that all intervals hold.
    """
    total = weighted(weights, possible)
    undefined = np.full_like(total, np.nan)
    shares = np.divide(weighted(weights, agreeing), total, out=undefined, where=total > 0).T
    angles = simultaneous_intervals(np.arcsin(np.sqrt(shares)), level)
    limits = np.sin(np.clip([angle[1:] for angle in angles], 0, np.pi / 2)) ** 2
    return [
        Interval(float(share), float(low), float(high))
        for share, (low, high) in zip(shares[:, 0], limits, strict=True)
    ]


def _alike_interval(agreeing: Floats, possible: Floats, n_raters: Floats, error: float) -> Interval:
    """The interval of the specific agreement where it is the same in all examples.

    With n examples alike, other ones have at most the share q = 1 - error^(1 / n) (Clopper and
    Pearson 1934, one-sided). The limits are the extremes over all kinds that these others may be
    of: any number of labels that occurs, and any part of them of this class.

    Parameters
    ----------
    agreeing, possible
        Numerator and denominator of the examples with a label of the class ``(n,)``.
    n_raters
        Numbers of labels that an example of the data may have, of any shape.
    error
        Probability that the interval does not hold.
    """
    q = 1 - error ** (1 / len(agreeing))
    numerator = (1 - q) * agreeing.mean()
    denominator = (1 - q) * possible.mean()
    extremes = [
        (numerator + q * n * (n - 1)) / (denominator + q * n * (m - 1))
        for m in np.unique(n_raters)
        for n in np.arange(1, m + 1)
    ]
    share = agreeing.sum() / possible.sum()
    return Interval(float(share), float(min(extremes)), float(max(extremes)))
