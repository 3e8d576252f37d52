"""Learning curves: power laws through the scores of several seeds, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.bootstrap import Interval, interval
from project.stats.power_law import PowerLaw, fit_power_law, plateau_size, power_law_value
from project.stats.types import Floats


class FittedCurve(NamedTuple):
    """A power law through the scores of several seeds at several sizes.

    ``limit`` is an extrapolation, and so is a ``plateau`` beyond ``largest``. For a plateau beyond
    half of ``largest``, the size at the end of the doubling was not measured.

    Attributes
    ----------
    smallest, largest
        The range of sizes.
    law
        The fit, shape ``()``.
    replicates
        The fits of the bootstrap replicates, shape ``(replicates,)``.
    limit, rate
        Parameters of the law.
    plateau
        :func:`project.stats.power_law.plateau_size`.
    last_doubling
        Fitted gain from half of ``largest`` to ``largest``.
    last
        Fitted value at ``largest``.
    """

    smallest: float
    largest: float
    law: PowerLaw
    replicates: PowerLaw
    limit: Interval
    rate: Interval
    plateau: Interval
    last_doubling: Interval
    last: Interval


class CurveGap(NamedTuple):
    """How far one fitted curve lies above another.

    At ``size``, the largest that both measured, and between their limits.
    """

    size: float
    at_size: Interval
    limit: Interval


class _Readings(NamedTuple):
    """Numbers that are read off a law, each of the law's shape; see :class:`FittedCurve`."""

    limit: Floats
    rate: Floats
    plateau: Floats
    last_doubling: Floats
    last: Floats


def fit_curve(
    sizes: npt.ArrayLike,
    scores: Sequence[npt.ArrayLike],
    threshold: float,
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> FittedCurve:
    """The power law through the mean scores at every size, with intervals over the seeds.

    The means are weighted by their numbers of seeds, which makes it the fit through all scores.
    The intervals are the middle 95 % of a bootstrap over the seeds: of k seeds at a size, k - 1 are
    drawn with replacement, independently of other sizes, and the means are fitted again. Drawing k
    would make the means vary too little, by (k - 1) / k, which matters for few seeds (Rao and Wu
    1988, JASA 83:231). That alone gives the tails of a normal distribution, where the variance of a
    size is known from its few seeds only: each deviation is multiplied by a draw of what makes a
    normal number one of Student's t with k - 1 degrees of freedom. The intervals do not cover other
    training texts or other test examples. With one seed at any size they are nan. The interval of
    the rate is that of the replicates whose curve rises; the others have no rate.

    Parameters
    ----------
    sizes
        At least three different sizes ``(n_sizes,)``.
    scores
        For each size the scores of its seeds ``(n_seeds,)``, in [0, 1]; numbers of seeds may
        differ.
    threshold
        Gain of a doubling below which the curve is flat (:func:`plateau_size`).
    replicates
        Number of bootstrap replicates.
    seed
        Seed of the replicates.
    """
    by_size = [np.asarray(values, dtype=np.float64) for values in scores]
    n_seeds = np.array([len(values) for values in by_size])
    n = np.asarray(sizes, dtype=np.float64)
    law = fit_power_law(n, [values.mean() for values in by_size], n_seeds)
    resampled = PowerLaw(*np.full((4, replicates), np.nan))
    if n_seeds.min() > 1:
        means = [
            _resampled_means(values, int(size), replicates, seed)
            for size, values in zip(n, by_size, strict=True)
        ]
        resampled = fit_power_law(n, np.stack(means, axis=1), n_seeds)
    largest = float(n.max())
    estimates = _readings(law, largest, threshold)._asdict()
    replicated = _readings(resampled, largest, threshold)._asdict()
    intervals = {name: interval(np.append(estimates[name], replicated[name])) for name in estimates}
    return FittedCurve(
        smallest=float(n.min()), largest=largest, law=law, replicates=resampled, **intervals
    )


def _resampled_means(scores: Floats, size: int, replicates: int, seed: int) -> Floats:
    """Means of k - 1 of the k scores at one size, drawn with replacement, ``(replicates,)``.

    Their deviations have the tails of Student's t; means beyond [0, 1] are moved to its ends. The
    draws depend on the size, so that two curves with as many seeds at a size draw the same ones
    there; see :func:`curve_gap`.
    """
    random = np.random.default_rng([seed, size])
    freedom = len(scores) - 1
    deviations = scores[random.integers(0, len(scores), (replicates, freedom))].mean(axis=1)
    deviations -= scores.mean()
    # From the mean score, so that equal scores stay exactly what they are.
    widened = deviations * np.sqrt(freedom / random.chisquare(freedom, replicates))
    return np.clip(scores.mean() + widened, 0.0, 1.0)


def _readings(law: PowerLaw, largest: float, threshold: float) -> _Readings:
    """The readings of a law, of the law's shape; nan for a law that could not be fitted."""
    last = power_law_value(law, largest)
    undefined = np.isnan(law.limit)
    return _Readings(
        limit=law.limit,
        rate=law.rate,
        plateau=np.where(undefined, np.nan, plateau_size(law, threshold)),
        last_doubling=last - power_law_value(law, largest / 2),
        last=last,
    )


def curve_gap(first: FittedCurve, second: FittedCurve) -> CurveGap:
    """``first`` minus ``second``, with the middle 95 % of the differences of their replicates.

    The gap of the limits is an extrapolation. Curves fitted with the same ``seed`` and as many
    seeds at a size have drawn the same indices there: the comparison is paired if their seeds are
    the same and in the same order. Curves without common seeds must be fitted with different ones.
    Raises ValueError for different numbers of replicates.
    """
    if first.replicates.limit.shape != second.replicates.limit.shape:
        raise ValueError("two curves must have equally many replicates.")
    size = min(first.largest, second.largest)

    def gap_at_size(law: PowerLaw, other: PowerLaw) -> Floats:
        return power_law_value(law, size) - power_law_value(other, size)

    # The estimate first, then the replicates, as interval() expects them.
    at_size = np.append(
        gap_at_size(first.law, second.law), gap_at_size(first.replicates, second.replicates)
    )
    limit = np.append(
        first.law.limit - second.law.limit, first.replicates.limit - second.replicates.limit
    )
    return CurveGap(size=size, at_size=interval(at_size), limit=interval(limit))
