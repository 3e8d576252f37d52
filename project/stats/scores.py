"""Scores of given labels against gold labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.types import Codes, Floats


class Scores(NamedTuple):
    """All in [0, 1]. ``recall``, ``precision`` and ``f1`` have shape ``(n_classes,)``, in the order of the codes."""

    accuracy: float
    macro_f1: float
    recall: Floats
    precision: Floats
    f1: Floats


class Spread(NamedTuple):
    """Mean and sample standard deviation (ddof 1; ``nan`` for fewer than two values) over ``n`` values."""

    mean: float
    sd: float
    n: int


def confusion(gold: Codes, given: Codes, n_classes: int) -> npt.NDArray[np.int64]:
    """Counts ``(n_classes, n_classes)``: rows gold, columns given. Codes outside 0..n_classes-1 raise ValueError."""
    gold, given = np.asarray(gold), np.asarray(given)
    if gold.shape != given.shape:
        raise ValueError(
            f"gold and given must have the same shape, got {gold.shape} and {given.shape}"
        )
    if gold.size and (
        min(gold.min(), given.min()) < 0 or max(gold.max(), given.max()) >= n_classes
    ):
        raise ValueError(f"codes must be in 0..{n_classes - 1}")
    return np.bincount(gold * n_classes + given, minlength=n_classes**2).reshape(
        n_classes, n_classes
    )


def scores(
    counts: npt.NDArray[np.int64], unanswered: npt.NDArray[np.int64] | None = None
) -> Scores:
    """Accuracy, macro-F1 and per-class recall, precision and F1 of a confusion matrix (rows gold, columns given).

    ``unanswered`` ``(n_classes,)``: examples of each gold class without an answer, which count as wrong. Macro-F1 is the plain
    mean over the whole label set; an undefined ratio counts 0. No example gives ``nan`` accuracy.
    """
    hits = np.diag(counts).astype(np.float64)
    gold, given = counts.sum(axis=1) + (0 if unanswered is None else unanswered), counts.sum(axis=0)
    recall = np.divide(hits, gold, out=np.zeros_like(hits), where=gold > 0)
    precision = np.divide(hits, given, out=np.zeros_like(hits), where=given > 0)
    f1 = np.divide(2 * hits, gold + given, out=np.zeros_like(hits), where=gold + given > 0)
    total = gold.sum()
    return Scores(
        float(hits.sum() / total) if total else float("nan"),
        float(f1.mean()),
        recall,
        precision,
        f1,
    )


def score_answers(gold: Codes, given: Codes, n_classes: int) -> Scores:
    """Scores of class codes ``(n,)`` against gold ones; -1 in ``given`` is an answer that is missing, which is wrong."""
    gold, given = np.asarray(gold), np.asarray(given)
    answered = given >= 0
    return scores(
        confusion(gold[answered], given[answered], n_classes),
        np.bincount(gold[~answered], minlength=n_classes),
    )


def spread(values: npt.ArrayLike) -> Spread:
    """Mean and sample standard deviation (ddof 1) of ``values`` over replicates."""
    array = np.asarray(values, dtype=np.float64)
    sd = float(array.std(ddof=1)) if array.size > 1 else float("nan")
    return Spread(float(array.mean()) if array.size else float("nan"), sd, int(array.size))
