"""How well probabilities are calibrated, and a temperature that makes them so."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.bootstrap import REPLICATES, Interval, example_weights, interval
from project.stats.information import log_normalise
from project.stats.types import Floats

MAX_TEMPERATURE = 100.0
BINS = 15


class Reliability(NamedTuple):
    """Of every bin of confidence, ``(n_bins,)`` each: how many answers, their mean confidence and the share that is right; nan in empty bins."""

    size: Floats
    confidence: Floats
    accuracy: Floats


def _bins(confidence: Floats, n_bins: int) -> npt.NDArray[np.int64]:
    """Which of ``n_bins`` bins of equal width each confidence in [0, 1] falls into, upper edges included."""
    return np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)


def reliability(
    confidence: Floats, right: npt.NDArray[np.bool_], n_bins: int = BINS
) -> Reliability:
    """The reliability curve of answers with ``confidence`` ``(n,)`` in [0, 1] of which some are ``right``; bins of equal width."""
    place = _bins(confidence, n_bins)
    inside = (place[:, None] == np.arange(n_bins)).astype(np.float64)
    size, total, hits = inside.sum(axis=0), confidence @ inside, right @ inside
    held = [
        np.divide(values, size, out=np.full(n_bins, np.nan), where=size > 0)
        for values in (total, hits)
    ]
    return Reliability(size, *held)


def expected_calibration_error(
    confidence: Floats,
    right: npt.NDArray[np.bool_],
    n_bins: int = BINS,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """Mean over the answers of the gap between confidence and share right in their bin, in [0, 1], with a 95 % bootstrap over the examples.

    ``confidence`` and ``right`` ``(n_seeds, n)``: the mean over the seeds, each of which has bins of its own. Guo et al. (2017), arXiv 1706.04599,
    section 2, equation 5, with 15 bins of equal width as there. It cannot be below zero, so that few answers of a perfectly calibrated source are
    above it, and the replicates more so.
    """
    weights = example_weights(confidence.shape[1], replicates, seed)
    total = np.zeros(len(weights))
    for sure, hit in zip(confidence, right, strict=True):
        inside = (_bins(sure, n_bins)[:, None] == np.arange(n_bins)).astype(np.float64)
        total += np.abs(weights @ (inside * (sure - hit)[:, None])).sum(axis=1)
    return interval(total / len(confidence) / weights.sum(axis=1))


def with_temperature(log_probabilities: Floats, temperature: float) -> Floats:
    """Rows of natural log probabilities ``(n, n_classes)`` to the power of 1 / ``temperature``, normalised."""
    return log_normalise(log_probabilities / temperature)


def fit_temperature(log_probabilities: Floats, gold: npt.NDArray[np.int64]) -> float:
    """The temperature under which the gold classes ``(n,)`` are most likely, in [1 / 100, 100]; 1 where there are none.

    Guo et al. (2017), arXiv 1706.04599, section 4.2. The log likelihood is concave in 1 / temperature, so that its derivative is bisected.
    """
    if not len(gold):
        return 1.0
    finite = np.maximum(log_probabilities, -1e4)
    mine = finite[np.arange(len(gold)), gold]

    def slope(inverse: float) -> float:
        return float((mine - (np.exp(log_normalise(inverse * finite)) * finite).sum(axis=1)).mean())

    low, high = np.log(1 / MAX_TEMPERATURE), np.log(MAX_TEMPERATURE)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(float(np.exp(middle))) > 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))
