"""What is asked about: the distinct texts, or example ids, of a column, and their keys."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from project.annotation.answers import ANSWER_KEY
from project.annotation.engines.base import Annotator
from project.config.annotation import AnnotateConfig

CONTENT_FREE = ("N/A", "", "[MASK]")
"""Inputs without content, for contextual calibration: Zhao et al. (2021), section 5."""

Indices = npt.NDArray[np.int64]

_BATCH = 50_000  # items hashed at a time


def item_keys(items: Iterable[str]) -> list[str]:
    """The key of every text or example id: 128 bits of its BLAKE2b hash, in hex."""
    return [
        hashlib.blake2b(item.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        for item in items
    ]


class DistinctItems:
    """The distinct texts, or example ids, of a column in order of first appearance.

    Items in ``extra`` come first. Like ``numpy.unique``, but lean enough for millions of rows.

    Attributes
    ----------
    keys
        Key of each distinct item, an Arrow array ``(n,)``.
    inverse
        Index into ``keys`` of every row of the column, ``(n_rows,)``.
    counts
        How many rows of the column hold each item, ``(n,)``; 0 for extra items.
    """

    def __init__(self, column: pd.Series, extra: Sequence[str] = ()) -> None:
        """``column``: at least one row, no nulls."""
        self._values_in = _look_up(column)
        self._extra = list(extra)
        # Arrow holds the keys of a batch, since Python's own strings take much more memory.
        hashed = [
            pa.array(item_keys(column.iloc[start : start + _BATCH]), pa.string())
            for start in range(0, len(column), _BATCH)
        ]
        encoded = (
            pa.chunked_array([pa.array(item_keys(extra), pa.string()), *hashed])
            .combine_chunks()
            .dictionary_encode()
        )
        indices = encoded.indices.to_numpy()
        self.keys = encoded.dictionary
        self.inverse = indices[len(self._extra) :]
        self.counts = np.bincount(self.inverse, minlength=len(self.keys))
        # Where each item stands first, in extra followed by the column. Assigning in reverse order
        # lets the first position overwrite all later ones.
        self._first = np.empty(len(self.keys), dtype=np.int64)
        self._first[indices[::-1]] = np.arange(len(indices))[::-1]

    def __len__(self) -> int:
        """Number of distinct items."""
        return len(self.keys)

    def values_at(self, indices: Indices) -> list[str]:
        """The texts or example ids at ``indices``."""
        first = self._first[indices]
        # Extra items are in front of the column; for them any row of the column is read.
        values = self._values_in(np.maximum(first - len(self._extra), 0))
        return [
            self._extra[position] if position < len(self._extra) else value
            for position, value in zip(first.tolist(), values, strict=True)
        ]

    def keys_at(self, indices: Indices) -> list[str]:
        """The keys at ``indices``."""
        return list(self.keys.take(pa.array(indices)).to_pylist())

    def indices_of(self, table: pa.Table) -> Indices:
        """Index of the key in every row of ``table``, -1 for a key that is not among the items."""
        return np.asarray(
            pc.index_in(table[ANSWER_KEY].combine_chunks(), value_set=self.keys)
            .fill_null(-1)
            .to_numpy(zero_copy_only=False),
            dtype=np.int64,
        )


def _look_up(column: pd.Series) -> Callable[[Indices], list[str]]:
    """Returns the values in the rows at some positions."""
    if getattr(column.dtype, "storage", "") != "pyarrow":
        return lambda positions: list(column.iloc[positions])
    # In one piece: pieces, as those of several files, are put together anew at every look-up.
    whole = pa.array(column.array)
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.combine_chunks()
    return lambda positions: list(whole.take(pa.array(positions)).to_pylist())


def question_items(
    examples: pd.DataFrame, annotator: Annotator, config: AnnotateConfig
) -> DistinctItems:
    """What the annotator answers: the examples, and the content-free inputs of calibration.

    Parameters
    ----------
    examples
        The examples table.
    annotator
        Its ``keyed_by`` says whether items are texts or example ids.
    config
        With contextual calibration, content-free inputs are among the items.
    """
    extra = CONTENT_FREE if config.calibration == "contextual" else ()
    return DistinctItems(examples[annotator.keyed_by], extra)
