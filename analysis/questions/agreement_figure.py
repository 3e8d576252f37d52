"""Agreement of every two raters as a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.render.figures import MAP, new_figure, picture, tilted
from analysis.render.section import Figure
from project.stats.types import Floats

MAX_RATERS = 60
"""A map of more raters cannot be read."""
_LINE_COLOUR = "#b5530f"


def agreement_figure(pairs: Floats, groups: Sequence[str]) -> Figure:
    """A map of the shares of examples labelled alike, ``(n_raters, n_raters)``; darker is more.

    ``groups`` has the group of every rater; lines separate groups, whose raters are neighbours.
    """
    size = min(9.0, 2.2 + 0.22 * len(groups))
    figure = new_figure(size + 0.9, size)
    axes = figure.subplots()
    per_cent = 100 * pairs
    image = axes.imshow(per_cent, cmap=MAP, vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, shrink=0.8, label="same label, per cent of the examples")
    names = list(dict.fromkeys(groups))
    # A cell is one wide and centred at its rater's index: edges lie half a cell off.
    edges = np.cumsum([sum(group == name for group in groups) for name in names])
    middles = edges - np.diff(np.concatenate([[0], edges])) / 2 - 0.5
    for edge in edges[:-1]:
        axes.axhline(edge - 0.5, color=_LINE_COLOUR, linewidth=1)
        axes.axvline(edge - 0.5, color=_LINE_COLOUR, linewidth=1)
    axes.set_xticks(middles, names, **tilted(45), fontsize=8)
    axes.set_yticks(middles, names, fontsize=8)
    return Figure(
        "between",
        picture(figure, legend=False),
        "Share of test examples that every two raters label alike; the darker, the more alike.",
        beside=True,
    )
