"""What each split of N human labels between training and audit would give.

Numbers alone; :mod:`analysis.questions.split_budget` shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from analysis.questions.split_budget_points import Measured, Tried, class_of, measure
from analysis.render.classes import MIN_EXAMPLES as MIN_OF_A_CLASS
from project.config.results import MIN_TEST
from project.stats.bootstrap import Interval, interval
from project.stats.label_split import (
    MIN_AUDIT,
    FallingLaw,
    best_split,
    falling_value,
    fit_falling_law,
    half_width,
    starts_for,
)
from project.stats.types import Floats
from project.support.errors import AssayError

SHARES = (100, 90, 80, 70, 60, 50, 40, 30, 20, 10)
"""Per cent of the labels that audit, in the order of the table."""
MEASURED_AUDIT = 100
"""Audited texts for which the half-widths of measured budgets are shown."""
NEAR_BEST = 1.05
"""A split is near the best where its half-width is at most this many times the least."""
_MAX_BEYOND = 2
"""Labels to spend, as a multiple of the largest budget: beyond, the law is not believed."""
MIN_SEEDS = 3
_MAX_OFF = 0.1
"""A fitted half-width may be off by this share where it lies outside of the measured limits."""


class Row(NamedTuple):
    """One split. Half-widths and scores are in [0, 1].

    Attributes
    ----------
    audited, trained
        Numbers of human labels.
    accuracy, macro_f1
        Of the classifier on new texts.
    share, of_accuracy
        Half-width of the 95 % interval of the class share and of the classifier's accuracy.
    extrapolated
        Whether more human labels train than were measured.
    """

    audited: int
    trained: int
    accuracy: Interval
    macro_f1: Interval
    share: Interval
    of_accuracy: float
    extrapolated: bool


class Budget(NamedTuple):
    """A measured budget: its arm, and the half-width of a share over 100 audited texts."""

    arm: str
    human_labels: int
    n_seeds: int
    share: Interval
    fitted: float


class SplitPlan(NamedTuple):
    """What each split gives, and the best one.

    Attributes
    ----------
    kind, human_alone
        Source of the training labels, and whether it has none of the LLM's.
    label, human_labels
        Class of the share, and labels to spend.
    budgets
        The measured budgets, rising.
    rows
        The splits of the table.
    best
        The best split.
    audited_share
        Share of the labels that audit under the best split, in [0, 1].
    near
        Least and largest share that audit near the best.
    gain
        Share of the half-width that the best split saves, against no human label in training.
    fall
        Share of the half-width of one audit that more human labels in training save, from the
        fewest that were measured to those to spend, or to the most that were measured.
    itself
        Half-width where all labels audit the LLM's own labels; None without these.
    alone
        Half-width where all labels audit, without any prediction.
    curve
        Half-widths ``(1 + replicates, n)`` at the numbers ``trained`` ``(n,)``.
    trained
        See ``curve``.
    doubt
        Why nothing is recommended; empty if something is.
    """

    kind: str
    human_alone: bool
    label: str
    human_labels: int
    budgets: Sequence[Budget]
    rows: Sequence[Row]
    best: Row
    audited_share: Interval
    near: tuple[float, float]
    gain: Interval
    fall: Interval
    itself: Interval | None
    alone: float
    curve: Floats
    trained: Floats
    doubt: str


class _Curves(NamedTuple):
    """The laws of what falls with the training labels, each of shape ``(1 + replicates,)``.

    ``untrained`` is the variance that is left where no human label trains; ``least`` and
    ``largest`` are the measured budgets at the ends; ``total`` labels are spent.
    """

    variance: FallingLaw
    error: FallingLaw
    macro_f1_lacking: FallingLaw
    untrained: Floats
    least: int
    largest: int
    total: int

    def value(self, trained: float) -> Floats:
        """What a classifier with ``trained`` labels leaves unexplained."""
        return falling_value(self.variance, trained)

    def width(self, trained: float) -> Floats:
        """Half-widths of the share where ``trained`` labels train and the others audit."""
        variance = self.value(trained) if trained else self.untrained
        return half_width(variance, self.total - trained)

    def is_possible(self, trained: int) -> bool:
        """Whether enough labels remain for an audit, and not too few train."""
        return self.total - trained >= MIN_AUDIT and (trained >= self.least or trained == 0)

    def row(self, trained: int) -> Row:
        """The split with so many labels in training."""
        accuracy = macro_f1 = np.full(self.untrained.shape, np.nan)
        if trained >= self.least:  # else there is no classifier
            accuracy = 1 - falling_value(self.error, trained)
            macro_f1 = 1 - falling_value(self.macro_f1_lacking, trained)
        audited = self.total - trained
        return Row(
            audited=audited,
            trained=trained,
            accuracy=interval(accuracy),
            macro_f1=interval(macro_f1),
            share=interval(self.width(trained)),
            of_accuracy=float(half_width(accuracy[0] * (1 - accuracy[0]), audited)),
            extrapolated=trained > self.largest,
        )


def split_plan(tried: Tried, human_labels: int, label: str = "") -> SplitPlan:
    """The plan of one label source.

    Parameters
    ----------
    tried
        The budgets of this source that were tried.
    human_labels
        Human labels to spend.
    label
        The class whose share is asked for; empty: that with the widest interval.

    Raises
    ------
    AssayError
        If the budgets cannot answer for so many labels, or this class.
    """
    code = class_of(tried, label)
    measured = measure(tried, code)
    curves = _curves(tried, measured, human_labels)
    least, total = curves.least, curves.total
    split = best_split(curves.variance, total, least=least, most=total, untrained=curves.untrained)
    best = curves.row(int(split.trained[0]))
    trained = np.unique(np.linspace(least, max(least, total - MIN_AUDIT), 200).round())
    widths = np.stack([curves.width(n) for n in trained], axis=1)
    near = [best.trained, *trained[widths[0] <= NEAR_BEST * best.share.estimate]]
    by_share = [total - round(total * share / 100) for share in SHARES]
    budgets = _budgets(tried, measured, curves)
    return SplitPlan(
        tried.kind,
        tried.human_alone,
        tried.label_set[code],
        total,
        budgets=budgets,
        rows=[curves.row(n) for n in by_share if curves.is_possible(n)],
        best=best,
        audited_share=interval(1 - split.trained / total),
        near=(float(1 - max(near) / total), float(1 - min(near) / total)),
        gain=interval(1 - curves.width(best.trained) / curves.width(0)),
        fall=interval(1 - np.sqrt(curves.value(min(total, curves.largest)) / curves.value(least))),
        itself=None if measured.itself is None else interval(half_width(measured.itself, total)),
        alone=float(half_width(measured.alone[0], total)),
        curve=widths,
        trained=trained,
        doubt=_doubt(tried, code, budgets),
    )


def _check_number(human_labels: int, kind: str, largest: int) -> None:
    """Raise AssayError for numbers of labels of which the curve tells nothing."""
    if human_labels < 2 * MIN_AUDIT:
        raise AssayError(
            f"human_labels must be at least {2 * MIN_AUDIT}, since an audit needs {MIN_AUDIT}; got "
            f"{human_labels}. Raise it."
        )
    if human_labels > _MAX_BEYOND * largest:
        raise AssayError(
            f"human_labels must be at most {_MAX_BEYOND} x {largest}, the largest budget of {kind} "
            f"that was trained; got {human_labels}. Lower it, or run -e budget with more texts."
        )


def _curves(tried: Tried, measured: Measured, human_labels: int) -> _Curves:
    """The laws through the measured budgets."""
    sizes = np.array(list(tried.arms), dtype=np.float64)
    _check_number(human_labels, tried.kind, int(sizes.max()))
    starts = (0.0,) if tried.human_alone else starts_for(sizes)
    variance = fit_falling_law(sizes, measured.variance, starts)
    return _Curves(
        variance,
        fit_falling_law(sizes, 1 - measured.accuracy, starts),
        fit_falling_law(sizes, 1 - measured.macro_f1, starts),
        # Without a human label: the classifier of the LLM's labels, or no classifier at all.
        untrained=measured.alone if sizes.min() else falling_value(variance, 0.0),
        least=int(sizes.min()),
        largest=int(sizes.max()),
        total=human_labels,
    )


def _budgets(tried: Tried, measured: Measured, curves: _Curves) -> list[Budget]:
    """The measured budgets beside the law."""
    return [
        Budget(
            arm,
            n,
            len(tried.predicted[index]),
            interval(half_width(measured.variance[:, index], MEASURED_AUDIT)),
            float(half_width(falling_value(curves.variance, n)[0], MEASURED_AUDIT)),
        )
        for index, (n, arm) in enumerate(tried.arms.items())
    ]


def _doubt(tried: Tried, code: int, budgets: Sequence[Budget]) -> str:
    """Why the budgets support no recommendation; empty if they do."""
    n_test = len(tried.gold)
    n_of_class = int((tried.gold == code).sum())
    n_seeds = min(budget.n_seeds for budget in budgets)
    if n_test < MIN_TEST or n_of_class < MIN_OF_A_CLASS:
        return (
            f"{n_test} test texts, {n_of_class} of them {tried.label_set[code]}, are too few: "
            f"{MIN_TEST} and {MIN_OF_A_CLASS} at least. Raise max_test, or name another label."
        )
    if n_seeds < MIN_SEEDS:
        return f"{n_seeds} seeds are too few: {MIN_SEEDS} at least. Raise seeds."

    def off(budget: Budget) -> float:
        estimate, low, high = budget.share
        outside = not low <= budget.fitted <= high
        return abs(budget.fitted / estimate - 1) if outside and estimate else 0.0

    worst = max(budgets, key=off)
    if off(worst) <= _MAX_OFF:
        return ""
    return (
        f"The measured half-widths follow no falling power law: at {worst.arm} it is off by "
        f"{100 * off(worst):.0f} % and outside of the limits. Run -e budget with more seeds or "
        "other values of replace_share."
    )
