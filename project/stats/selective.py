"""A threshold of the classifier's certainty above which its labels have a promised precision.

Texts below the threshold get no label: they are left to a person. The threshold is picked from a
grid that is fixed before the data are seen, by the fallback procedure of Wiens (2003): thresholds
are tested from the strictest to the loosest; each has an equal share of the error, and hands what
it had on to the next one if its test succeeds. The chance that any threshold with a lower precision
passes is at most ``error``, whatever the dependence between the tests, so the smallest threshold
that passes may be used.

References
----------
Wiens (2003), A fixed sequence Bonferroni procedure for testing multiple endpoints. Pharmaceutical
Statistics 2. The exact limit of a share is that of Clopper and Pearson (1934).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from project.stats.types import Floats, Mask

THRESHOLDS = (
    *(0.9999, 0.9995, 0.999, 0.998, 0.995, 0.99, 0.98, 0.97, 0.95),
    *(0.925, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3),
)
"""Thresholds to choose from, the strictest first, besides 0, which accepts every text."""


class Calibration(NamedTuple):
    """What is known of one threshold.

    Attributes
    ----------
    threshold
        Smallest top probability of an accepted text, in [0, 1].
    n_accepted, n_right
        Texts with a known label that it accepts, and those among them that are labelled right.
    lower
        Lower limit of the precision of accepted texts, in [0, 1]; 0 where it accepts none.
    is_valid
        Whether the promised precision holds.
    """

    threshold: float
    n_accepted: int
    n_right: int
    lower: float
    is_valid: bool


def calibrate(
    top: Floats, right: Mask, *, min_precision: float, n_classes: int, error: float = 0.05
) -> list[Calibration]:
    """Every threshold of the grid, the strictest first, tested against ``min_precision``.

    Parameters
    ----------
    top
        Probability of the predicted class of texts that the classifier was not trained on,
        ``(n,)``, in [0, 1].
    right
        Whether the predicted class is the right one, ``(n,)``.
    min_precision
        The precision that accepted texts must have, in [0, 1].
    n_classes
        Number of classes; a top probability is at least ``1 / n_classes``, so that smaller
        thresholds are all the same.
    error
        Chance that any threshold passes whose precision is lower.
    """
    grid = [threshold for threshold in THRESHOLDS if threshold > 1 / n_classes] + [0.0]
    share = error / len(grid)
    available = 0.0
    result = []
    for threshold in grid:
        available += share
        accepted = top >= threshold
        n = int(accepted.sum())
        k = int(right[accepted].sum())
        lower = lower_limit(k, n, available)
        passes = n > 0 and lower >= min_precision
        result.append(Calibration(threshold, n, k, lower, passes))
        if not passes:
            available = 0.0
    return result


def lower_limit(n_right: int, n: int, error: float) -> float:
    """Exact lower limit of a share of ``n_right`` in ``n``, with a one-sided error; 0 if n is 0."""
    from scipy.stats import beta

    return float(beta.ppf(error, n_right, n - n_right + 1)) if n_right else 0.0


def chosen_threshold(calibrations: list[Calibration]) -> Calibration | None:
    """The valid threshold that accepts most texts; None where none is valid."""
    valid = [one for one in calibrations if one.is_valid]
    return valid[-1] if valid else None


def largest_promise(top: Floats, right: Mask, *, n_classes: int, error: float = 0.05) -> float:
    """The largest precision, in steps of 0.001, for which some threshold passes; 0 for none.

    Parameters
    ----------
    top, right, n_classes, error
        See :func:`calibrate`.
    """
    low, high = 0, 999  # what passes at one precision passes at every smaller one
    while low < high:
        middle = (low + high + 1) // 2
        calibrations = calibrate(
            top, right, min_precision=middle / 1000, n_classes=n_classes, error=error
        )
        if chosen_threshold(calibrations):
            low = middle
        else:
            high = middle - 1
    return low / 1000


def top_of(probabilities: Floats) -> Floats:
    """The probability of the predicted class, ``(n,)``, of ``probabilities (n, n_classes)``."""
    return np.asarray(probabilities.max(axis=1))
