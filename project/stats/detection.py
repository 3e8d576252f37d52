"""How well a number, such as entropy, tells wrong labels from right ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from project.stats.bootstrap import REPLICATES, Interval, example_weights, interval

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


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
    return float((midranks(values)[wrong].sum() - n_wrong * (n_wrong + 1) / 2) / (n_wrong * (len(wrong) - n_wrong)))


def auroc_interval(values: Floats, wrong: Mask, *, replicates: int = REPLICATES, seed: int = 0) -> Interval:
    """:func:`auroc` with its 95 % interval, a bootstrap over the examples; values that are not numbers are left out."""
    known = ~np.isnan(values)
    values, wrong = values[known], wrong[known]
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    order = np.argsort(values, kind="stable")
    _, starts = np.unique(values[order], return_index=True)
    made = []
    for part in np.array_split(example_weights(len(values), replicates, seed)[:, order], max(1, len(values) * replicates // 10_000_000)):
        bad = np.add.reduceat(np.where(wrong[order], part, 0.0), starts, axis=1)
        good = np.add.reduceat(np.where(wrong[order], 0.0, part), starts, axis=1)
        pairs = bad.sum(axis=1) * good.sum(axis=1)
        below = good.cumsum(axis=1) - good / 2
        made.append(np.divide((bad * below).sum(axis=1), pairs, out=np.full(len(part), np.nan), where=pairs > 0))
    return interval(np.concatenate(made))
