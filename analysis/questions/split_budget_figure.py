"""Half-width of a class share, and accuracy, by the share of the human labels that audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.render.figures import look, new_figure, picture
from analysis.render.section import Figure

if TYPE_CHECKING:
    from analysis.questions.split_budget_plan import SplitPlan
    from project.stats.types import Floats

_WIDEST = 3.0
"""The axis ends at so many times the least half-width; an audit of few labels tells nothing."""


def split_figure(plan: SplitPlan) -> Figure:
    """Both curves with their 95 % bands, the best split with its interval, and what else there is.

    On the left the half-width of the class share, on the right the accuracy of the classifier.
    """
    figure = new_figure(9.0, 4.2)
    widths, scores = figure.subplots(1, 2)
    total = plan.human_labels
    _, _, colour = look(0)
    _band(widths, 100 * (1 - plan.trained / total), 100 * plan.curve, label="corrected share")
    best = plan.best
    if not plan.doubt:
        widths.errorbar(
            100 * best.audited / total,
            100 * best.share.estimate,
            xerr=_reach(plan),
            marker="o",
            color=colour,
            capsize=4,
            linestyle="none",
            label="best split, 95 % interval",
        )
    if plan.itself is not None:
        widths.axhline(
            100 * plan.itself.estimate,
            color="black",
            linewidth=0.9,
            linestyle=(0, (1, 2)),
            label="the LLM's own labels, all audited",
        )
    least = min(best.share.estimate, *(row.share.estimate for row in plan.rows))
    widths.set_ylim(0, 100 * _WIDEST * least)
    widths.set_ylabel(f"share of {plan.label}, ± points")
    rows = [row for row in plan.rows if row.of_accuracy == row.of_accuracy]
    accuracy = np.array([row.accuracy for row in rows]).T
    _band(scores, np.array([100 * row.audited / total for row in rows]), 100 * accuracy)
    scores.set_ylabel("classifier, accuracy x 100")
    for axes in (widths, scores):
        axes.set_xlim(0, 102)
        axes.set_xlabel(f"audited, per cent of {total} human labels")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return Figure(
        "split_budget",
        picture(figure),
        "By the share of the human labels that audit: half of the 95 % interval of a class share, "
        "and the accuracy of the classifier that the other labels train; bands: 95 % intervals.",
    )


def _band(axes: Any, across: Floats, values: Floats, label: str | None = None) -> None:
    """A line in a band; ``values`` has the estimates in row 0 and below it replicates or limits."""
    _, line, colour = look(0)
    low, high = (
        np.nanquantile(values[1:], [0.025, 0.975], axis=0) if len(values) > 3 else values[1:]
    )
    axes.plot(across, values[0], linestyle=line, color=colour, label=label)
    axes.fill_between(across, low, high, color=colour, alpha=0.12, linewidth=0)


def _reach(plan: SplitPlan) -> Floats:
    """How far the interval of the best share reaches to either side ``(2, 1)``, in per cent."""
    share = plan.best.audited / plan.human_labels
    low, high = plan.audited_share.low, plan.audited_share.high
    return 100 * np.array([[max(share - low, 0.0)], [max(high - share, 0.0)]])
