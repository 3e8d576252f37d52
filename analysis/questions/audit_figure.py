"""Pictures of an audit: the scores with their intervals, and the class shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.questions.audit_sentences import interval, level_of_loss
from analysis.render.figures import look, new_figure, picture
from analysis.render.section import Figure
from project.stats.bootstrap import Interval

_SCORES = {
    "llm": "the LLM",
    "classifier": "classifier,\nLLM's labels",
    "gold_trained": "classifier,\nhuman labels",
}
_MAX_CLASSES = 30
"""Shares of more classes cannot be read."""


def scores_figure(result: Mapping[str, Any]) -> Figure | None:
    """Macro-F1 with 95 % limits, and the loss beside what is tolerated; None without a loss."""
    loss = interval(result["loss"]["macro_f1"])
    if loss.estimate != loss.estimate:
        return None
    figure = new_figure(7.0, 2.6)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    names = list(_SCORES.values())
    for row, key in enumerate(_SCORES):
        _draw(left, row, interval(result[key]["macro_f1"]), index=row)
    left.set_yticks(range(len(names)), names, fontsize=8)
    left.set_ylim(len(names) - 0.5, -0.5)
    left.set_xlabel("macro-F1 x 100")
    tolerance = 100 * result["tolerance"]
    _draw(right, 0, loss, index=4)
    right.axvline(tolerance, color="#333333", linestyle="--", linewidth=1)
    right.text(tolerance, -0.42, f" tolerated: {tolerance:g}", fontsize=8, va="top")
    right.axvline(0, color="#999999", linewidth=0.8)
    right.set_yticks([])
    right.set_ylim(0.5, -0.5)
    right.set_xlabel("loss of macro-F1, points")
    _tidy(left, right)
    return Figure(
        "audit_scores",
        picture(figure, legend=False),
        "Macro-F1 with 95 % limits of the LLM, of a classifier trained on its labels and of one "
        f"trained on human labels; right, the loss between the two with {level_of_loss(result)} "
        "limits, and what is tolerated.",
        folded=True,
    )


def shares_figure(result: Mapping[str, Any]) -> Figure | None:
    """Class shares by the LLM and corrected; None without intervals or with very many classes."""
    shares = result["shares"]
    corrected = [interval(share["corrected"]) for share in shares.values()]
    known = all(item.low == item.low for item in corrected)
    if not known or len(shares) > _MAX_CLASSES:
        return None
    figure = new_figure(7.0, 1.1 + 0.32 * len(shares))
    axes = figure.subplots()
    mark, _, colour = look(1)
    llm = [100 * (share["llm"]["estimate"] or 0.0) for share in shares.values()]
    for row, item in enumerate(corrected):
        _draw(axes, row, item, index=0, label="corrected, 95 % limits" if row == 0 else "")
    axes.plot(
        llm,
        range(len(llm)),
        marker=mark,
        linestyle="none",
        color=colour,
        markerfacecolor="none",
        label="the LLM's labels",
    )
    axes.set_yticks(range(len(shares)), [_short(name) for name in shares], fontsize=8)
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.set_xlabel("per cent of the pool")
    _tidy(axes)
    return Figure(
        "audit_shares",
        picture(figure),
        "Share of each class in the pool: by the LLM's labels, and corrected by the audit.",
    )


def _draw(axes: Any, row: int, value: Interval, *, index: int, label: str = "") -> None:
    """One interval x 100 as a horizontal line with a mark."""
    mark, _, colour = look(index)
    axes.plot([100 * value.low, 100 * value.high], [row, row], color=colour, linewidth=2)
    axes.plot(
        [100 * value.estimate],
        [row],
        marker=mark,
        linestyle="none",
        color=colour,
        label=label or None,
    )


def _tidy(*panels: Any) -> None:
    for axes in panels:
        axes.grid(axis="x", alpha=0.3)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)


def _short(name: str) -> str:
    """A class name that fits beside the figure."""
    return name if len(name) <= 32 else f"{name[:31]}…"
