"""Reliability curves: how often an answer is right, against its confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from analysis.render.figures import look, new_figure, picture
from analysis.render.section import Figure
from project.stats.calibration import reliability
from project.stats.types import Floats, Mask

_SHOWN = ("the LLM itself", "gold", "llm")


class Confidences(NamedTuple):
    """Confidence of every answer, and whether it is right; ``(n_seeds, n)`` each."""

    confidence: Floats
    right: Mask


def reliability_figure(confidences: Mapping[str, Confidences]) -> Figure:
    """Share of right answers against confidence, a curve for each name.

    The curves of the LLM, gold and llm are drawn or, if there are none of these, the first three.
    A larger mark stands for more answers.
    """
    shown = [name for name in confidences if name in _SHOWN] or list(confidences)[:3]
    figure = new_figure(4.8, 4.6)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=(0, (1, 3)))
    for index, name in enumerate(shown):
        confidence, right = confidences[name]
        curve = reliability(confidence.ravel(), right.ravel())
        mark, line, colour = look(index)
        filled = curve.size > 0  # bins with an answer
        x = curve.confidence[filled]
        y = curve.accuracy[filled]
        area = 12 + 160 * curve.size[filled] / curve.size.sum()
        axes.plot(x, y, linestyle=line, color=colour, linewidth=1.2)
        axes.scatter(x, y, s=area, marker=mark, color=colour, label=name)
    axes.set_xlabel("confidence")
    axes.set_ylabel("share right")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return Figure(
        "reliability",
        picture(figure),
        "Share of right answers against confidence; below the dotted line is overconfident.",
        folded=True,
    )
