"""How many texts should people label? The report of an audit's plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.render.figures import look, new_figure, png
from analysis.render.section import Figure, Section, Table

_WIDTHS = {
    "llm_accuracy": "LLM, accuracy",
    "llm_macro_f1": "LLM, macro-F1",
    "classifier_macro_f1": "classifier, macro-F1",
    "share": "class shares",
    "loss_macro_f1": "loss, macro-F1",
}


def plan_section(result: Mapping[str, Any]) -> Section:
    """The sizes of an audit with what each would give."""
    import pandas as pd

    rows = result["rows"]
    has_price = any(row["price"] for row in rows)
    head = ["audited", *(["price"] if has_price else []), *_WIDTHS.values()]
    head += ["% decided", "% decided near", "rarest class"]
    cells = []
    for row in rows:
        cells.append(
            [
                str(row["size"]),
                *([f"{row['price']:.0f}"] if has_price else []),
                *(f"±{50 * row[name]:.1f}" for name in _WIDTHS),
                f"{100 * row['decided']:.0f}",
                f"{100 * row['decided_near']:.0f}",
                f"{row['rarest']:.0f}",
            ]
        )
    table = Table("audit_plan", "", head, cells, pd.DataFrame(rows))
    caption = "Half widths of the intervals in points, by the number of audited texts"
    figure = Figure("audit_plan", plan_figure(rows), caption)
    return Section(
        "audit_plan",
        "How many texts should people label?",
        sentence(result),
        [table],
        [figure],
        notes=[
            "Half widths of 95 % intervals in points (x 100), for the loss of a "
            f"{100 * result.get('loss_level', 0.95):g} % interval. % decided: chance of a verdict "
            "if nothing, or twice the tolerance, is lost; near: if half or one and a half times "
            f"the tolerance is. The tolerance is {100 * result['tolerance']:g} points of macro-F1.",
            _basis(result),
        ],
    )


def sentence(result: Mapping[str, Any]) -> str:
    """The answer: a number of texts."""
    needed = [result["enough"], result["enough_of_rarest"]]
    largest = max((row["size"] for row in result["rows"]), default=0)
    if None in needed:
        why = (
            "the rarest class would have fewer than 10 texts"
            if needed[1] is None
            else "the loss would still be known too coarsely"
        )
        return (
            f"Even {largest} audited texts would probably not decide: {why}. Set a larger "
            "tolerance, join classes, or stratify the audit (ask with stratify=label)."
        )
    return (
        f"{max(needed)} audited texts decide with a chance of 80 % if nothing, or twice the "
        "tolerance, is lost."
    )


def _basis(result: Mapping[str, Any]) -> str:
    """On what the plan rests."""
    if result["from_pilot"]:
        return f"From a pilot of {result['n_audit']} texts."
    ignored = ""
    if result["n_audit"]:
        ignored = f"The {result['n_audit']} human labels are too few, or drawn in an unknown way. "
    return (
        f"{ignored}It is assumed that {100 * result['accuracy']:.0f} % of the LLM's labels are "
        "right (assumed_accuracy), and that its errors are random. A pilot of 100 texts makes the "
        "plan more reliable."
    )


def plan_figure(rows: list[Mapping[str, Any]]) -> bytes:
    """A PNG with the half width of every interval by the size of the audit."""
    figure = new_figure(7.0, 3.6)
    axes = figure.subplots()
    sizes = [row["size"] for row in rows]
    for index, (name, title) in enumerate(_WIDTHS.items()):
        mark, line, colour = look(index)
        values = [50 * row[name] for row in rows]
        axes.plot(sizes, values, marker=mark, linestyle=line, color=colour, label=title)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("audited texts")
    axes.set_ylabel("± points")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return png(figure)
