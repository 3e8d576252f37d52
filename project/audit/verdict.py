"""The verdict of an audit: safe, not safe or cannot tell, and what would decide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from project.audit.loss import CHANCE, Loss, texts_to_decide
from project.audit.sample import AuditSample
from project.stats.bootstrap import Interval
from project.stats.types import Codes, Floats

SAFE = "safe"
NOT_SAFE = "not safe"
CANNOT_TELL = "cannot tell"
MIN_POOL = 200
MIN_OF_CLASS = 10
"""Audited texts of the rarest class below which every estimator of macro-F1 fails."""
NEW_AUDIT = 250
"""Texts of a first audit; with fewer it can hardly ever tell."""
MAX_AUDIT = 5000
"""Largest audit that is recommended; where more would be needed, the advice is another one."""


class Needs(NamedTuple):
    """What would decide where an audit cannot tell.

    Attributes
    ----------
    reason
        Why it cannot tell, in one sentence; empty where it can.
    more_audited
        How many more texts should be audited; None where more texts would not decide.
    more_pool
        How many more texts the pool needs; 0 if it is large enough.
    join_classes
        Classes that could be joined so that the rarest is no longer too rare; may be empty.
    """

    reason: str = ""
    more_audited: int | None = 0
    more_pool: int = 0
    join_classes: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """One of ``safe``, ``not safe`` and ``cannot tell``, and what would decide."""

    word: str
    needs: Needs


def refusal(sample: AuditSample, shares: Floats, label_set: Sequence[str]) -> Needs | None:
    """Why nothing can be said of a classifier, or None where something can.

    Parameters
    ----------
    sample
        The audit.
    shares
        Class shares in the pool, as well as they are known ``(n_classes,)``.
    label_set
        Names of the classes.
    """
    new_audit = min(NEW_AUDIT, sample.n_pool)
    more_pool = max(0, MIN_POOL - sample.n_pool)
    if sample.n == 0:
        return Needs("no text of the pool has a human label", new_audit, more_pool)
    if not sample.has_intervals:
        return Needs(
            "how the labelled texts were drawn is not known (audit_design=unknown), so no "
            "interval is promised. Draw new ones at random, or set audit_design=random if they "
            "were",
            new_audit,
            more_pool,
        )
    if more_pool:
        return Needs(
            f"the pool has {sample.n_pool} texts, and {MIN_POOL} is the least that was tried",
            more_pool=more_pool,
        )
    counts = sample.class_counts()
    rarest = int(counts.argmin())
    if counts[rarest] >= MIN_OF_CLASS:
        return None
    expected = max(float(shares[rarest]), 1 / sample.n_pool)
    more = math.ceil((MIN_OF_CLASS - counts[rarest]) / expected)
    reason = (
        f"class {label_set[rarest]!r} has {int(counts[rarest])} audited texts, and each class "
        f"needs {MIN_OF_CLASS}"
    )
    is_enough = more <= len(sample.rest)
    join = _to_join(counts, label_set)
    if not is_enough:
        reason += ". The rest of the pool probably holds too few of it: add texts"
    return Needs(reason, more_audited=more if is_enough else None, join_classes=join)


def _to_join(counts: Codes, label_set: Sequence[str]) -> tuple[str, ...]:
    """The rarest classes, all that are too rare and as many as give enough texts together."""
    order = np.argsort(counts, kind="stable")
    for n_joined in range(2, len(order)):
        joined = counts[order[:n_joined]].sum()
        if joined >= MIN_OF_CLASS and counts[order[n_joined]] >= MIN_OF_CLASS:
            return tuple(label_set[code] for code in order[:n_joined])
    return ()


def verdict(sample: AuditSample, loss: Loss, tolerance: float) -> Verdict:
    """The verdict on the loss of macro-F1.

    Parameters
    ----------
    sample
        The audit.
    loss
        From :func:`project.audit.borrowed_curve.estimate_loss`.
    tolerance
        Largest loss of macro-F1 that is safe, in [0, 1].
    """
    interval = loss.loss["macro_f1"]
    if interval.high <= tolerance:
        return Verdict(SAFE, Needs())
    if interval.low > tolerance:
        return Verdict(NOT_SAFE, Needs())
    reason = (
        f"the loss lies between {_points(interval.low)} and {_points(interval.high)} points, on "
        f"both sides of the {_points(tolerance)} that are tolerated"
    )
    return Verdict(CANNOT_TELL, _what_decides(sample, loss, tolerance, reason))


def _what_decides(sample: AuditSample, loss: Loss, tolerance: float, reason: str) -> Needs:
    """How many more texts would probably decide, if the estimate stayed where it is.

    Both errors, the bootstrap's and the borrowed curve's, fall with the square root of the audit's
    size.
    """
    distance = abs(loss.loss["macro_f1"].estimate - tolerance)
    error = math.hypot(loss.standard_error["macro_f1"], loss.model_error) * math.sqrt(sample.n)
    needed = texts_to_decide(error, distance)
    if needed > MAX_AUDIT:
        return Needs(
            f"{reason}. The estimate is so near that {MAX_AUDIT} audited texts would probably not "
            "decide it: set another tolerance, or train on human labels and compare",
            more_audited=None,
        )
    more = max(10, math.ceil(needed) - sample.n)  # a few texts more or less cannot be told apart
    if more > len(sample.rest):
        return Needs(
            f"{reason}. About {math.ceil(needed):,} audited texts decide it with a chance of "
            f"{100 * CHANCE:.0f} %, and the pool has {sample.n + len(sample.rest):,}: audit all of "
            "it all the same, set another tolerance, or train on human labels and compare",
            more_audited=None,
        )
    return Needs(reason, more_audited=more)


def good_enough(interval: Interval, at_least: float | None) -> str:
    """Whether a score in [0, 1] reaches ``at_least``: yes, no, cannot tell; "" if none is asked."""
    if at_least is None:
        return ""
    if interval.low >= at_least:
        return "yes"
    return "no" if interval.high < at_least else CANNOT_TELL


def _points(share: float) -> str:
    """A share in points (x 100)."""
    return f"{100 * share:.1f}".replace("-", "−")
