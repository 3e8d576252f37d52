"""How well probabilities are calibrated, and a temperature that calibrates them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from project.stats.bootstrap import REPLICATES, Interval, example_weights, interval
from project.stats.information import log_normalise
from project.stats.types import Codes, Floats, Mask
from project.stats.weighting import blocks

MAX_TEMPERATURE = 100.0
BINS = 15
_MIN_LOG_PROBABILITY = -1e4  # instead of minus infinity, which times zero is nan
_BISECTIONS = 60  # to the last digit of a float


class Reliability(NamedTuple):
    """The answers in every bin of confidence, ``(n_bins,)`` each.

    ``size`` is their number, ``confidence`` the mean and ``accuracy`` the share that is right;
    the last two are nan in empty bins.
    """

    size: Floats
    confidence: Floats
    accuracy: Floats


def _bins(confidence: Floats, n_bins: int) -> Codes:
    """The bin of every confidence in [0, 1]; bins have equal width and include their upper edge."""
    return np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)


def reliability(confidence: Floats, right: Mask, n_bins: int = BINS) -> Reliability:
    """The reliability curve of answers, in bins of equal width.

    Parameters
    ----------
    confidence
        Confidence of every answer ``(n,)``, in [0, 1].
    right
        Whether the answer is right ``(n,)``.
    n_bins
        Number of bins.
    """
    bins = _bins(confidence, n_bins)
    size = np.bincount(bins, minlength=n_bins).astype(np.float64)

    def mean(values: Floats | Mask) -> Floats:
        total = np.bincount(bins, values, minlength=n_bins)
        return np.divide(total, size, out=np.full(n_bins, np.nan), where=size > 0)

    return Reliability(size, mean(confidence), mean(right))


def expected_calibration_error(
    confidence: Floats,
    right: Mask,
    n_bins: int = BINS,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """Mean gap between the confidence of answers and the share right in their bin, in [0, 1].

    Guo et al. (2017), arXiv 1706.04599, section 2, equation 5, with 15 bins of equal width as
    there. The interval is a 95 % bootstrap over the examples. The error cannot be negative, so that
    a perfectly calibrated source with few answers lies above zero, and its replicates more so.

    Parameters
    ----------
    confidence
        Confidence of every answer ``(n_seeds, n)``, in [0, 1]. The result is a mean over the
        seeds, each of which is binned by itself.
    right
        Whether the answer is right ``(n_seeds, n)``.
    n_bins
        Number of bins.
    replicates
        Number of bootstrap replicates.
    seed
        Seed of the replicates.
    """
    from scipy.sparse import csr_array

    weights = example_weights(confidence.shape[1], replicates, seed)
    n_seeds, n = confidence.shape
    rows = (n_bins * np.arange(n_seeds)[:, None] + _bins(confidence, n_bins)).astype(np.int32)
    examples = np.broadcast_to(np.arange(n, dtype=np.int32), rows.shape)
    gaps = csr_array(
        ((confidence - right).ravel(), (rows.ravel(), examples.ravel())),
        shape=(n_seeds * n_bins, n),
    )
    # The sum of a bin's gaps is its size times the gap of its means: no mean is needed.
    total = np.concatenate(
        [np.abs(gaps @ np.ascontiguousarray(block.T)).sum(axis=0) for block in blocks(weights)]
    )
    return interval(total / len(confidence) / weights.sum(axis=1))


def with_temperature(log_probabilities: Floats, temperature: float) -> Floats:
    """Natural log probabilities ``(n, n_classes)`` divided by ``temperature`` and normalised."""
    return log_normalise(log_probabilities / temperature)


def fit_temperature(log_probabilities: Floats, gold: Codes) -> float:
    """The temperature in [1 / 100, 100] under which the gold classes are most likely.

    Guo et al. (2017), arXiv 1706.04599, section 4.2. The log likelihood is concave in
    1 / temperature, so that its derivative can be bisected. Not by scipy, whose last digit differs:
    labels with another digit would count as other labels, and their seeds would be trained again.

    Parameters
    ----------
    log_probabilities
        Natural log probabilities ``(n, n_classes)``.
    gold
        Gold class codes ``(n,)``; without any the result is 1.
    """
    if not len(gold):
        return 1.0
    finite = np.maximum(log_probabilities, _MIN_LOG_PROBABILITY)
    of_gold = finite[np.arange(len(gold)), gold]

    def slope(inverse: float) -> float:
        """The derivative of the mean log likelihood by the inverse temperature."""
        expected = (np.exp(log_normalise(inverse * finite)) * finite).sum(axis=1)
        return float((of_gold - expected).mean())

    # Between the logarithms of the smallest and the largest inverse temperature.
    low = np.log(1 / MAX_TEMPERATURE)
    high = np.log(MAX_TEMPERATURE)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if slope(float(np.exp(middle))) > 0:
            low = middle
        else:
            high = middle
    return float(np.exp(-(low + high) / 2))
