"""The split of human labels between training a classifier and auditing it.

The audit corrects a class share that the classifier's predictions of a large pool give. With n of
N labels in training and m = N - n in the audit, the estimate has the variance v(n) / m. What a
prediction leaves unexplained, v(n), falls with n like a power law, so that one n is best: the
set-up of Wang, Ye and Zhao (2025), arXiv 2511.19486, fine-tuning then rectification. Unlike there,
the prediction is weighted for the least variance, as an audit does
(:func:`project.stats.survey.corrected_share`), and labels of an LLM among the training labels may
stand for some human ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.bootstrap import Z95
from project.stats.power_law import PowerLaw, fit_power_law, power_law_value
from project.stats.types import Floats

MIN_AUDIT = 20
"""Labels below which an audit tells a variance too badly to correct a share with it."""
_N_SPLITS = 1000  # most splits that are compared
_N_STARTS = 13  # worths of the LLM's labels that are tried


class FallingLaw(NamedTuple):
    """v(n) = 1 - y(n + ``start``) with a rising power law y; fields of shape ``(...)``.

    ``start`` is what the other training labels are worth, in human labels.
    """

    law: PowerLaw
    start: Floats


class Split(NamedTuple):
    """The best split of N labels; fields of shape ``(...)``.

    ``trained`` of them train, the others audit; ``variance`` is that of the estimated share.
    """

    trained: Floats
    variance: Floats


def residual_variance(is_class: Floats, proxies: Floats, weights: Floats) -> Floats:
    """Variance of a class that a multiple of a prediction leaves, ``(n_weightings, n_proxies)``.

    Divided by the number of audited texts it is the variance of a corrected share (PPI++,
    Angelopoulos, Duchi and Zrnic 2023, arXiv 2311.01453, section 6). The multiple is the best one
    in [0, 1], so that a useless prediction leaves the variance of the class itself.

    Parameters
    ----------
    is_class
        Whether each text has the class ``(n,)``.
    proxies
        Whether it has the class by each prediction ``(n_proxies, n)``.
    weights
        How often each text counts ``(n_weightings, n)``.
    """
    weights = weights / weights.sum(axis=1, keepdims=True)
    mean = (weights @ is_class)[:, None]
    proxy_mean = weights @ proxies.T
    covariance = weights @ (proxies * is_class).T - mean * proxy_mean
    proxy_variance = proxy_mean * (1 - proxy_mean)
    zeros = np.zeros_like(covariance)
    slope = np.divide(covariance, proxy_variance, out=zeros, where=proxy_variance > 0)
    slope = np.clip(slope, 0.0, 1.0)
    left = mean * (1 - mean) - 2 * slope * covariance + slope**2 * proxy_variance
    return np.asarray(np.maximum(left, 0.0))


def fit_falling_law(
    sizes: npt.ArrayLike, values: npt.ArrayLike, starts: Sequence[float] = (0.0,)
) -> FallingLaw:
    """The falling law of least squares through the points of one or several curves.

    Parameters
    ----------
    sizes
        Numbers of human labels ``(n_points,)``, at least three different ones.
    values
        What falls, in [0, 1], ``(..., n_points)``.
    starts
        The values of ``start`` to choose from; a size of 0 needs values above 0.

    Raises
    ------
    ValueError
        As :func:`project.stats.power_law.fit_power_law`.
    """
    n = np.asarray(sizes, dtype=np.float64)
    rising = 1.0 - np.asarray(values, dtype=np.float64)
    laws = [fit_power_law(n + start, rising) for start in starts]
    best = np.argmin([law.residual for law in laws], axis=0)
    fields = [
        np.take_along_axis(np.stack(column), best[None], axis=0)[0]
        for column in zip(*laws, strict=True)
    ]
    return FallingLaw(PowerLaw(*fields), np.asarray(starts, dtype=np.float64)[best])


def starts_for(sizes: npt.ArrayLike) -> tuple[float, ...]:
    """What LLM labels may be worth: a hundredth of the most human labels to ten times as many."""
    largest = float(np.max(np.asarray(sizes, dtype=np.float64)))
    return tuple(np.geomspace(largest / 100, 10 * largest, _N_STARTS).tolist())


def falling_value(law: FallingLaw, size: npt.ArrayLike) -> Floats:
    """v(``size``), at least 0; the shapes of law and size are broadcast."""
    at = np.asarray(size, dtype=np.float64) + law.start
    return np.asarray(np.maximum(1.0 - power_law_value(law.law, at), 0.0))


def best_split(
    law: FallingLaw, total: int, *, least: int, most: int, untrained: npt.ArrayLike
) -> Split:
    """The number of training labels with the least variance of the estimated share.

    For a pure power law, v(n) = b n^-c, that is n = total c / (1 + c).

    Parameters
    ----------
    law
        What the predictions leave unexplained, by the number of training labels.
    total
        Human labels to spend.
    least, most
        Fewest and most labels to train on that are compared; at least :data:`MIN_AUDIT` remain.
    untrained
        What is left unexplained where no human label trains, ``(...)`` as the law: then all of
        them audit.
    """
    most = min(most, total - MIN_AUDIT)
    without = np.asarray(untrained, dtype=np.float64) / total
    if most < least:
        return Split(np.zeros(without.shape), without)
    trained = np.unique(np.linspace(least, most, _N_SPLITS).round())
    spread = FallingLaw(PowerLaw(*(field[..., None] for field in law.law)), law.start[..., None])
    variances = falling_value(spread, trained) / (total - trained)
    best = variances.argmin(axis=-1)
    variance = np.take_along_axis(variances, best[..., None], axis=-1)[..., 0]
    pays = variance < without
    return Split(np.where(pays, trained[best], 0.0), np.where(pays, variance, without))


def half_width(variance: npt.ArrayLike, n_audit: npt.ArrayLike) -> Floats:
    """Half of the 95 % interval of a mean with this variance of a text, over ``n_audit`` texts."""
    return np.asarray(Z95 * np.sqrt(np.asarray(variance) / np.asarray(n_audit)))
