"""Figures of a study: Optuna's, and macro-F1 against what a trial costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from analysis.render.figures import look, new_figure, picture
from analysis.render.section import Figure
from analysis.render.study_figures import figures

if TYPE_CHECKING:
    import pandas as pd

_CAPTIONS = {
    "history": "The objective of every trial, and the best one so far.",
    "importance": "How much the objective depends on each part of a setting.",
    "contour": "The objective against replace share and ensemble size.",
}
"""Captions of Optuna's figures by their names."""


def study_figures(trials: pd.DataFrame, *, has_several_objectives: bool) -> list[Figure]:
    """Optuna's figures of a study; see :func:`analysis.render.study_figures.figures`."""
    from analysis.store.sweep_study import SETTINGS

    drawn = figures(trials, SETTINGS, many=has_several_objectives)
    names = [file.removesuffix(".png") for file in drawn]
    return [
        Figure(name, picture(figure, legend=False), _CAPTIONS[name])
        for name, figure in zip(names, drawn.values(), strict=True)
    ]


def pareto_figure(trials: pd.DataFrame, *, with_cost: bool) -> Figure:
    """Validation macro-F1 of the complete trials against human labels, LLM calls and money.

    Money has a panel only if ``with_cost``. Chosen trials are filled and numbered; a bar is one
    standard deviation over the seeds.
    """
    panels = [
        ("human_share", 100.0, "human labels for 100 training texts"),
        ("llm_calls", 1.0, "LLM calls"),
    ]
    if with_cost:
        panels.append(("cost", 1.0, "cost, in the unit of the prices"))
    figure = new_figure(4.6 * len(panels), 4.4)
    complete = trials[trials["state"] == "COMPLETE"]
    all_axes: Sequence[Any] = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (column, scale, xlabel) in zip(all_axes, panels, strict=True):
        for index, (source, rows) in enumerate(complete.groupby("source", sort=False)):
            mark, _, colour = look(index)
            for row in rows.to_dict("records"):
                _draw_trial(axes, scale * row[column], row, mark=mark, colour=colour)
            axes.plot([], [], mark, color=colour, label=str(source))
        axes.set_xlabel(xlabel)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("validation macro-F1 x 100, mean ± sd over seeds")
    return Figure(
        "pareto",
        picture(figure),
        "Validation macro-F1 against what a trial takes; chosen trials are filled.",
    )


def _draw_trial(axes: Any, x: float, row: Mapping[Any, Any], *, mark: str, colour: str) -> None:
    """Draw one trial at ``x``, with its number if it was chosen."""
    y = 100 * row["validation.macro_f1"]
    deviation = 100 * row["validation.macro_f1_sd"]
    bar = None if math.isnan(deviation) else deviation  # a single seed has no deviation
    axes.errorbar(x, y, yerr=bar, color=colour, alpha=0.35, linewidth=1)
    filling = colour if row["chosen"] else "none"
    axes.plot(x, y, mark, color=colour, markerfacecolor=filling, markersize=7)
    if row["chosen"]:
        axes.annotate(
            str(row["number"]),
            (x, y),
            xytext=(6, 4),
            textcoords="offset points",
            fontsize=8,
        )
