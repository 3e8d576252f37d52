"""How often each class occurs, in the whole pool and in its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.questions.audit_figure import shares_figure
from analysis.questions.audit_sentences import interval, points
from analysis.questions.audit_tables import audit_table
from analysis.render.section import Section, Table, columns

_MAX_PARTS = 30


def shares_section(result: Mapping[str, Any]) -> Section:
    """How often each class occurs, overall and in the parts that the user asked for."""
    head = ["class", "LLM", "audit alone", "corrected"]
    rows = []
    frame = []
    for label, share in result["shares"].items():
        llm = f"{100 * share['llm']['estimate']:.1f}"
        rows.append([label, llm, points(share["audit"]), points(share["corrected"])])
        frame.append(_share_row({"class": label}, share))
    tables = [audit_table("audit_shares", "in the whole pool", head, rows, frame)]
    parts = result["shares_by"]
    if parts:
        tables.append(_parts_table(parts))
    notes = [
        "Shares in per cent. corrected: the audit's share, sharpened by the LLM's labels of the "
        "whole pool (power-tuned prediction-powered inference); use this one."
    ]
    if parts:
        notes.append(
            "The intervals in parts are widened so that all of them are right at once with 95 %. A "
            "part with fewer than 10 audited texts has none."
        )
        if len(parts) > _MAX_PARTS:
            notes.append(
                f"{len(parts) - _MAX_PARTS} further parts, with the fewest audited texts, stand in "
                "audit_shares_by.csv alone."
            )
    figure = shares_figure(result)
    title = "How often does each class occur?"
    return Section("audit_shares", title, "", tables, [figure] if figure else [], notes=notes)


def _parts_table(parts: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each part and class; of very many parts those with the most audited texts."""
    by_size = sorted(range(len(parts)), key=lambda index: -parts[index]["n_audit"])
    shown = set(by_size[:_MAX_PARTS])
    rows = []
    frame = []
    for index, part in enumerate(parts):
        key = {name: part[name] for name in ("column", "value", "n_audit", "n_pool")}
        for label, share in part["classes"].items():
            frame.append(_share_row({**key, "class": label}, share))
            if index in shown:
                rows.append(
                    [
                        f"{part['column']} = {part['value']}",
                        f"{part['n_audit']} of {part['n_pool']}",
                        label,
                        f"{100 * share['llm']['estimate']:.1f}",
                        points(share["corrected"]),
                    ]
                )
    head = ["part", "audited", "class", "LLM", "corrected"]
    return audit_table("audit_shares_by", "in parts of the pool", head, rows, frame)


def _share_row(key: Mapping[str, Any], share: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the CSV file: the share of a class by the LLM, the audit and both."""
    return {
        **key,
        "llm": share["llm"]["estimate"],
        **columns("audit", interval(share["audit"])),
        **columns("corrected", interval(share["corrected"])),
    }
