"""How well a number, such as entropy, separates wrong labels from right ones."""

from __future__ import annotations

import numpy as np

from project.stats.bootstrap import Z95, Interval
from project.stats.ranks import mid_ranks
from project.stats.types import Floats, Mask


def auroc(values: Floats, wrong: Mask) -> float:
    """The probability that a wrong example has a larger value than a right one.

    The area under the ROC curve of ``values`` ``(n,)`` as a detector of ``wrong`` ``(n,)``; ties
    count half (Mann and Whitney 1947). nan where all are wrong or none is.
    """
    n_wrong = int(wrong.sum())
    n_right = len(wrong) - n_wrong
    if n_wrong == 0 or n_right == 0:
        return float("nan")
    # The rank sum of the wrong examples, less the smallest that it can be, counts the pairs.
    rank_sum = mid_ranks(values)[wrong].sum()
    return float((rank_sum - n_wrong * (n_wrong + 1) / 2) / (n_wrong * n_right))


def auroc_interval(values: Floats, wrong: Mask) -> Interval:
    """:func:`auroc` with its 95 % interval; values that are nan are left out.

    DeLong et al.'s (1988) variance on the logit scale, which keeps the limits within [0, 1]. A
    bootstrap covers too little where few are wrong (``python -m benchmarks.coverage``). Without
    limits where fewer than two are wrong or right, or where the two do not overlap.
    """
    known = ~np.isnan(values)
    values = values[known]
    wrong = wrong[known]
    area = auroc(values, wrong)
    n_wrong = int(wrong.sum())
    n_right = int((~wrong).sum())
    if min(n_wrong, n_right) < 2 or area in (0.0, 1.0):
        return Interval(area, float("nan"), float("nan"))
    ranks = mid_ranks(values)
    # The share of right values below each wrong one, and of wrong values above each right one.
    below = (ranks[wrong] - mid_ranks(values[wrong])) / n_right
    above = 1 - (ranks[~wrong] - mid_ranks(values[~wrong])) / n_wrong
    error = np.sqrt(below.var(ddof=1) / n_wrong + above.var(ddof=1) / n_right)
    logit = np.log(area / (1 - area))
    reach = Z95 * error / (area * (1 - area))

    def share(limit: float) -> float:
        """The inverse of the logit."""
        return float(1 / (1 + np.exp(-limit)))

    return Interval(area, share(logit - reach), share(logit + reach))
