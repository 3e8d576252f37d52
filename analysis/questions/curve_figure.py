"""Learning curves: a line for each arm, a panel for each measure, readable without colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.render.figures import draw_line, look, measures, new_figure, picture, tidy
from analysis.render.section import Figure
from project.stats.curves import FittedCurve
from project.stats.power_law import power_law_value

if TYPE_CHECKING:
    import pandas as pd

_FIT_WIDTH = 0.7


def curve_figure(
    points: pd.DataFrame,
    annotator: pd.DataFrame,
    fits: Mapping[tuple[str, str], FittedCurve] | None = None,
) -> Figure:
    """Every measure against training size (logarithmic), in a band of one standard deviation.

    Parameters
    ----------
    points
        One row for each arm and size, with mean and standard deviation of every measure in [0, 1].
    annotator
        Scores of the LLM itself, one row for each split; those of the test split are a dotted line.
    fits
        Fitted curves by arm and measure: thin lines in the style of their arm, with a stroke
        across where they flatten.
    """
    panels = measures()
    figure = new_figure(4.5 * len(panels), 4.2)
    sizes = sorted(set(points["n_examples"]))
    arms = [str(arm) for arm in dict.fromkeys(points["arm"])]
    all_axes: Sequence[Any] = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (measure, title) in zip(all_axes, panels, strict=True):
        for index, arm in enumerate(arms):
            rows = points[points["arm"] == arm].sort_values("n_examples")
            draw_line(axes, index, arm, rows, across="n_examples", measure=measure)
        for row in annotator.to_dict("records"):
            if row["split"] == "test":
                _draw_annotator(axes, 100 * row[measure])
        if fits:
            for index, arm in enumerate(arms):
                if (arm, measure) in fits:
                    _draw_fit(axes, index, fits[arm, measure])
            _add_fit_to_legend(axes)
        axes.set_xscale("log")
        tidy(axes, sizes, "training texts (logarithmic)", title)
    return Figure(
        "curve",
        picture(figure),
        "Scores against the number of training texts, for each source of labels; dotted: the LLM "
        "itself.",
    )


def _draw_annotator(axes: Any, score: float) -> None:
    axes.axhline(score, color="black", linewidth=0.8, linestyle=(0, (1, 3)), label="the LLM itself")


def _draw_fit(axes: Any, index: int, fit: FittedCurve) -> None:
    """Draw a law between the measured sizes, with a stroke if it flattens among them."""
    _, line, colour = look(index)
    # Evenly spaced on the logarithmic axis, and not beyond the measured sizes.
    sizes = np.geomspace(fit.smallest, fit.largest, 100)
    scores = 100 * power_law_value(fit.law, sizes)
    axes.plot(sizes, scores, linestyle=line, color=colour, linewidth=_FIT_WIDTH)
    size = fit.plateau.estimate
    if fit.smallest <= size <= fit.largest:
        score = 100 * float(power_law_value(fit.law, size))
        axes.plot([size], [score], marker="|", markersize=16, color=colour, linestyle="none")


def _add_fit_to_legend(axes: Any) -> None:
    axes.plot(
        [],
        [],
        color="black",
        linewidth=_FIT_WIDTH,
        marker="|",
        markersize=12,
        label="fit (thin), stroke: flat from here",
    )
