"""Samples that are drawn from each stratum of a pool by itself: their variance and replicates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from project.stats.types import Codes, Floats


class Strata(NamedTuple):
    """Strata of which each was sampled by itself, at random and without replacement.

    Attributes
    ----------
    member
        Stratum of each sampled text ``(n,)``.
    n_pool, n_drawn
        Texts of each stratum in the pool and in the sample ``(n_strata,)``. A part of a sample
        keeps those of the whole one.
    """

    member: Codes
    n_pool: Codes
    n_drawn: Codes

    @property
    def unsampled(self) -> Floats:
        """Share of each stratum that is not sampled ``(n_strata,)``."""
        return np.asarray(1.0 - self.n_drawn / self.n_pool)

    def part(self, rows: np.ndarray) -> Strata:
        """The strata of some of the sampled texts."""
        return self._replace(member=self.member[rows])


def strata_of(codes: Codes, sampled: Codes) -> Strata | None:
    """The strata of a sample; None where its variance cannot be told from them.

    That takes two sampled texts of every stratum that is not sampled whole. With one stratum alone
    the sample is a simple random one, and there is nothing to tell apart.

    Parameters
    ----------
    codes
        Stratum of every text of the pool ``(n_pool,)``.
    sampled
        Positions of the sampled texts ``(n,)``.
    """
    names, member = np.unique(codes, return_inverse=True)
    n_pool = np.bincount(member)
    n_drawn = np.bincount(member[sampled], minlength=len(names))
    if len(names) < 2 or ((n_drawn < 2) & (n_drawn < n_pool)).any():
        return None
    return Strata(member[sampled], n_pool, n_drawn)


def stratified_variance(residuals: Floats, strata: Strata) -> float:
    """Variance of a sum over the sample, each stratum with its own finite pool correction.

    For the mean of the pool this is Cochran (1977), equation 5.9. Texts of a stratum that are not
    among the rows count as 0 (domains, section 5A.14), so that the mean of a part of the pool may
    be linearised.

    Parameters
    ----------
    residuals
        What each row adds to the sum ``(n,)``, in the order of ``strata.member``.
    strata
        The strata.
    """
    n_strata = len(strata.n_pool)
    sums = np.bincount(strata.member, weights=residuals, minlength=n_strata)
    squares = np.bincount(strata.member, weights=residuals**2, minlength=n_strata)
    n = strata.n_drawn
    spread = (squares - sums**2 / n) * n / np.maximum(n - 1, 1)
    return float(spread @ strata.unsampled)


def stratified_replicates(
    strata: Strata, n_replicates: int, random: np.random.Generator, *, of_pool: bool
) -> Floats:
    """Factors of the weights of the sampled texts in bootstrap replicates ``(n_replicates, n)``.

    Of a stratum with n texts, n - 1 are drawn with replacement and rescaled (Rao and Wu 1988,
    section 2; Rao, Wu and Yue 1992, equation 2), so that the variance is the stratified one.

    Parameters
    ----------
    strata
        The strata.
    n_replicates
        How many replicates to draw.
    random
        Source of randomness.
    of_pool
        Whether the estimate speaks of the pool: then a sampled share f of a stratum makes its
        factors vary less, by sqrt(1 - f). Else it speaks of new texts like those of the pool, and
        the strata's sizes vary, too.
    """
    factors = np.ones((n_replicates, len(strata.member)))
    for stratum, n in enumerate(strata.n_drawn):
        if n < 2:
            continue
        rows = strata.member == stratum
        drawn = random.multinomial(n - 1, np.full(n, 1 / n), size=n_replicates) * n / (n - 1)
        scale = np.sqrt(strata.unsampled[stratum]) if of_pool else 1.0
        factors[:, rows] = 1 + scale * (drawn - 1)
    if not of_pool:
        n_pool = int(strata.n_pool.sum())
        sizes = random.multinomial(n_pool, strata.n_pool / n_pool, size=n_replicates)
        factors *= (sizes / strata.n_pool)[:, strata.member]
    return factors
