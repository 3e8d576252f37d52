"""Weighted sums of predictions, from which scores follow, and what one more example changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.types import Floats, Mask, Singles

if TYPE_CHECKING:
    from scipy.sparse import csr_array

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


class Predictions:
    """Predictions of trainings, of which sums under any weights follow."""

    def __init__(self, gold: npt.NDArray[np.int32], given: npt.NDArray[np.int32]) -> None:
        """``gold`` ``(n,)``, ``given`` ``(n_trainings, n)``, -1 for a class that does not occur."""
        n_trainings, n = given.shape
        k = int(gold.max()) + 1
        self._shape = (n_trainings, k, -1)
        rows = given + k * np.arange(n_trainings, dtype=np.int32)[:, None]
        self._gold = _examples_of(gold, k, np.ones(n, dtype=bool))
        self._hits = _examples_of(rows, n_trainings * k, given == gold)
        self._given = _examples_of(rows, n_trainings * k, given >= 0)

    def sums(self, weights: Iterable[Singles]) -> Sums:
        """Sums of examples; ``weights`` ``(w, n)`` come in blocks of several weightings."""
        parts = [self._sums(np.ascontiguousarray(block.T)) for block in weights]
        return Sums(*(np.concatenate(field, axis=-1) for field in zip(*parts, strict=True)))

    def _sums(self, by_example: Singles) -> Sums:
        gold, hits, given = (
            np.asarray(table @ by_example, dtype=np.float32)
            for table in (self._gold, self._hits, self._given)
        )
        return Sums(gold, hits.reshape(self._shape), given.reshape(self._shape))


def _examples_of(rows: npt.NDArray[np.int32], n_rows: int, used: Mask) -> csr_array:
    """A sparse table of ones: which of the ``used`` examples are in each row."""
    from scipy.sparse import csr_array

    n = used.shape[-1]
    examples = np.broadcast_to(np.arange(n, dtype=np.int32), used.shape)[used]
    ones = np.ones(len(examples), dtype=np.float32)
    return csr_array((ones, (rows[used], examples)), shape=(n_rows, n))


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
