"""The noise transition as a map of shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.render.figures import MAP, new_figure, picture, tilted
from analysis.render.section import Figure
from project.stats.noise import Transition

_MAX_NUMBERED = 21
"""Columns of a map whose cells still have room for a number."""


def transition_figure(
    transition: Transition, given_names: Sequence[str], label_set: Sequence[str]
) -> Figure:
    """Shares of the LLM's labels (columns) for every gold class (rows), darker for more.

    Parameters
    ----------
    transition
        The shares, ``(n_classes, n_given)``.
    given_names
        The names of the columns: the classes, and that of missing answers if there are any.
    label_set
        The names of the rows.
    """
    figure = new_figure(2.4 + 0.75 * len(given_names), 1.6 + 0.5 * len(label_set))
    axes = figure.subplots()
    per_cent = np.ma.masked_invalid(100 * transition.share)
    axes.imshow(per_cent, cmap=MAP, vmin=0, vmax=100, aspect="auto")
    if len(given_names) <= _MAX_NUMBERED:
        for (row, column), value in np.ndenumerate(100 * transition.share):
            if not np.isnan(value):
                colour = "white" if value > 60 else "black"  # readable on the cell
                axes.text(
                    column,
                    row,
                    f"{value:.0f}",
                    ha="center",
                    va="center",
                    fontsize=9,
                    color=colour,
                )
    axes.set_xticks(range(len(given_names)), given_names, **tilted(30), fontsize=9)
    axes.set_yticks(range(len(label_set)), label_set, fontsize=9)
    axes.set_xlabel("the LLM's label")
    axes.set_ylabel("gold label")
    return Figure(
        "noise_transition",
        picture(figure, legend=False),
        "Per cent of each gold class (rows) that the LLM gave each label (columns).",
        beside=True,
    )
