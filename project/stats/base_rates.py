"""Labels cut anew from class probabilities, so that the classes have given shares."""

from __future__ import annotations

import numpy as np

from project.stats.information import log_normalise
from project.stats.types import Codes, Floats

_TEMPERATURES = (1.0, 0.3, 0.1, 0.03, 0.01)
_STEPS = 100


def recut(log_probabilities: Floats, shares: Floats) -> Codes:
    """The class with the highest re-weighted probability, ``(n,)``.

    The weights of the classes are the ones under which the labels have ``shares``, as nearly as
    ties allow: prior correction as in Saerens, Latinne and Decaestecker (2002), Neural Computation
    14:21, with weights for the labels' shares in place of the ratio of two priors. They are found
    by scaling the classes until the mean of softened labels has the shares, ever less softened.

    Parameters
    ----------
    log_probabilities
        Natural log probabilities ``(n, n_classes)``; minus infinity and nan count as exp(-30).
    shares
        Shares of the classes ``(n_classes,)``, which sum to 1.
    """
    logs = np.maximum(np.nan_to_num(log_probabilities, nan=-30.0, neginf=-30.0), -30.0)
    wanted = np.log(np.maximum(shares, 1e-9))
    weights = np.zeros(len(shares))
    for temperature in _TEMPERATURES:
        for _ in range(_STEPS):
            soft = np.exp(log_normalise((logs + weights) / temperature))
            step = wanted - np.log(np.maximum(soft.mean(axis=0), 1e-9))
            weights += temperature * step
            if np.abs(step).max() < 1e-4:
                break
    return np.asarray((logs + weights).argmax(axis=1))
