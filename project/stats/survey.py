"""Shares estimated from a sample of a finite pool, with the design of the sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from project.stats.bootstrap import Interval
from project.stats.types import Codes, Floats

_ROUNDING = 1e-9  # shares nearer to 0 or 1 count as 0 or 1
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
    """

    weights: Floats
    groups: Codes | None = None
    fraction: float = 0.0

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
        return Design(self.weights[rows], groups, fraction)


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

    Texts of one group are summed first. The variance shrinks with the sampled share of the pool.
    """
    weights = design.weights / design.weights.sum()
    residuals = weights * (values - weights @ values)
    if design.groups is not None:
        residuals = np.bincount(design.groups, weights=residuals)
        n_draws = len(np.unique(design.groups))
    else:
        n_draws = len(residuals)
    if n_draws < 2:
        return float("nan")
    spread = float((residuals**2).sum()) * n_draws / (n_draws - 1)
    return spread * (1.0 - design.fraction)


def share_interval(values: Floats, design: Design, level: float = 0.95) -> Interval:
    """The weighted mean of ``values`` in {0, 1} ``(n,)`` with Wilson's limits.

    The limits are Wilson's (1927) for the size of a simple random sample with the same variance.
    Where all values are alike the variance is 0, and Kish's effective size stands in for it, so
    that the interval keeps a width.

    Parameters
    ----------
    values
        Whether each sampled text has the property.
    design
        How the sample was drawn.
    level
        Probability that the interval holds the share.
    """
    weights = design.weights / design.weights.sum()
    share = float(np.clip(weights @ values, 0.0, 1.0))
    if design.fraction >= 1:
        return Interval(share, share, share)
    size = _equivalent_size(share, mean_variance(values, design), design)
    low, high = wilson(share, size, level)
    return Interval(share, low, high)


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
    half_error = 0.5 / design.n * (1 - design.fraction) / design.n
    variance = mean_variance(is_class - slope * proxy, design) + half_error
    low, high = wilson(share, _equivalent_size(share, variance, design), level)
    return Interval(share, low, high)
