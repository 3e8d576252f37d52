"""Sums over examples under the weights of many replicates, without a copy of all weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from project.stats.types import Floats, Mask, Weights

BLOCK_CELLS = 2**21
"""Weights that are turned into real numbers at a time, 16 MiB."""


def weighted(weights: Weights, values: Floats, selected: Mask | None = None) -> Floats:
    """``weights @ values``, a block of replicates at a time.

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
    if selected is None or selected.all():
        return np.concatenate([block @ values for block in blocks(weights)])
    values = values[selected]
    return np.concatenate([block[:, selected] @ values for block in blocks(weights)])


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
