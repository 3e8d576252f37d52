"""The terms of the decomposition side by side, a group for each arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.render.figures import new_figure, picture
from analysis.render.section import Figure
from project.stats.bootstrap import Interval

TERM_TITLES = ("KL(P||P_hat)", "KL(P||P_S)", "KL(P_S||P_hat)", "cross term")
# Of the terms, in their order: distance from the row of the arm, marker and colour.
_SHIFTS = (-0.24, -0.08, 0.08, 0.24)
_MARKS = ("o", "s", "D", "^")
_COLOURS = ("#222222", "#b5530f", "#1f5a99", "#7a3b8f")


def divergence_figure(means: Mapping[str, Sequence[Interval]]) -> Figure:
    """The four terms of every arm with their intervals, in the order of ``TERM_TITLES``."""
    figure = new_figure(8.6, 1.2 + 0.62 * len(means))
    axes = figure.subplots()
    looks = zip(TERM_TITLES, _SHIFTS, _MARKS, _COLOURS, strict=True)
    for term, (title, shift, mark, colour) in enumerate(looks):
        for row, terms in enumerate(means.values()):
            estimate, low, high = terms[term]
            y = row + shift
            axes.plot([low, high], [y, y], color=colour, linewidth=1.5)
            axes.plot(
                estimate,
                y,
                mark,
                color=colour,
                markersize=6,
                label=title if row == 0 else None,
            )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(means)), list(means))
    axes.invert_yaxis()
    axes.set_xlabel("bits per test example, with 95 % limits")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return Figure(
        "divergence",
        picture(figure),
        "The terms of the decomposition for each source of labels.",
        folded=True,
    )
