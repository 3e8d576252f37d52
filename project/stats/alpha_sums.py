"""Krippendorff's alpha as a function of sums over the examples, for nominal and ordered labels.

Whatever weights the examples have, alpha follows from the weighted sums of their terms, so that a
bootstrap needs one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from project.stats.types import Counts, Floats


def alpha_terms(counts: Counts, *, ordered: bool = False) -> Floats:
    """What each example adds to alpha; only examples with several answers count.

    Parameters
    ----------
    counts
        Answers of each class to each example ``(n_examples, n_classes)``.
    ordered
        Whether the order of the classes counts.

    Returns
    -------
    array
        Nominal ``(n_pairable, n_classes + 1)``: counts and observed disagreement. Ordered
        ``(n_pairable, n_classes ** 2)``: coincidences of every two classes, row by row.
    """
    pairable = counts[counts.sum(axis=1) > 1].astype(np.float64)
    m = pairable.sum(axis=1)
    if ordered:
        pairs = pairable[:, :, None] * pairable[:, None, :]
        own = np.arange(counts.shape[1])
        pairs[:, own, own] -= pairable  # an answer makes no pair with itself
        pairs /= (m - 1)[:, None, None]
        return pairs.reshape(len(pairable), counts.shape[1] ** 2)
    observed = (m**2 - (pairable**2).sum(axis=1)) / (m - 1)
    return np.concatenate([pairable, observed[:, None]], axis=1)


def alpha_of_sums(sums: Floats, *, ordered: bool = False) -> Floats:
    """Alpha ``(...)`` from sums of :func:`alpha_terms` ``(..., n_terms)``.

    nan where it is undefined: no pair of answers, or one class in all of them.
    """
    # Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section C: t answers, n of
    # each class.
    if ordered:
        n_classes = math.isqrt(sums.shape[-1])
        coincidences = sums.reshape(*sums.shape[:-1], n_classes, n_classes)
        n = coincidences.sum(axis=-1)
        distances = ordinal_distances(n)
        disagreement = (coincidences * distances).sum(axis=(-2, -1))
        expected = np.einsum("...c,...k,...ck->...", n, n, distances)
    else:
        n = sums[..., :-1]
        disagreement = sums[..., -1]
        expected = n.sum(axis=-1) ** 2 - (n**2).sum(axis=-1)
    t = n.sum(axis=-1)
    undefined = np.full_like(t, np.nan)
    ratio = np.divide((t - 1) * disagreement, expected, out=undefined, where=expected > 0)
    return np.asarray(1.0 - ratio)


def ordinal_distances(n: Floats) -> Floats:
    """Squared distances of every two classes ``(..., n_classes, n_classes)``.

    The distance of classes c and k is the number of answers between their middles: half of n_c,
    half of n_k, and all answers of the classes between them (Krippendorff 2011, section D). It is
    thus the difference of their mid-ranks.

    ``n`` ``(..., n_classes)``: how many answers each class has.
    """
    middle = np.cumsum(n, axis=-1) - n / 2
    return np.asarray((middle[..., :, None] - middle[..., None, :]) ** 2)


def unseen_examples(counts: Counts, *, ordered: bool) -> tuple[Counts, Counts]:
    """Counts ``(n_classes,)`` of the examples that would lower and raise alpha most.

    Parameters
    ----------
    counts
        Answers of each class to each example ``(n_examples, n_classes)``; the unseen example has as
        many answers as the example that has most.
    ordered
        Whether the order of the classes counts.
    """
    n_classes = counts.shape[1]
    n_seeds = int(counts.sum(axis=1).max())
    half = n_seeds // 2
    identity = np.eye(n_classes, dtype=counts.dtype)
    split = [
        half * identity[first] + (n_seeds - half) * identity[second]
        for first in range(n_classes)
        for second in range(n_classes)
        if first != second
    ]
    # As many different answers as possible, those of the rarest classes first.
    rarest = np.argsort(counts.sum(axis=0), kind="stable")[np.arange(n_seeds) % n_classes]
    split.append(np.bincount(rarest, minlength=n_classes).astype(counts.dtype))
    same = list(n_seeds * identity)
    terms = alpha_terms(counts, ordered=ordered).sum(axis=0)

    def alpha_with(examples: Sequence[npt.NDArray[np.integer]]) -> Floats:
        more = alpha_terms(np.stack(examples), ordered=ordered)
        return alpha_of_sums(terms + more, ordered=ordered)

    return split[int(alpha_with(split).argmin())], same[int(alpha_with(same).argmax())]
