"""Limits that allow for what a sample has not shown.

A bootstrap resamples the examples that were seen. Where two arms agree on all of 100 examples its
interval is [0, 0], although three in a hundred such examples might differ. Here every replicate
holds one more example: for the upper limit the one that would raise the estimate most, for the
lower limit the one that would lower it most. All examples get random weights from a uniform
Dirichlet distribution. For a mean of values in a known range this is the limit of Gaffke (2005);
see Learned-Miller and Thomas (2019), arXiv:1905.06208, and Phan, Thomas and Learned-Miller (2021),
arXiv:2106.03163. For a share it is the exact limit of Clopper and Pearson (1934).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.bootstrap import REPLICATES, Interval
from project.stats.types import Singles

_MOST_SEEDS = 50
"""Nobody trains more seeds for one verdict."""
_MOST_TEXTS = 20_000
"""Nobody labels more texts for one verdict."""


class SeedSpread(NamedTuple):
    """What the chance of the seeds adds to the variance of an estimate.

    ``degrees`` are the degrees of freedom of Student's t.
    """

    variance: float
    degrees: float


NO_SPREAD = SeedSpread(0.0, math.inf)


class LimitReplicates(NamedTuple):
    """An estimate with the replicates from which its limits are read.

    Attributes
    ----------
    estimate
        From the data as they are.
    below, above
        Replicates ``(replicates,)`` for the lower and for the upper limit, without the seeds'
        chance; each holds one unseen example.
    seeds
        The seeds' part.
    draws
        Draws of Student's t with the degrees of freedom of ``seeds``, ``(replicates,)``.
    largest
        The largest value that is possible; no limit exceeds it.
    """

    estimate: float
    below: Singles
    above: Singles
    seeds: SeedSpread
    draws: Singles
    largest: float = math.inf

    @property
    def text_variance(self) -> float:
        """The part of the examples in the variance of the estimate."""
        return float((self.below.var() + self.above.var()) / 2)

    @property
    def seed_share(self) -> float:
        """The seeds' share in the variance of the estimate, in [0, 1]."""
        total = self.text_variance + self.seeds.variance
        return self.seeds.variance / total if total > 0 else 0.0

    def interval(self, level: float = 0.95, *, with_seeds: bool = True) -> Interval:
        """The two-sided interval of this level.

        Without ``with_seeds``, that of infinitely many seeds with the same mean.
        """
        if math.isnan(self.estimate):
            return Interval(math.nan, math.nan, math.nan)
        below, above = self._replicates() if with_seeds else (self.below, self.above)
        return Interval(
            self.estimate,
            float(np.quantile(below, (1 - level) / 2)),
            float(np.quantile(above, (1 + level) / 2)),
        )

    def _replicates(self) -> tuple[Singles, Singles]:
        noise = math.sqrt(self.seeds.variance) * self.draws
        return (
            np.minimum(self.below + noise, self.largest),
            np.minimum(self.above + noise, self.largest),
        )


def exactly(value: float, replicates: int = REPLICATES) -> LimitReplicates:
    """A value that is known without error."""
    values = np.full(replicates, value, dtype=np.float32)
    return LimitReplicates(value, values, values, NO_SPREAD, np.zeros_like(values))


def simultaneous(
    estimates: Mapping[str, LimitReplicates], level: float = 0.95
) -> dict[str, Interval]:
    """Intervals of several estimates that hold together with probability ``level``.

    Of every replicate the largest rank among the estimates is noted. All upper limits are the
    quantiles of their own replicates of one common order, which ``(1 + level) / 2`` of these
    largest ranks do not exceed; lower limits likewise (balanced simultaneous limits; Beran 1988,
    Journal of the American Statistical Association 83:679). One estimate gets the limits of
    :meth:`LimitReplicates.interval`. Estimates that are nan get no limits and do not count.
    """
    limits = {name: values.interval(level) for name, values in estimates.items()}
    known = {
        name: values
        for name, values in estimates.items()
        # What is known exactly takes no part of the error.
        if not math.isnan(values.estimate) and values.text_variance + values.seeds.variance > 0
    }
    if not known:
        return limits
    pairs = [values._replicates() for values in known.values()]
    below = np.stack([pair[0] for pair in pairs])
    above = np.stack([pair[1] for pair in pairs])
    order_above = np.quantile(_ranks(above).max(axis=0), (1 + level) / 2)
    order_below = np.quantile(_ranks(below).min(axis=0), (1 - level) / 2)
    for index, (name, values) in enumerate(known.items()):
        limits[name] = Interval(
            values.estimate,
            float(np.quantile(below[index], order_below)),
            float(np.quantile(above[index], order_above)),
        )
    return limits


def _ranks(replicates: Singles) -> npt.NDArray[np.float64]:
    """The rank of every replicate within its row, from 0 to 1."""
    ranks = replicates.argsort(axis=1).argsort(axis=1)
    return np.asarray(ranks / max(1, replicates.shape[1] - 1))


class Needed(NamedTuple):
    """About how many test texts or seeds would decide by themselves, and both together.

    None where no number does; ``both`` is texts and seeds.
    """

    texts: int | None
    seeds: int | None
    both: tuple[int, int] | None = None


def needed(
    values: LimitReplicates, limit: float, *, n_texts: int, n_seeds: int, level: float = 0.95
) -> Needed:
    """What would take the limits of an estimate to ``limit``, if the estimate stays as it is.

    The replicates of the examples come closer to the estimate with the square root of their number,
    those of the seeds with that of theirs, which have more degrees of freedom, too. With so many,
    an estimate that is right decides in about half of all cases.

    Parameters
    ----------
    values
        The estimate.
    limit
        The number on one side of which the interval must lie.
    n_texts, n_seeds
        How many there are now.
    level
        Level of the two-sided interval.
    """
    from scipy.special import stdtrit

    distance = abs(limit - values.estimate)
    if not distance > 0:  # false for nan, too
        return Needed(None, None)
    tail = (1 + level) / 2
    # How far the limit on this side is from the estimate.
    if limit > values.estimate:
        of_texts, of_seeds = values.above - values.estimate, values.draws
    else:
        of_texts, of_seeds = values.estimate - values.below, -values.draws
    spread = values.seeds
    # Degrees of freedom grow with the number of seeds.
    degrees = spread.degrees / max(1, n_seeds - 1)

    def reach(texts: float, seeds: int) -> float:
        noise = math.sqrt(spread.variance * n_seeds / seeds) * of_seeds
        if spread.variance > 0 and seeds > n_seeds:
            noise *= stdtrit(degrees * (seeds - 1), tail) / stdtrit(spread.degrees, tail)
        return float(np.quantile(math.sqrt(n_texts / texts) * of_texts + noise, tail))

    def texts_with(seeds: int) -> int | None:
        if reach(_MOST_TEXTS, seeds) > distance:
            return None
        low, high = n_texts, _MOST_TEXTS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if reach(middle, seeds) <= distance else (middle, high)
        return high

    texts = texts_with(n_seeds)
    many = range(n_seeds + 1, _MOST_SEEDS + 1) if spread.variance > 0 else ()
    seeds = next((n for n in many if reach(n_texts, n) <= distance), None)
    both = None
    if texts is None and seeds is None and spread.variance > 0:
        beside = ((texts_with(n), n) for n in (2 * n_seeds, 4 * n_seeds))
        both = next(((found, n) for found, n in beside if found is not None), None)
    return Needed(texts, seeds, both)


def less(first: LimitReplicates, second: LimitReplicates) -> LimitReplicates:
    """The first estimate less the second one, of independent seeds on the same examples.

    The replicates of both must have the same weights, and their draws must be independent. Where
    one is at its upper limit, the unseen example is the worst one for the other.
    """
    spread = add_spreads(first.seeds, second.seeds)
    noise = (
        math.sqrt(first.seeds.variance) * first.draws
        - math.sqrt(second.seeds.variance) * second.draws
    )
    if spread.variance > 0:
        noise = noise / math.sqrt(spread.variance)
    return LimitReplicates(
        first.estimate - second.estimate,
        first.below - second.above,
        first.above - second.below,
        spread,
        noise.astype(np.float32),
        first.largest,
    )


def t_draws(spread: SeedSpread, replicates: int, seed: list[int]) -> Singles:
    """Draws of Student's t ``(replicates,)``; zeros where the seeds have no spread."""
    if spread.variance <= 0:
        return np.zeros(replicates, dtype=np.float32)
    draws = np.random.default_rng(seed).standard_t(spread.degrees, size=replicates)
    return draws.astype(np.float32)


def add_spreads(first: SeedSpread, second: SeedSpread) -> SeedSpread:
    """The spread of a difference of two independent means.

    Degrees of freedom after Welch (1947) and Satterthwaite (1946).
    """
    variance = first.variance + second.variance
    if variance <= 0:
        return NO_SPREAD
    inverse = sum(
        (spread.variance / variance) ** 2 / spread.degrees
        for spread in (first, second)
        if spread.variance > 0
    )
    return SeedSpread(variance, 1 / inverse)
