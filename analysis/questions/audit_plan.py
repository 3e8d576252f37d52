"""How many texts should people label? The report of an audit's plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.render.figures import look, new_figure, picture
from analysis.render.section import Figure, Picture, Section, Table

_WIDTHS = {
    "llm_accuracy": "LLM, accuracy",
    "llm_macro_f1": "LLM, macro-F1",
    "classifier_macro_f1": "classifier, macro-F1",
    "share": "class shares",
    "loss_macro_f1": "loss, macro-F1",
}
_TICKS = (50, 100, 250, 500, 1000, 2000)
_HEADS = {
    "llm_accuracy": "LLM acc.",
    "llm_macro_f1": "LLM F1",
    "classifier_macro_f1": "classifier F1",
    "share": "shares",
    "loss_macro_f1": "loss F1",
}


def plan_section(result: Mapping[str, Any]) -> Section:
    """The sizes of an audit with what each would give."""
    import pandas as pd

    rows = result["rows"]
    has_price = any(row["price"] for row in rows)
    from_pilot = result.get("loss_of_pilot") is not None
    head = ["audited", *(["price"] if has_price else []), *_HEADS.values(), "% decided"]
    head += [*([] if from_pilot else ["% near"]), "of rarest class"]
    cells = []
    for row in rows:
        cells.append(
            [
                str(row["size"]),
                *([f"{row['price']:.0f}"] if has_price else []),
                *(f"±{50 * row[name]:.1f}" for name in _HEADS),
                f"{100 * row['decided']:.0f}",
                *([] if from_pilot else [f"{100 * row['decided_near']:.0f}"]),
                f"{row['rarest']:.0f}",
            ]
        )
    table = Table("audit_plan", "", head, cells, pd.DataFrame(rows))
    caption = (
        "By the number of audited texts: half widths of the intervals in points, and the chance "
        "of a verdict."
    )
    figure = Figure("audit_plan", plan_figure(rows), caption)
    return Section(
        "audit_plan",
        "How many texts should people label?",
        sentence(result),
        [table],
        [figure],
        notes=[
            "Half widths of 95 % intervals in points (x 100), for the loss of a "
            f"{100 * result.get('loss_level', 0.95):g} % interval. of rarest class: how many "
            "audited texts the rarest class would have; each class needs 10.",
            _chances(result),
            _basis(result),
        ],
    )


def _chances(result: Mapping[str, Any]) -> str:
    """What the chances of a verdict assume."""
    tolerance = 100 * result["tolerance"]
    near = ""
    if result.get("loss_of_pilot") is None:
        near = f" % near: if it is {tolerance / 2:g} or {1.5 * tolerance:g} points."
    return (
        f"Tolerated are {tolerance:g} points of macro-F1. % decided: chance of the verdict safe or "
        f"not safe {_if(result)}.{near}"
    )


def sentence(result: Mapping[str, Any]) -> str:
    """The answer: a number of texts."""
    needed = [result["enough"], result["enough_of_rarest"]]
    n_pool = result["n_pool"]
    if None in needed:
        why = (
            "the rarest class would have fewer than 10 texts"
            if needed[1] is None
            else f"the interval of the loss would still be too wide {_if(result)}"
        )
        return (
            f"Labelling all {n_pool} texts would probably not decide: {why}. Set a larger "
            "tolerance, join classes, or stratify the audit (ask with stratify=label)."
        )
    more = ""
    if result["from_pilot"]:
        more = f" ({max(0, max(needed) - result['n_audit'])} more than now)"
    return f"About {max(needed)} audited texts{more} decide with a chance of 80 % {_if(result)}."


def _if(result: Mapping[str, Any]) -> str:
    """The loss that the chances assume."""
    estimate = result.get("loss_of_pilot")
    if estimate is None:
        twice = 200 * result["tolerance"]
        return f"if the true loss is 0 or {twice:g} points"
    return f"if the true loss is the {100 * estimate:+.1f} points that the pilot found"


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


def plan_figure(rows: list[Mapping[str, Any]]) -> Picture:
    """A picture with the half width of every interval and the chance of a verdict, by size."""
    figure = new_figure(8.4, 3.8)
    widths, chance = figure.subplots(1, 2, width_ratios=(3, 2))
    sizes = [row["size"] for row in rows]
    for index, (name, title) in enumerate(_WIDTHS.items()):
        mark, line, colour = look(index)
        values = [50 * row[name] for row in rows]
        widths.plot(sizes, values, marker=mark, linestyle=line, color=colour, label=title)
    widths.set_ylabel("± points")
    chance.plot(sizes, [100 * row["decided"] for row in rows], marker="o", color="#333333")
    chance.axhline(80, color="#999999", linestyle="--", linewidth=0.8)
    chance.set_ylabel("chance of a verdict, %")
    chance.set_ylim(0, 100)
    shown = [size for size in sizes if size in _TICKS]
    for axes in (widths, chance):
        axes.set_xscale("log")
        axes.set_xticks(shown, [str(size) for size in shown])
        axes.minorticks_off()
        axes.set_xlabel("audited texts")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    widths.set_ylim(bottom=0)
    return picture(figure)
