"""Random weights of examples, one of which was not seen: see :mod:`project.stats.limits`."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from project.stats.bootstrap import REPLICATES
from project.stats.types import Floats, Singles
from project.stats.weighting import BLOCK_CELLS, weighted

_MOST_KEPT = 2**23
"""Most random weights that are kept for later calls, 32 MiB."""


@functools.lru_cache(maxsize=1)  # all arms of an experiment share the same weights
def unseen_weights(n_examples: int, replicates: int = REPLICATES, seed: int = 0) -> Singles:
    """Random weights ``(replicates, n_examples + 1)``, read-only; the last example is unseen.

    The weights of a replicate are uniform on the simplex, times ``n_examples + 1``.
    """
    weights = _drawn_weights(np.random.default_rng(seed), replicates, n_examples)
    # All callers share the cached array.
    weights.flags.writeable = False
    return weights


def unseen_blocks(
    n_examples: int, replicates: int = REPLICATES, seed: int = 0
) -> Iterator[Singles]:
    """The rows of :func:`unseen_weights`, some at a time.

    Those of many examples are drawn anew at every call, so that they never are in memory together.
    """
    if replicates * (n_examples + 1) <= _MOST_KEPT:
        yield unseen_weights(n_examples, replicates, seed)
        return
    random = np.random.default_rng(seed)
    rows = max(1, BLOCK_CELLS // 2 // (n_examples + 1))
    for start in range(0, replicates, rows):
        yield _drawn_weights(random, min(rows, replicates - start), n_examples)


def _drawn_weights(random: np.random.Generator, replicates: int, n_examples: int) -> Singles:
    weights = random.standard_exponential((replicates, n_examples + 1), dtype=np.float32)
    weights *= (n_examples + 1) / weights.sum(axis=1, keepdims=True)
    return weights


def unseen_sums(
    values: Floats, replicates: int = REPLICATES, seed: int = 0
) -> tuple[Floats, Floats]:
    """Sums of ``values`` ``(n, n_columns)`` under the weights of :func:`unseen_weights`.

    Returns
    -------
    tuple
        The sums ``(replicates, n_columns)``, and the weights of the unseen example
        ``(replicates, 1)``.
    """
    blocks = unseen_blocks(len(values), replicates, seed)
    parts = [
        (weighted(block[:, :-1], values), block[:, -1:].astype(np.float64)) for block in blocks
    ]
    sums, unseen = zip(*parts, strict=True)
    return np.concatenate(sums), np.concatenate(unseen)
