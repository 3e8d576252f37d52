"""Which texts of a pool to audit: a random sample, or one in which rare classes are enriched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from project.stats.types import Codes, Floats, Mask

MIN_OF_STRATUM = 20
"""Texts that a stratum gets, or all of its texts if it has fewer."""
_EQUAL_SHARE = 0.5


class Drawn(NamedTuple):
    """A drawn audit.

    ``selected`` and ``inclusion_probability`` are ``(n_pool,)``. Every text has the probability
    with which it could have been drawn, above 0.
    """

    selected: Mask
    inclusion_probability: Floats


def draw_audit(
    n: int,
    n_pool: int,
    *,
    seed: int,
    strata: Codes | None = None,
    spreads: Sequence[float] | None = None,
) -> Drawn:
    """Draw ``n`` texts without replacement.

    With strata, half of the texts are spread over them by their size and half in equal parts, or
    all by ``spreads``. Each stratum gets at least ``MIN_OF_STRATUM`` texts where ``n`` allows it.
    Within a stratum every text has the same probability.

    Parameters
    ----------
    n
        Number of texts to draw, at most ``n_pool``.
    n_pool
        Size of the pool.
    seed
        Seed of the draw.
    strata
        Stratum of every text ``(n_pool,)``, such as the LLM's label; None: one stratum.
    spreads
        See :func:`allocation`.

    Raises
    ------
    ValueError
        If ``n`` is below 1 or above ``n_pool``, or there are other strata than spreads.
    """
    if not 1 <= n <= n_pool:
        raise ValueError(f"n must lie between 1 and the size of the pool, {n_pool}; got {n}")
    random = np.random.default_rng(seed)
    member = np.zeros(n_pool, dtype=np.int64)
    if strata is not None:
        _, member = np.unique(strata, return_inverse=True)
    sizes = np.bincount(member)
    taken = allocation(n, sizes, spreads)
    selected = np.zeros(n_pool, dtype=bool)
    for stratum, n_taken in enumerate(taken):
        texts = np.flatnonzero(member == stratum)
        selected[random.permutation(texts)[:n_taken]] = True
    return Drawn(selected, (taken / sizes)[member])


def divide(n: int, n_raters: int, *, overlap: int, seed: int) -> Mask:
    """Which person labels which of the drawn texts ``(n_raters, n)``.

    ``overlap`` random texts go to everybody, the others in equal parts to one person each.

    Parameters
    ----------
    n
        Number of drawn texts.
    n_raters
        Number of people.
    overlap
        Texts for everybody; all of them if it is above ``n``.
    seed
        Seed of the division.
    """
    order = np.random.default_rng([seed, 1]).permutation(n)
    member = np.arange(n_raters)[:, None] == np.arange(n) % n_raters
    result = np.zeros((n_raters, n), dtype=bool)
    result[:, order[:overlap]] = True
    result[:, order[overlap:]] = member[:, : max(0, n - overlap)]
    return result


def allocation(n: int, sizes: Codes, spreads: Sequence[float] | None = None) -> Codes:
    """How many of ``n`` texts come from each stratum ``(n_strata,)``, at least 1 if possible.

    Parameters
    ----------
    n
        Number of texts to draw.
    sizes
        Texts in each stratum ``(n_strata,)``. No stratum gets more than it has.
    spreads
        Standard deviation in each stratum, above 0, of what is to be estimated: the allocation
        with the least variance (Neyman 1934; Cochran 1977, 5.5). None: half by size, half equal.
    """
    n_strata = len(sizes)
    least = np.minimum(sizes, min(MIN_OF_STRATUM, max(1, n // n_strata)))
    wanted = n * ((1 - _EQUAL_SHARE) * sizes / sizes.sum() + _EQUAL_SHARE / n_strata)
    if spreads is not None:
        if len(spreads) != n_strata:
            raise ValueError(f"every stratum must have a spread; got {len(spreads)} of {n_strata}")
        wanted = n * sizes * spreads / (sizes * spreads).sum()
    taken = np.clip(np.floor(wanted).astype(np.int64), least, sizes)
    floor = np.minimum(least, n // n_strata)  # 0 where there are more strata than texts to draw
    # Rounding and the limits change the sum: the strata farthest from what they want make it good.
    while taken.sum() != n:
        step = 1 if taken.sum() < n else -1
        possible = taken < sizes if step > 0 else taken > floor
        gap = np.where(possible, step * (wanted - taken), -np.inf)
        taken[int(gap.argmax())] += step
    return taken
