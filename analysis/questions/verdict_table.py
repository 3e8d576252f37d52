"""The verdict as a part of the report: one row for each arm that was judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.questions.verdict import Verdict
from analysis.questions.verdict_looks import ONE_LOOK
from analysis.render.scores import alpha_key, alpha_name
from analysis.render.section import Section, Table
from analysis.render.text import number

_QUESTION = "May I fine-tune on these labels?"
_NOTE = (
    "human: labels for training; in all: with those for validation and demonstrations. Loss: "
    "macro-F1 of gold-trained classifiers less that of the arm's, in points (x 100). {alpha}_K: "
    "Krippendorff's {alpha} of the arm's seeds. In brackets {level:.3g} % limits, of llm by "
    "itself, of all remedies at once. They are made from the test examples, from one more example "
    "that was not seen, and from the spread of the seeds. seeds: the seeds' share in the variance "
    "of the loss and of alpha; the rest is the test examples'. Crossed replicates share draws and "
    "seeds; the limits ignore this and are too narrow. Safe: both intervals lie wholly within the "
    "limits. beats llm: whether the arm is measurably better than llm. Gold labels, oracles and "
    "flipped labels are no remedy and are not judged."
)
_UNITS = (
    "trained on",
    "for training",
    "human labels",
    "points [limits]",
    "",
    "[limits]",
    "",
    "share of variance",
    "",
    "",
)
_LOOKS_NOTE = (
    " The verdict looks at most three times while seeds are added; the looks share an error of 5 %."
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
            str(row["human_labels_in_all"]),
            _with_limits(row, "loss", scale=100, digits=1),
            row["loss_is_small"],
            _with_limits(row, alpha_key(row), scale=1, digits=3),
            row["seeds_agree"],
            _seed_shares(row),
            row["safe"],
            "-" if row["arm"] == "llm" else "yes" if row["beats_llm"] else "no",
        ]
        for row in verdict.judged.to_dict("records")
    ]
    alpha = alpha_name(verdict.judged)
    head = [
        "labels",
        "human",
        "in all",
        "loss",
        f"at most {verdict.tolerance:g}?",
        f"{alpha}_K",
        f"at least {verdict.min_alpha:g}?",
        "seeds",
        "safe",
        "beats llm",
    ]
    note = _NOTE.format(level=100 * verdict.level, alpha=alpha)
    if verdict.level != ONE_LOOK:
        note += _LOOKS_NOTE
    table = Table(
        name="verdict",
        heading="",
        head=head,
        rows=rows,
        frame=verdict.judged,
        notes=[note],
        units=_UNITS,
    )
    return Section("verdict", _QUESTION, answer, [table])


def _with_limits(row: Mapping[Any, Any], name: str, *, scale: float, digits: int) -> str:
    """Estimate and 95 % limits; the estimate alone if it has none."""
    estimate = number(scale * row[name], digits)
    low = number(scale * row[f"{name}_low"], digits)
    high = number(scale * row[f"{name}_high"], digits)
    return estimate if low == "-" else f"{estimate} [{low}, {high}]"


def _seed_shares(row: Mapping[Any, Any]) -> str:
    """The seeds' share in the variance of the loss and of alpha, in per cent."""
    shares = (row[f"{name}_seed_share"] for name in ("loss", alpha_key(row)))
    return ", ".join(f"{100 * share:.0f}" for share in shares) + " %"
