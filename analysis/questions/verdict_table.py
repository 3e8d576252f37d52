"""The verdict as a part of the report: one row for each arm that was judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.questions.verdict import Verdict
from analysis.render.section import Section, Table
from analysis.render.text import number

_QUESTION = "May I fine-tune on these labels?"
_NOTE = (
    "Loss: macro-F1 of gold-trained classifiers less that of the arm's, in points (x 100), by a "
    "paired bootstrap over test examples and seeds; alpha: Krippendorff's, of the arm's seeds, by "
    "a bootstrap over test examples. 95 % limits: of llm by itself, of all remedies at once "
    "(max-t); crossed replicates, which share draws and seeds, count as if they did not, which is "
    "too narrow. Safe: both intervals lie wholly within the limits. Gold labels, oracles and "
    "flipped labels are no remedy and are not judged."
)


def section(verdict: Verdict) -> Section:
    """The verdict with its table; without one if nothing was judged."""
    answer = f"{verdict.word.capitalize()}. {verdict.sentence}"
    if verdict.judged.empty:
        return Section("verdict", _QUESTION, answer)
    rows = [
        [
            row["arm"],
            str(row["human_labels"]),
            _with_limits(row, "loss", scale=100, digits=1),
            row["loss_is_small"],
            _with_limits(row, "krippendorff_alpha", scale=1, digits=3),
            row["seeds_agree"],
            row["safe"],
        ]
        for row in verdict.judged.to_dict("records")
    ]
    head = [
        "labels",
        "human labels",
        "loss of macro-F1",
        f"at most {verdict.tolerance:g}?",
        "alpha_K",
        f"at least {verdict.min_alpha:g}?",
        "safe",
    ]
    table = Table(
        name="verdict", heading="", head=head, rows=rows, frame=verdict.judged, notes=[_NOTE]
    )
    return Section("verdict", _QUESTION, answer, [table])


def _with_limits(row: Mapping[Any, Any], name: str, *, scale: float, digits: int) -> str:
    """Estimate and 95 % limits; the estimate alone if it has none."""
    estimate = number(scale * row[name], digits)
    low = number(scale * row[f"{name}_low"], digits)
    high = number(scale * row[f"{name}_high"], digits)
    return estimate if low == "-" else f"{estimate} [{low}, {high}]"
