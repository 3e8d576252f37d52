"""Shares of the examples: the highest of some values, or a random share."""

from __future__ import annotations

import math

import numpy as np

from project.labels.inputs import LabelInputs
from project.stats.types import Floats, Mask


def random_share(inputs: LabelInputs, share: float) -> Mask:
    """Mask ``(n,)`` of ``share`` per cent of the examples, a subset of every larger share."""
    return top_share(inputs.random_order, share, tie_seed=0)


def top_share(values: Floats, share: float, *, tie_seed: int) -> Mask:
    """Mask ``(n,)`` of the highest values.

    Parameters
    ----------
    values
        A number for every example, ``(n,)``.
    share
        Size of the mask in per cent of the examples.
    tie_seed
        Seed of the random order in which equal values are taken.
    """
    return top(values, share_size(share, len(values)), tie_seed=tie_seed)


def top(values: Floats, size: int, *, tie_seed: int) -> Mask:
    """Mask ``(n,)`` of the ``size`` highest values; see :func:`top_share`."""
    # The last key of lexsort comes first: by value, then in a random order.
    order = np.lexsort((np.random.default_rng(tie_seed).permutation(len(values)), -values))
    mask = np.zeros(len(values), dtype=bool)
    mask[order[:size]] = True
    return mask


def share_size(share: float, n: int) -> int:
    """How many of ``n`` examples ``share`` per cent are, rounded half up."""
    return math.floor(share / 100 * n + 0.5)
