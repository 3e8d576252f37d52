"""The figure of the arms: scores and agreement of their seeds, readable without colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analysis.render.figures import new_figure, rendered
from analysis.render.section import Picture
from project.config.metric import Metric
from project.config.metrics import main_scores, shown_agreement

if TYPE_CHECKING:
    import pandas as pd

_SCORE_MARKS = (("o", "#1f5a99"), ("D", "#b5530f"), ("v", "#2f7d4f"), ("P", "#8a6d00"))
_AGREEMENT_MARKS = (("s", "#333333"), ("^", "#7a3b8f"), ("X", "#555555"))
_GAP = 0.26
"""Distance of two scores of one arm, in rows of the figure."""
_LONG_TITLES = {
    "alpha_K": "Krippendorff's alpha",
    "ordinal alpha_K": "Krippendorff's alpha (ordinal)",
}


def arms_figure(arms: pd.DataFrame, *, ordered: bool = False) -> Picture:
    """A picture with a row for each arm: scores of every seed on the left, agreement on the right.

    ``arms`` has the columns of :func:`analysis.store.arm_scores.arm_row`, unscaled.
    With ``ordered`` labels the agreement is that of the order.
    """
    figure = new_figure(8.6, 0.9 + 0.55 * len(arms))
    left, right = figure.subplots(1, 2, sharey=True)
    scores = main_scores()
    # The scores of an arm stand one below the other, centred on its row.
    for index, metric in enumerate(scores):
        shift = _GAP * (index - (len(scores) - 1) / 2)
        _draw_seeds(left, arms, metric, shift, look=_SCORE_MARKS[index % len(_SCORE_MARKS)])
    for index, metric in enumerate(shown_agreement(ordered=ordered)):
        mark, colour = _AGREEMENT_MARKS[index % len(_AGREEMENT_MARKS)]
        _draw_agreement(right, arms, metric, look=(mark, colour))
    labels = [f"{row['arm']}\n{row['human_labels']} human" for row in arms.to_dict("records")]
    left.set_yticks(list(range(len(arms))), labels)
    left.invert_yaxis()
    left.set_xlabel("score x 100 (dots: seeds, bar: mean)")
    right.set_xlabel("agreement of the seeds x 100, 95 % limits")
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, 1.0 + 0.9 / (1 + len(arms))),
            ncols=2,
            frameon=False,
        )
    return rendered(figure)


def _draw_agreement(axes: Any, arms: pd.DataFrame, metric: Metric, look: tuple[str, str]) -> None:
    """A mark for every arm, with a line for its interval if the metric has one."""
    mark, colour = look
    if metric.has_interval:
        for position, row in enumerate(arms.to_dict("records")):
            ends = [metric.scale * row[f"{metric.key}_{end}"] for end in ("low", "high")]
            axes.plot(ends, [position, position], color=colour, linewidth=1.5)
    axes.plot(
        metric.scale * arms[metric.key],
        range(len(arms)),
        mark,
        color=colour,
        markersize=7,
        label=_LONG_TITLES.get(metric.title, metric.title),
    )


def _draw_seeds(
    axes: Any, arms: pd.DataFrame, metric: Metric, shift: float, *, look: tuple[str, str]
) -> None:
    """A dot for every seed and a bar at the mean, ``shift`` rows below the row of the arm."""
    mark, colour = look
    for position, row in enumerate(arms.to_dict("records")):
        values = [metric.scale * value for value in row[f"{metric.key}_by_seed"]]
        axes.plot(
            values,
            [position + shift] * len(values),
            mark,
            color=colour,
            alpha=0.45,
            markersize=4,
            linestyle="none",
        )
        axes.plot(
            [metric.scale * row[metric.key]] * 2,
            [position + shift - 0.11, position + shift + 0.11],
            color=colour,
            linewidth=2.5,
        )
    # The legend's entry has no points, and so the full colour instead of that of the dots.
    axes.plot([], [], mark, color=colour, label=metric.title)
