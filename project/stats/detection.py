"""How well a number, such as entropy, tells wrong labels from right ones."""

from __future__ import annotations

import numpy as np

from project.stats.bootstrap import Z95, Interval
from project.stats.types import Floats, Mask


def midranks(values: Floats) -> Floats:
    """Ranks 1..n of ``values`` ``(n,)``, ties sharing their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = count.cumsum()
    return np.asarray((last - (count - 1) / 2)[place], dtype=np.float64)


def auroc(values: Floats, wrong: Mask) -> float:
    """The probability that a wrong example has a larger value than a right one, ties counting half; nan where all are wrong or none is.

    The area under the ROC curve of ``values`` ``(n,)`` as a detector of ``wrong`` ``(n,)`` (Mann and Whitney 1947).
    """
    n_wrong = int(wrong.sum())
    if n_wrong in (0, len(wrong)):
        return float("nan")
    return float(
        (midranks(values)[wrong].sum() - n_wrong * (n_wrong + 1) / 2)
        / (n_wrong * (len(wrong) - n_wrong))
    )


def auroc_interval(values: Floats, wrong: Mask) -> Interval:
    """:func:`auroc` with its 95 % interval: DeLong et al.'s (1988) variance on the logit scale, which keeps the limits within [0, 1].

    Values that are not numbers are left out. No limits where fewer than two are wrong or right, or where the two do not overlap at all. A bootstrap
    covers too little where few are wrong (``python -m benchmarks.coverage``).
    """
    known = ~np.isnan(values)
    values, wrong = values[known], wrong[known]
    area, n_wrong, n_right = auroc(values, wrong), int(wrong.sum()), int((~wrong).sum())
    if min(n_wrong, n_right) < 2 or area in (0.0, 1.0):
        return Interval(area, float("nan"), float("nan"))
    ranks = midranks(values)
    above = (
        ranks[wrong] - midranks(values[wrong])
    ) / n_right  # the share of right ones below each wrong one
    below = 1 - (ranks[~wrong] - midranks(values[~wrong])) / n_wrong
    error = np.sqrt(above.var(ddof=1) / n_wrong + below.var(ddof=1) / n_right)
    middle, reach = np.log(area / (1 - area)), Z95 * error / (area * (1 - area))
    return Interval(
        area, *(float(1 / (1 + np.exp(-limit))) for limit in (middle - reach, middle + reach))
    )
