"""Simultaneous limits of arms' scores, and the share of a gap that an arm closes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from project.stats.bootstrap import NO_INTERVAL, Interval
from project.stats.contrasts import ScoreSums
from project.stats.limits import simultaneous
from project.stats.score_sums import Metric

_MOST_CLOSED = 10.0
"""Limits of a share of a gap are looked for up to this on either side."""


class ScoreLimits(NamedTuple):
    """Scores and their differences to a reference by name, with limits that all hold at once."""

    score: dict[str, Interval]
    difference: dict[str, Interval]


def score_limits(
    sums: ScoreSums, arms: Sequence[str], reference: str = "", metric: Metric = "macro_f1"
) -> ScoreLimits:
    """Scores and their differences to that of ``reference``, with simultaneous 95 % limits.

    Parameters
    ----------
    sums
        The predictions of the arms.
    arms
        Their names.
    reference
        One of the names; without one there are no differences.
    metric
        The score, in [0, 1], as are its limits.
    """
    others = [arm for arm in arms if arm != reference] if reference in arms else []
    found = simultaneous(
        {f"score {arm}": sums.contrast({arm: 1.0}, metric) for arm in arms}
        | {f"difference {arm}": sums.difference(arm, reference, metric) for arm in others}
    )
    return ScoreLimits(
        {arm: _within_range(found[f"score {arm}"]) for arm in arms},
        {arm: found[f"difference {arm}"] for arm in others},
    )


def _within_range(score: Interval) -> Interval:
    """The interval of a score, without what lies outside [0, 1]."""
    low, high = (float(np.clip(limit, 0.0, 1.0)) for limit in score[1:])
    return Interval(score.estimate, low, high)


def gap_closed(
    sums: ScoreSums, arm: str, llm: str, gold: str, metric: Metric = "macro_f1"
) -> Interval:
    """The share of the gap between two arms that a third one closes, with its 95 % interval.

    The interval holds each share s for which arm less (1 - s) llm less s gold has zero in its own
    interval (Fieller 1954, Journal of the Royal Statistical Society B 16:175). Undefined where the
    interval of gold less llm reaches down to zero, since the share of a gap that may not exist
    means nothing. A limit beyond 10, on either side, is infinite.
    """
    gap = sums.difference(gold, llm, metric)
    if not gap.interval().low > 0:
        return NO_INTERVAL
    estimate = sums.difference(arm, llm, metric).estimate / gap.estimate

    def interval_at(share: float) -> Interval:
        weights = dict.fromkeys((arm, llm, gold), 0.0)
        weights[arm] += 1.0
        weights[llm] -= 1 - share
        weights[gold] -= share
        return sums.contrast(weights, metric).interval()

    # The contrast falls with the share: below the lower limit it lies above zero.
    return Interval(
        estimate,
        _crossing(lambda share: interval_at(share).low, estimate, -_MOST_CLOSED),
        _crossing(lambda share: interval_at(share).high, estimate, _MOST_CLOSED),
    )


def _crossing(values: Callable[[float], float], start: float, end: float) -> float:
    """Where a function changes its sign between two points; infinite if it does not."""
    from scipy.optimize import brentq

    at_start = values(start)
    if at_start == 0:
        return start
    if not at_start * values(end) < 0:
        return math.copysign(math.inf, end)
    return float(brentq(values, start, end, xtol=1e-4, rtol=1e-4))
