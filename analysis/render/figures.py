"""Figures with a line for each arm and a panel for each score, readable without colour.

Their colours are those of :data:`analysis.render.inline_svg.THEMED`, which follow dark and light.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from analysis.render.section import Picture
from project.config.metrics import main_scores

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Marker, line style and colour: each by itself tells the lines apart.
_LOOKS: tuple[tuple[str, Any, str], ...] = (
    ("o", "-", "#1f5a99"),
    ("D", "--", "#b5530f"),
    ("s", "-.", "#2f7d4f"),
    ("^", ":", "#7a3b8f"),
    ("v", (0, (5, 1)), "#555555"),
    ("P", (0, (1, 1)), "#8a6d00"),
)
# What matplotlib warns of where its font lacks a character, or cannot join the letters of a script.
_NO_GLYPH = re.compile(
    r"Glyph \d+ .*missing from|Matplotlib currently does not support .* natively"
)
MAP = "Blues"
"""The colour scale of all maps, darker for more; the page shades cells likewise."""
_DPI = 130
_LETTERS_PER_INCH = 12  # of a legend
_LEGEND_MARK = 7  # letters' worth of space for a mark


def measures() -> list[tuple[str, str]]:
    """Column and title of every registered score, one panel of a figure each."""
    return [(metric.key, metric.title) for metric in main_scores()]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, in which dollar signs are text; imports matplotlib."""
    import matplotlib as mpl
    import matplotlib.figure

    # A label or an arm with dollar signs in its name is no formula; texts read this when made.
    mpl.rcParams["text.parse_math"] = False
    return matplotlib.figure.Figure(figsize=(width, height), layout="constrained")


def look(index: int) -> tuple[str, Any, str]:
    """Marker, line style and colour of a figure's line number ``index``.

    After the last marker they begin anew with other pairs of marker and line style.
    """
    mark, _, colour = _LOOKS[index % len(_LOOKS)]
    _, line, _ = _LOOKS[(index + index // len(_LOOKS)) % len(_LOOKS)]
    return mark, line, colour


def draw_line(
    axes: Any, index: int, label: str, rows: pd.DataFrame, *, across: str, measure: str
) -> None:
    """Draw means x 100 as a line in a band of one standard deviation.

    Parameters
    ----------
    axes
        Where to draw.
    index
        Number of the line in the figure, which decides its look.
    label
        Its name in the legend.
    rows
        One row for each point, sorted by ``across``.
    across
        Column of the horizontal axis.
    measure
        Column of the means; ``<measure>_sd`` holds their standard deviations.
    """
    mark, line, colour = look(index)
    mean = 100 * rows[measure]
    deviation = 100 * rows[f"{measure}_sd"].fillna(0.0)
    axes.plot(
        rows[across], mean, marker=mark, linestyle=line, color=colour, markersize=5, label=label
    )
    axes.fill_between(
        rows[across], mean - deviation, mean + deviation, color=colour, alpha=0.12, linewidth=0
    )


def tidy(axes: Any, ticks: Sequence[float], xlabel: str, measure: str) -> None:
    """Label the axes and take away what is not read.

    Parameters
    ----------
    axes
        A matplotlib ``Axes`` with all its lines.
    ticks
        The only ticks of the horizontal axis.
    xlabel
        Label of the horizontal axis.
    measure
        Title of the measure on the vertical axis.
    """
    axes.set_xticks(list(ticks), [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(f"{measure} x 100, mean ± sd over seeds")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def tilted(degrees: float) -> dict[str, Any]:
    """Keywords of labels below an axis that end at their ticks, whichever font draws them."""
    return {"rotation": degrees, "ha": "right", "va": "center", "rotation_mode": "anchor"}


def picture(figure: Figure, *, legend: bool = True) -> Picture:
    """The figure as files, by default with one legend for all of its axes above them."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if legend:
        # As many columns as fit beside one another; a legend that is too wide would be cut off.
        widest = max((len(label) for label in labels), default=1) + _LEGEND_MARK
        fitting = int(figure.get_figwidth() * _LETTERS_PER_INCH / widest)
        columns = max(1, min(6, len(labels), fitting))
        figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False)
    return rendered(figure, box=None if legend else "tight")


def rendered(figure: Figure, *, box: str | None = None) -> Picture:
    """The figure as an SVG with texts as texts and, where its font has all characters, as a PNG.

    The font that comes with matplotlib has no Chinese, Indic and many other letters. The reader's
    browser, which shows an SVG, has fonts for them.

    Parameters
    ----------
    figure
        The figure.
    box
        ``tight`` to cut off empty borders; None to keep them.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Software is the version of matplotlib: an upgrade alone should not change a report's
        # files.
        figure.savefig(buffer, dpi=_DPI, metadata={"Software": None}, bbox_inches=box)
    others = [each for each in caught if not _NO_GLYPH.search(str(each.message))]
    for each in others:
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    is_whole = len(others) == len(caught)
    return Picture(_svg(figure, box), buffer.getvalue() if is_whole else b"")


def _svg(figure: Figure, box: str | None) -> bytes:
    """The figure as an SVG whose texts the reader's program draws."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    # The salt makes the ids in the file the same every time.
    with (
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "assay"}),
        warnings.catch_warnings(),
    ):
        # Widths are still measured with matplotlib's font, whose stand-ins are wide enough.
        warnings.filterwarnings("ignore", message=_NO_GLYPH.pattern)
        figure.savefig(
            buffer,
            format="svg",
            metadata={"Date": None, "Creator": None},
            bbox_inches=box,
            facecolor="none",
        )
    return buffer.getvalue()
