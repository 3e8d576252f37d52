"""Ranks of numbers, without scipy.stats: its import takes 45 MB of memory."""

from __future__ import annotations

import numpy as np

from project.stats.types import Floats


def mid_ranks(values: Floats) -> Floats:
    """Ranks from 1 up ``(n,)``; equal values share the mean of theirs. None may be nan."""
    _, value_of, n_equal = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(n_equal) - (n_equal - 1) / 2)[value_of])
