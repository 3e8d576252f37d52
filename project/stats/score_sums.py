"""Weighted sums of predictions, from which scores follow, and what one more example changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from project.stats.types import Codes, Floats, Mask, Singles

Metric = Literal["accuracy", "macro_f1", "precision", "recall"]
"""All but the accuracy are means over the classes with a gold label in the data."""


def _f1(hits: Floats, gold: Floats, given: Floats) -> Floats:
    return np.asarray(2 * hits / (gold + given))


def _precision(hits: Floats, gold: Floats, given: Floats) -> Floats:
    return np.divide(hits, given, out=np.zeros_like(hits), where=given > 0)


def _recall(hits: Floats, gold: Floats, given: Floats) -> Floats:
    return np.asarray(hits / gold)


RATIO_OF: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "macro_f1": _f1,
    "precision": _precision,
    "recall": _recall,
}
"""What the metrics average over the classes; a class that occurs has a positive gold weight."""


class Sums(NamedTuple):
    """Weighted numbers of examples of the ``k`` classes that occur, under ``w`` weightings.

    ``gold`` ``(k, w)``: of the class. ``hits`` and ``given`` ``(n_trainings, k, w)``: rightly given
    the class, and given it.
    """

    gold: Singles
    hits: Singles
    given: Singles


def weighted_sums(gold: Codes, given: Codes, weights: Singles) -> Sums:
    """Sums of examples; ``given`` ``(n_trainings, n)``, -1 for a class that does not occur."""
    from scipy.sparse import csr_array

    n_trainings, n = given.shape
    k = int(gold.max()) + 1
    by_example = np.ascontiguousarray(weights.T)

    def summed(rows: Codes, n_rows: int, used: Mask) -> Singles:
        """Sums of the weights of the examples in each row."""
        examples = np.broadcast_to(np.arange(n), used.shape)[used]
        ones = np.ones(len(examples), dtype=np.float32)
        table = csr_array((ones, (rows[used], examples)), shape=(n_rows, n))
        return np.asarray(table @ by_example, dtype=np.float32)

    rows = given + k * np.arange(n_trainings)[:, None]
    shape = (n_trainings, k, len(weights))
    return Sums(
        summed(gold, k, np.ones(n, dtype=bool)),
        summed(rows, n_trainings * k, given == gold).reshape(shape),
        summed(rows, n_trainings * k, given >= 0).reshape(shape),
    )


def score(sums: Sums, metric: Metric) -> Floats:
    """Scores ``(n_trainings, w)``; macro-F1 is the mean over the classes that occur."""
    gold = sums.gold.astype(np.float64)
    if metric == "accuracy":
        return np.asarray(sums.hits.sum(axis=1, dtype=np.float64) / gold.sum(axis=0))
    # Training by training, for the sake of memory.
    return np.stack(
        [
            RATIO_OF[metric](hits.astype(np.float64), gold, given.astype(np.float64)).mean(axis=0)
            for hits, given in zip(sums.hits, sums.given, strict=True)
        ]
    )
