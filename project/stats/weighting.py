"""Sums over examples under the weights of many replicates, without a copy of all weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from project.stats.types import Floats, Mask, Weights

BLOCK_CELLS = 2**20
"""Weights that are turned into real numbers at a time, 8 MiB."""
_ROWS = 256  # of a block in a product; products of fewer are slow
_COLUMNS = BLOCK_CELLS // _ROWS


def weighted(weights: Weights, values: Floats, selected: Mask | None = None) -> Floats:
    """``weights @ values``, a block of weights at a time.

    Whole numbers become real ones for a product, and take eight times the memory then.

    Parameters
    ----------
    weights
        How often each example counts ``(n_replicates, n)``.
    values
        ``(n, n_columns)``.
    selected
        The examples that count ``(n,)``; None for all.
    """
    if selected is not None and not selected.all():
        examples = np.flatnonzero(selected)
        starts = range(0, len(examples), _COLUMNS)
        parts: list[Any] = [examples[start : start + _COLUMNS] for start in starts]
    else:
        parts = [slice(start, start + _COLUMNS) for start in range(0, len(values), _COLUMNS)]
    sums = np.zeros((len(weights), values.shape[1]))
    for start in range(0, len(weights), _ROWS):
        rows = slice(start, start + _ROWS)
        for part in parts:
            sums[rows] += weights[rows, part].astype(np.float64, copy=False) @ values[part]
    return sums


def blocks(weights: Weights) -> Iterator[Floats]:
    """The rows of ``weights`` ``(n_replicates, n)`` as real numbers, some at a time.

    All blocks are in the same memory: each holds until the next one is asked for.
    """
    rows = max(1, BLOCK_CELLS // max(1, weights.shape[1]))
    block = np.empty((min(rows, len(weights)), weights.shape[1]))
    for start in range(0, len(weights), rows):
        some = weights[start : start + rows]
        block[: len(some)] = some
        yield block[: len(some)]
