"""Shares estimated from a sample of a finite pool, with the design of the sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from project.stats.bootstrap import Interval
from project.stats.strata import Strata, stratified_variance
from project.stats.types import Codes, Floats

_ROUNDING = 1e-9  # shares nearer to 0 or 1 count as 0 or 1
_FEW = 5  # texts of one kind below which a stratum's share is far from normally distributed
_NO_VARIANCE = 1e-15  # rounding errors leave less than this where all values are alike


@dataclass(frozen=True)
class Design:
    """How a sample was drawn from a pool.

    Attributes
    ----------
    weights
        1 / inclusion probability of every sampled text ``(n,)``, in any scale.
    groups
        Code of the document to which a text belongs ``(n,)``; texts of one document count as one
        draw. None: every text is a draw of its own.
    fraction
        Share of the pool that is sampled, in [0, 1]. 0 where the estimate speaks of new texts.
    strata
        Strata of the sampled texts, each with the share of it that is sampled; such samples have
        no groups. None: the sample is drawn from the whole pool.
    """

    weights: Floats
    groups: Codes | None = None
    fraction: float = 0.0
    strata: Strata | None = None

    @property
    def n(self) -> int:
        """Number of sampled texts."""
        return len(self.weights)

    @property
    def is_weighted(self) -> bool:
        """Whether some texts were more probable than others."""
        return bool(np.ptp(self.weights) > 1e-9 * self.weights.max())

    def of_new_texts(self) -> Design:
        """The same sample, without the correction for a finite pool."""
        return Design(self.weights, self.groups, 0.0)

    def part(self, rows: np.ndarray, fraction: float) -> Design:
        """The design of some of the rows; ``fraction`` is their share of their own pool."""
        groups = None if self.groups is None else self.groups[rows]
        strata = None if self.strata is None else self.strata.part(rows)
        return Design(self.weights[rows], groups, fraction, strata)


def effective_size(design: Design) -> float:
    """Size of a simple random sample from an endless pool that tells as much (Kish 1965, 8.2)."""
    weights = design.weights
    if design.groups is not None:
        of_groups = np.bincount(design.groups, weights=weights).astype(np.float64)
        weights = of_groups[of_groups > 0]
    size = weights.sum() ** 2 / (weights**2).sum()
    return float(size / max(1.0 - design.fraction, 1e-12))


def mean_variance(values: Floats, design: Design) -> float:
    """Variance of the weighted mean of ``values`` ``(n,)``, by linearisation (Cochran 1977, 6.4).

    Texts of one group are summed first. The variance shrinks with the sampled share of the pool,
    or of each stratum.
    """
    weights = design.weights / design.weights.sum()
    residuals = weights * (values - weights @ values)
    if design.strata is not None:
        return stratified_variance(residuals, design.strata)
    if design.groups is not None:
        residuals = np.bincount(design.groups, weights=residuals)
        n_draws = len(np.unique(design.groups))
    else:
        n_draws = len(residuals)
    if n_draws < 2:
        return float("nan")
    spread = float((residuals**2).sum()) * n_draws / (n_draws - 1)
    return spread * (1.0 - design.fraction)


def share_interval(
    values: Floats, design: Design, level: float = 0.95, *, may_hide: bool = False
) -> Interval:
    """The weighted mean of ``values`` in {0, 1} ``(n,)`` with Wilson's limits.

    The limits are Wilson's (1927) for the size of a simple random sample with the same variance.
    Where all values are alike the variance is 0, and Kish's effective size stands in for it, so
    that the interval keeps a width. With strata, half a text more is held, since a stratum may
    hide an error (:func:`_stratified_limits`).

    Parameters
    ----------
    values
        Whether each sampled text has the property.
    design
        How the sample was drawn.
    level
        Probability that the interval holds the share.
    may_hide
        Whether strata without a text among the values may have such texts in the pool. They may
        where only people tell which texts count, as for the share of right labels of a class.
    """
    weights = design.weights / design.weights.sum()
    share = float(np.clip(weights @ values, 0.0, 1.0))
    if design.fraction >= 1:
        return Interval(share, share, share)
    variance = mean_variance(values, design)
    if design.strata is not None:
        limits = _stratified_limits(share, variance, values, design.strata, level, may_hide)
    else:
        limits = wilson(share, _equivalent_size(share, variance, design), level)
    return Interval(share, *limits)


def _stratified_limits(
    share: float,
    variance: float,
    values: Floats,
    strata: Strata,
    level: float,
    may_hide: bool = False,
) -> tuple[float, float]:
    """Limits of a share that is estimated from strata.

    A stratum in which all sampled texts are alike has a variance of 0 and may yet hide others. So
    half a text is added, in the stratum where it weighs most: to the variance, and, where that
    stratum has few texts of one kind, to the share. The limits are Wilson's for the size of a
    simple random sample with this variance, about the share that was found and about the one with
    the half text, whichever are wider. Chosen by simulation (``python -m benchmarks.strata``).

    Parameters
    ----------
    share, variance
        The estimate and its variance, from :func:`mean_variance`.
    values
        Whether each sampled text has the property ``(n,)``.
    strata
        The strata of these texts.
    level
        Probability that the interval holds the share.
    may_hide
        See :func:`share_interval`.
    """
    each = strata.n_pool / strata.n_drawn
    n_here = np.bincount(strata.member, minlength=len(each))
    of_text_there = np.where((n_here > 0) | may_hide, each / each[strata.member].sum(), 0.0)
    doubt = of_text_there**2 * strata.unsampled
    stratum = int(doubt.argmax())
    if not doubt[stratum]:
        return share, share
    half = of_text_there[stratum] / 2
    moved = share + float(np.clip(0.5 - share, -half, half))
    size = moved * (1 - moved) / (variance + doubt[stratum] / 2)
    low, high = wilson(share, size, level)
    there = values[strata.member == stratum]
    if min(there.sum(), (1 - there).sum()) < _FEW:
        low_moved, high_moved = wilson(moved, size, level)
        return min(low, low_moved), max(high, high_moved)
    return low, high


def _equivalent_size(share: float, variance: float, design: Design) -> float:
    """Size of a simple random sample with this variance; Kish's where there is no variance."""
    # A share that is 1 but for rounding errors has a product of next to 0, and no size.
    if _ROUNDING < share < 1 - _ROUNDING and variance > _NO_VARIANCE:
        return share * (1 - share) / variance
    return effective_size(design)


def wilson(share: float, size: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's (1927) score limits of a share among ``size`` draws, which need not be whole."""
    z = float(ndtri((1 + level) / 2))
    centre = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z * np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2)) / (1 + z**2 / size)
    return float(max(0.0, min(share, centre - half))), float(min(1.0, max(share, centre + half)))


def corrected_share(
    is_class: Floats, proxy: Floats, pool_share: float, design: Design, level: float = 0.95
) -> Interval:
    """A class share in the pool from audited labels and a proxy that the whole pool has.

    This is power-tuned prediction-powered inference, PPI++ (Angelopoulos, Duchi and Zrnic 2023,
    arXiv 2311.01453, section 6) for a mean. Since the sample is a part of the pool, the proxy's
    mean over the pool is known, and the estimate is the regression estimator of a survey
    (Cochran 1977, 7.1). Half an error is added to the residuals, so that a proxy without an error
    in the sample does not give an interval of width 0; limits are Wilson's.

    Parameters
    ----------
    is_class
        Whether each audited text has the class, by its human label ``(n,)``.
    proxy
        Whether it has the class by the LLM's label ``(n,)``.
    pool_share
        Share of the class in the whole pool by the LLM's labels.
    design
        How the audit was drawn.
    level
        Probability that the interval holds the share.
    """
    weights = design.weights / design.weights.sum()
    mean = float(weights @ is_class)
    proxy_mean = float(weights @ proxy)
    centred = proxy - proxy_mean
    proxy_variance = float(weights @ centred**2)
    slope = float(weights @ (centred * (is_class - mean))) / proxy_variance if proxy_variance else 0
    slope = float(np.clip(slope, 0.0, 1.0))
    share = float(np.clip(mean + slope * (pool_share - proxy_mean), 0.0, 1.0))
    if design.fraction >= 1:
        return Interval(mean, mean, mean)
    variance = mean_variance(is_class - slope * proxy, design)
    if design.strata is not None:
        limits = _stratified_limits(share, variance, is_class, design.strata, level)
    else:
        half_error = 0.5 / design.n * (1 - design.fraction) / design.n
        limits = wilson(share, _equivalent_size(share, variance + half_error, design), level)
    return Interval(share, *limits)
