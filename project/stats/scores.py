"""Scores of given labels against gold labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.types import Codes, Counts, Floats


class Scores(NamedTuple):
    """Scores in [0, 1]; the last three ``(n_classes,)`` in the order of the codes."""

    accuracy: float
    macro_f1: float
    recall: Floats
    precision: Floats
    f1: Floats


class Spread(NamedTuple):
    """Mean and sample standard deviation over ``n`` values.

    The deviation has ddof 1 and is nan for fewer than two values.
    """

    mean: float
    sd: float
    n: int


def confusion(gold: Codes, given: Codes, n_classes: int) -> npt.NDArray[np.int64]:
    """Counts ``(n_classes, n_classes)``: rows gold, columns given.

    Parameters
    ----------
    gold, given
        Class codes ``(n,)``.
    n_classes
        Size of the label set.

    Raises
    ------
    ValueError
        For codes outside 0..n_classes-1, and for different numbers of codes.
    """
    gold = np.asarray(gold)
    given = np.asarray(given)
    if gold.shape != given.shape:
        raise ValueError(
            f"gold and given must have the same shape, got {gold.shape} and {given.shape}"
        )
    both = np.concatenate([gold, given])
    if ((both < 0) | (both >= n_classes)).any():
        raise ValueError(f"codes must be in 0..{n_classes - 1}")
    # The cells of the table are numbered row by row, so that one bincount counts all of them.
    cells = np.bincount(gold * n_classes + given, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes)


def scores(counts: Counts, unanswered: Counts | None = None) -> Scores:
    """Accuracy, macro-F1 and per-class scores of a confusion matrix.

    Macro-F1 is the plain mean over the classes with a gold label: scikit-learn's with ``labels=``
    set to these. A class without one has an F1 of 0 whatever is answered, which would shrink every
    difference in proportion. An undefined ratio counts 0, as with ``zero_division=0``. Accuracy and
    macro-F1 of no example are nan.

    Parameters
    ----------
    counts
        Labels ``(n_classes, n_classes)``: rows gold, columns given.
    unanswered
        Examples of each gold class without an answer ``(n_classes,)``, which count as wrong.
    """
    hits = np.diag(counts).astype(np.float64)
    n_gold = counts.sum(axis=1)
    if unanswered is not None:
        n_gold = n_gold + unanswered
    n_given = counts.sum(axis=0)

    def ratio(numerator: Floats, denominator: Counts) -> Floats:
        zeros = np.zeros_like(hits)
        return np.divide(numerator, denominator, out=zeros, where=denominator > 0)

    f1 = ratio(2 * hits, n_gold + n_given)
    total = n_gold.sum()
    accuracy = float(hits.sum() / total) if total else float("nan")
    return Scores(
        accuracy=accuracy,
        macro_f1=float(f1[n_gold > 0].mean()) if total else float("nan"),
        recall=ratio(hits, n_gold),
        precision=ratio(hits, n_given),
        f1=f1,
    )


def score_answers(gold: Codes, given: Codes, n_classes: int) -> Scores:
    """Scores of given class codes against gold ones.

    Parameters
    ----------
    gold
        Gold class codes ``(n,)``.
    given
        Given class codes ``(n,)``; -1, a missing answer, counts as wrong.
    n_classes
        Size of the label set.
    """
    gold = np.asarray(gold)
    given = np.asarray(given)
    answered = given >= 0
    return scores(
        confusion(gold[answered], given[answered], n_classes),
        np.bincount(gold[~answered], minlength=n_classes),
    )


def spread(values: npt.ArrayLike) -> Spread:
    """Mean and sample standard deviation (ddof 1) of ``values`` ``(n,)`` over replicates."""
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean()) if array.size else float("nan")
    sd = float(array.std(ddof=1)) if array.size > 1 else float("nan")
    return Spread(mean, sd, int(array.size))
