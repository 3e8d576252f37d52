"""Several numbers, such as entropy and margin, as detectors of the same wrong labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from project.stats.bootstrap import Interval
from project.stats.detection import auroc
from project.stats.ranks import mid_ranks
from project.stats.types import Floats, Mask

_DRAWS = 20_000
"""Draws from which the quantile of the largest deviation is read, to about 1 % of itself."""


class Detectors(NamedTuple):
    """AUROCs with limits that all hold at once, those of all differences too.

    Attributes
    ----------
    auroc
        By the name of the detector; limits are nan where fewer than two labels are wrong or right.
    differences
        The first one's AUROC less the second one's, by the pair of names, for all ordered pairs.
    """

    auroc: dict[str, Interval]
    differences: dict[tuple[str, str], Interval]


def compare_detectors(
    values: Mapping[str, Floats], wrong: Mask, *, level: float = 0.95
) -> Detectors:
    """AUROCs of several detectors and their differences, with simultaneous limits.

    DeLong et al.'s (1988) covariance of correlated AUROCs. The limits reach as many standard
    errors to either side as the largest of all deviations does with probability ``level``, under
    a joint t distribution whose degrees of freedom are the smaller number of wrong and right
    labels less one (single-step max-t; Hothorn, Bretz and Westfall 2008, Biometrical Journal
    50:346). AUROCs are on the logit scale. Where wrong and right labels do not overlap there is no
    standard error. With k labels in the smaller group, an AUROC of A shows no overlap with a
    probability of at most A^k, since k disjoint pairs must all be in order; the limit solves this,
    with its share of the error by Bonferroni.

    Parameters
    ----------
    values
        By name ``(n,)``, larger for labels that are more probably wrong; nan where unknown. An
        AUROC is over the examples that are known, and must be defined.
    wrong
        Which labels are wrong ``(n,)``.
    level
        Probability with which all limits hold.
    """
    names = list(values)
    areas = np.array([_area(values[name], wrong) for name in names])
    counts = [_smaller_group(values[name], wrong) for name in names]
    pairs = [(one, other) for one in range(len(names)) for other in range(one)]
    if min(counts, default=0) < 2:
        return _without_limits(names, areas)
    influence = np.stack([_influence(values[name], wrong) for name in names])
    slopes = areas * (1 - areas)
    overlaps = slopes > 0
    # On the logit scale; areas of 0 and 1 have no influence and get limits of their own.
    scaled = influence / np.where(overlaps, slopes, 1.0)[:, None]
    numbers = [*scaled, *(influence[one] - influence[other] for one, other in pairs)]
    covariance = np.stack(numbers) @ np.stack(numbers).T
    errors = np.sqrt(np.diag(covariance))
    share = (1 - level) / len(numbers)
    n_without = int((~overlaps).sum())
    reach = _reach(covariance, min(counts) - 1, level + n_without * share)
    intervals = {}
    for index, name in enumerate(names):
        if overlaps[index]:
            intervals[name] = _logit_interval(areas[index], reach * errors[index])
        else:
            intervals[name] = _separated(areas[index], counts[index], share)
    differences = {}
    for index, (one, other) in enumerate(pairs, start=len(names)):
        difference = float(areas[one] - areas[other])
        half_width = float(reach * errors[index])
        first, second = names[one], names[other]
        differences[first, second] = Interval(
            difference, difference - half_width, difference + half_width
        )
        differences[second, first] = Interval(
            -difference, -difference - half_width, -difference + half_width
        )
    return Detectors(intervals, differences)


def _without_limits(names: list[str], areas: Floats) -> Detectors:
    """The AUROCs of too few labels."""
    unknown = float("nan")
    area_of = dict(zip(names, areas.tolist(), strict=True))
    return Detectors(
        {name: Interval(area, unknown, unknown) for name, area in area_of.items()},
        {
            (one, other): Interval(area_of[one] - area_of[other], unknown, unknown)
            for one in names
            for other in names
            if one != other
        },
    )


def _area(values: Floats, wrong: Mask) -> float:
    known = ~np.isnan(values)
    return auroc(values[known], wrong[known])


def _smaller_group(values: Floats, wrong: Mask) -> int:
    """The number of wrong or of right labels with a value, whichever is smaller."""
    known = ~np.isnan(values)
    return int(min(wrong[known].sum(), (~wrong[known]).sum()))


def _influence(values: Floats, wrong: Mask) -> Floats:
    """Contribution of every example to the AUROC less its mean, ``(n,)``.

    The sum of the squares is DeLong's variance, and that of the products of two detectors their
    covariance. Examples without a value contribute 0.
    """
    influence = np.zeros(len(values))
    known = np.flatnonzero(~np.isnan(values))
    is_wrong = wrong[known]
    ranks = mid_ranks(values[known])
    for group in (is_wrong, ~is_wrong):
        # The share of the other group below each value, ties half.
        n = group.sum()
        below = (ranks[group] - mid_ranks(values[known][group])) / (len(known) - n)
        sign = 1.0 if group is is_wrong else -1.0
        influence[known[group]] = sign * (below - below.mean()) / np.sqrt(n * (n - 1))
    return influence


def _reach(covariance: Floats, degrees_of_freedom: int, level: float) -> float:
    """Quantile of the largest absolute deviation in standard errors; 0 if nothing varies."""
    varies = np.diag(covariance) > 0
    if not varies.any():
        return 0.0
    covariance = covariance[np.ix_(varies, varies)]
    scale = np.sqrt(np.diag(covariance))
    # The matrix is singular: differences follow from the areas.
    eigenvalues, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    factor = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
    random = np.random.default_rng(0)
    normal = random.normal(size=(_DRAWS, len(eigenvalues))) @ factor.T
    chi_square = random.chisquare(degrees_of_freedom, size=_DRAWS) / degrees_of_freedom
    largest = np.abs(normal).max(axis=1) / np.sqrt(chi_square)
    return float(np.quantile(largest, level))


def _logit_interval(area: float, reach: float) -> Interval:
    logit = np.log(area / (1 - area))
    low, high = (float(1 / (1 + np.exp(-limit))) for limit in (logit - reach, logit + reach))
    return Interval(float(area), low, high)


def _separated(area: float, n: int, share: float) -> Interval:
    """The interval of an area of 1 or 0 with ``n`` labels in the smaller group."""
    low = float((share / 2) ** (1 / n))
    return Interval(1.0, low, 1.0) if area == 1 else Interval(0.0, 0.0, 1 - low)
