"""Scores against the human budget or the cost, a line for each label source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from analysis.render.figures import draw_line, measures, new_figure, picture, tidy
from analysis.render.section import Figure
from project.config.arm import ArmFacts
from project.config.arms import GOLD, LLM, arm_facts

if TYPE_CHECKING:
    import pandas as pd

_CAPTION = (
    "Accuracy and macro-F1 against {across}, for each source of labels; broken lines: gold and the "
    "LLM's labels alone."
)
_REFERENCES = ((GOLD, (0, (6, 2))), (LLM, (0, (1, 2))))
"""Arms drawn as horizontal lines, and the style of the line."""
_MARGIN = 0.06
"""Empty room above and below the points, as a share of their range."""


def kinds_with(points: pd.DataFrame, condition: Callable[[ArmFacts], bool]) -> pd.Series:
    """Mask of the points whose kind of arm meets a condition."""
    return points["arm_kind"].map(lambda kind: condition(arm_facts(kind))).astype(bool)


def budget_figure(points: pd.DataFrame, across: Literal["share", "cost"] = "share") -> Figure:
    """Every measure against the human share or the cost, in a band of one standard deviation.

    ``points`` has one row for each arm, with mean and standard deviation of every measure in
    [0, 1]. Sources differ in marker and line style, so that colour is not needed.
    """
    panels = measures()
    figure = new_figure(4.5 * len(panels), 4.6)
    competes = kinds_with(points, lambda facts: facts.competes)
    lines = points[competes & ~points["arm_kind"].isin([GOLD, LLM])]
    all_axes: Sequence[Any] = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (measure, title) in zip(all_axes, panels, strict=True):
        for index, (kind, rows) in enumerate(lines.groupby("arm_kind", sort=False)):
            in_order = rows.sort_values(across)
            draw_line(axes, index, str(kind), in_order, across=across, measure=measure)
        for arm, style in _REFERENCES:
            for score in 100 * points.loc[points["arm"] == arm, measure]:
                axes.axhline(score, color="black", linewidth=0.9, linestyle=style, label=arm)
        _set_range(axes, points, measure)
        if across == "cost":
            _label_cost(axes, title)
        else:
            _label_shares(axes, lines["share"], title)
    if across == "cost":
        caption = _CAPTION.format(across="what labels and one training cost")
        return Figure("budget_cost", picture(figure), caption)
    return Figure("budget", picture(figure), _CAPTION.format(across="what a human labels"))


def _label_cost(axes: Any, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    tidy(axes, [], "cost of labels and one training, in the unit of the prices", title)
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _label_shares(axes: Any, shares: pd.Series, title: str) -> None:
    """Ticks at the shares that several sources have; at all shares if there are none.

    The share of an ensemble follows from the draws, and no other source has it.
    """
    # Logarithmic, but with room for the share 0.
    axes.set_xscale("symlog", linthresh=1)
    counts = shares.value_counts()
    ticks = sorted(counts.index[counts > 1]) or sorted(counts.index)
    tidy(axes, ticks, "human labels, per cent of the training texts", title)


def _set_range(axes: Any, points: pd.DataFrame, measure: str) -> None:
    """Set the range of scores, leaving out sources that train on few human labels alone.

    They may lie so far below that the lines of all other sources would coincide. A note then says
    that points lie below the figure.
    """
    means = 100 * points[measure]
    near = kinds_with(points, lambda facts: not facts.human_labels_alone)
    deviations = 100 * points[f"{measure}_sd"].fillna(0)
    low = (means - deviations)[near].min()
    high = (means + deviations)[near].max()
    margin = _MARGIN * max(high - low, 1.0)
    axes.set_ylim(low - margin, max(high, means.max()) + margin)
    if (means < low - margin).any():
        axes.annotate(
            "\N{DOWNWARDS ARROW} human_only lies below",
            (0.02, 0.02),
            xycoords="axes fraction",
            fontsize=8,
        )
