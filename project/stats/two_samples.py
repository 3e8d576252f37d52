"""Are new texts drawn as the old ones? A permutation test of several aspects at once.

The aspects are the predicted classes, the embeddings, and any scores such as the probability of the
predicted class. Each has a statistic that is large where old and new texts differ. All aspects are
read under the same permutations, so that they are combined without any assumption on how they
depend on one another: nonparametric combination (Pesarin and Salmaso 2010, *Permutation tests for
complex data*, chapter 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from project.stats.bootstrap import Interval
from project.stats.survey import wilson
from project.stats.types import Codes, Floats

PERMUTATIONS = 4999
_DIGITS = 9  # relative; statistics that differ by rounding errors alone count as equal


class Aspects(NamedTuple):
    """What is compared of ``n`` texts.

    Attributes
    ----------
    codes
        Predicted classes ``(n,)``.
    vectors
        Embeddings ``(n, size)``.
    scores
        Numbers by name ``(n,)``, such as the probability of the predicted class.
    """

    codes: Codes
    vectors: Floats
    scores: Mapping[str, Floats]

    @property
    def n(self) -> int:
        """Number of texts."""
        return len(self.codes)

    def rows(self, indices: Codes) -> Aspects:
        """Some of the texts."""
        scores = {name: values[indices] for name, values in self.scores.items()}
        return Aspects(self.codes[indices], self.vectors[indices], scores)


class TwoSampleTest(NamedTuple):
    """The p-values of a comparison.

    Attributes
    ----------
    of_aspect
        By aspect (``label``, ``embedding`` and the scores): the share of the permutations with a
        statistic that is at least as large, the observed one included. At most the level is the
        chance that it is at most the level, where nothing has changed.
    together
        Of all aspects. Where nothing has changed it is exactly uniform on (0, 1): ties are broken
        at random (a smoothed p-value; Vovk, Gammerman and Shafer 2005).
    distance
        Energy distance of the embeddings less its mean under the permutations, as a share of its
        largest possible value; 0 where it is smaller.
    """

    of_aspect: dict[str, float]
    together: float
    distance: float


def joined(parts: list[Aspects]) -> Aspects:
    """All texts of several parts, which have the same scores."""
    return Aspects(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.vectors for part in parts]),
        {name: np.concatenate([part.scores[name] for part in parts]) for name in parts[0].scores},
    )


def two_sample_test(
    old: Aspects, new: Aspects, *, rng: np.random.Generator, permutations: int = PERMUTATIONS
) -> TwoSampleTest:
    """Compare the old texts with the new ones.

    The statistics are: of the classes, Pearson's chi-squared; of the embeddings, the energy
    distance (Székely and Rizzo 2013), which is the MMD of a distance kernel (Sejdinovic et al.
    2013) and has no bandwidth to choose; of a score, the difference of the means. Their p-values
    are combined by Fisher's product, within the permutations.

    Parameters
    ----------
    old, new
        The texts; at least one each.
    rng
        Draws the permutations and breaks ties.
    permutations
        How many are drawn, besides the observed order.

    Raises
    ------
    ValueError
        If one side has no texts.
    """
    if not (old.n and new.n):
        raise ValueError("both sides must have texts")
    both = joined([old, new])
    is_new = _orders(old.n, new.n, permutations, rng)
    contrast = np.where(is_new, 1 / new.n, -1 / old.n).astype(np.float32)
    n_classes = int(both.codes.max()) + 1
    one_hot = np.eye(n_classes, dtype=np.float64)[both.codes]
    shares = one_hot.mean(axis=0)
    seen = shares > 0
    differences = contrast.astype(np.float64) @ one_hot[:, seen]
    distances = _distances(both.vectors)
    energy = -np.einsum("bn,bn->b", contrast @ distances, contrast).astype(np.float64)
    statistics = {
        "label": (differences**2 / shares[seen]).sum(axis=1),
        "embedding": energy,
        **{
            name: np.abs(contrast.astype(np.float64) @ (values - values.mean()))
            for name, values in both.scores.items()
        },
    }
    ranked = {name: _p_values(_rounded(values)) for name, values in statistics.items()}
    combined = _rounded(-np.log(np.stack(list(ranked.values()))).sum(axis=0))
    n_above = int((combined > combined[0]).sum())
    n_equal = int((combined == combined[0]).sum())
    across = float(distances[: old.n, old.n :].mean())
    return TwoSampleTest(
        {name: float(values[0]) for name, values in ranked.items()},
        float((n_above + rng.uniform() * n_equal) / len(combined)),
        float(np.clip((energy[0] - energy.mean()) / (2 * across), 0.0, 1.0)) if across else 0.0,
    )


def _orders(n_old: int, n_new: int, permutations: int, rng: np.random.Generator) -> np.ndarray:
    """Which texts count as new ``(1 + permutations, n)``; the observed order first."""
    is_new = np.zeros((1 + permutations, n_old + n_new), dtype=bool)
    is_new[:, n_old:] = True
    is_new[1:] = rng.permuted(is_new[1:], axis=1)
    return is_new


def _distances(vectors: Floats) -> np.ndarray:
    """Euclidean distances of all pairs ``(n, n)``, in float32."""
    centred = (vectors - vectors.mean(axis=0)).astype(np.float64)
    squares = (centred**2).sum(axis=1)
    squared = squares[:, None] + squares - 2 * centred @ centred.T
    np.fill_diagonal(squared, 0.0)
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)), dtype=np.float32)


def _rounded(values: Floats) -> Floats:
    """The values without what rounding errors make different."""
    largest = float(np.abs(values).max())
    return np.round(values / largest, _DIGITS) if largest > 0 else np.zeros_like(values)


def _p_values(statistics: Floats) -> Floats:
    """The share of all orders with a statistic at least as large, for each order."""
    ordered = np.sort(statistics)
    n_below = np.searchsorted(ordered, statistics, side="left")
    return np.asarray((len(statistics) - n_below) / len(statistics))


def share_difference(old: tuple[int, int], new: tuple[int, int], level: float = 0.95) -> Interval:
    """The new share less the old one, with Newcombe's (1998) hybrid score limits.

    ``old`` and ``new`` are the texts with the property, and all texts.
    """
    first, second = (n / max(1, total) for n, total in (old, new))
    old_low, old_high = wilson(first, max(1, old[1]), level)
    new_low, new_high = wilson(second, max(1, new[1]), level)
    difference = second - first
    below = np.hypot(second - new_low, old_high - first)
    above = np.hypot(new_high - second, first - old_low)
    return Interval(difference, float(difference - below), float(difference + above))


def mean_difference(
    old: tuple[float, float, int], new: tuple[float, float, int], level: float = 0.95
) -> Interval:
    """The new mean less the old one, with the limits of a normal distribution.

    ``old`` and ``new`` are mean, variance and number of texts; without at least two texts each
    there are no limits.
    """
    difference = new[0] - old[0]
    if min(old[2], new[2]) < 2:
        return Interval(difference, float("nan"), float("nan"))
    half = float(ndtri((1 + level) / 2)) * float(np.sqrt(old[1] / old[2] + new[1] / new[2]))
    return Interval(difference, difference - half, difference + half)
