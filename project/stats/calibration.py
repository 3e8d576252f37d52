"""How well probabilities are calibrated, and a temperature that makes them so."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from project.stats.information import log_normalise

Floats = npt.NDArray[np.float64]
HOTTEST = 100.0


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

    low, high = np.log(1 / HOTTEST), np.log(HOTTEST)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(float(np.exp(middle))) > 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))
