"""Figures with a line for each arm, accuracy and macro-F1 side by side; readable without colour."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib.figure
import pandas as pd

MEASURES = (("accuracy", "accuracy"), ("macro_f1", "macro-F1"))
_LOOKS: tuple[tuple[str, Any, str], ...] = (
    ("o", "-", "#1f5a99"),
    ("D", "--", "#b5530f"),
    ("s", "-.", "#2f7d4f"),
    ("^", ":", "#7a3b8f"),
    ("v", (0, (5, 1)), "#555555"),
    ("P", (0, (1, 1)), "#8a6d00"),
)


def look(place: int) -> tuple[str, Any, str]:
    """Marker, line style and colour of the line number ``place``; more lines than markers are other pairs of marker and line."""
    mark, _, colour = _LOOKS[place % len(_LOOKS)]
    return mark, _LOOKS[(place + place // len(_LOOKS)) % len(_LOOKS)][1], colour


def draw_line(
    axes: Any, place: int, label: str, rows: pd.DataFrame, across: str, measure: str
) -> None:
    """The means of ``measure`` x 100 against the column ``across``, by which ``rows`` are sorted, in a band of one standard deviation."""
    mark, line, colour = look(place)
    mean, sd = 100 * rows[measure], 100 * rows[f"{measure}_sd"].fillna(0.0)
    axes.plot(
        rows[across], mean, marker=mark, linestyle=line, color=colour, markersize=5, label=label
    )
    axes.fill_between(rows[across], mean - sd, mean + sd, color=colour, alpha=0.12, linewidth=0)


def tidy(axes: Any, ticks: Sequence[float], across: str, words: str) -> None:
    """Axes with ticks where the points are; ``across``: what runs along them, ``words``: the measure."""
    axes.set_xticks(list(ticks), [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(across)
    axes.set_ylabel(f"{words} x 100, mean ± sd over seeds")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def png(figure: matplotlib.figure.Figure, *, legend: bool = True) -> bytes:
    """The figure as a PNG, with one legend for all of its axes above them, or as it is."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if legend:
        figure.legend(
            handles, labels, loc="outside upper center", ncols=min(6, len(labels)), frameon=False
        )
    buffer = io.BytesIO()
    figure.savefig(
        buffer, dpi=110, metadata={"Software": None}, bbox_inches=None if legend else "tight"
    )
    return buffer.getvalue()
