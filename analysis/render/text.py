"""How numbers and tables look as text: in the terminal and in Markdown. Numbers come in, text goes out."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from project.stats.bootstrap import Interval
from project.support.escape import escape_markdown, escape_terminal


def replicate_of(config: Mapping[str, Any]) -> str:
    """What the replicates of an experiment differ in."""
    return str(config["config"].get("replicate", {}).get("replicate", "training"))


def number(value: Any, digits: int = 1) -> str:
    """``value`` to so many digits, ``-`` where there is none."""
    return (
        "-"
        if value is None or (isinstance(value, float) and math.isnan(value))
        else f"{value:.{digits}f}"
    )


def ranged(found: Interval, scale: float, digits: int, *, sign: bool = False) -> str:
    """``estimate [low, high]``, scaled; ``-`` where there is no number, no brackets where there is no interval."""
    if math.isnan(found.estimate):
        return "-"
    estimate, low, high = (f"{scale * value:{'+' if sign else ''}.{digits}f}" for value in found)
    return estimate if math.isnan(found.low) else f"{estimate} [{low}, {high}]"


def pair(row: Mapping[str, Any], name: str) -> str:
    """Mean ± standard deviation of the column ``name``."""
    mean, sd = number(row[name]), number(row.get(f"{name}_sd"))
    return mean if sd == "-" else f"{mean} ±{sd}"


def title(config: Mapping[str, Any]) -> str:
    """Task, annotator, classifier, seeds."""
    task, stages = config["task"], config["config"]
    models = config["models"]
    who = f"labels by {models['annotator']}, " if models["annotator"] else ""
    how = "" if replicate_of(config) == "training" else f", replicate={replicate_of(config)}"
    return f"{task['name']}: {who}classifier {models['encoder']}, {stages['finetune']['seeds']} seeds{how}"


def plain(
    heading: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]
) -> str:
    """A table as plain text: the first column to the left, the others to the right; notes, where they say something, wrapped below it."""
    head, rows = (
        [escape_terminal(cell) for cell in head],
        [[escape_terminal(cell).replace("\n", " ") for cell in cells] for cells in rows],
    )
    widths = [max(len(line[i]) for line in [head, *rows]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, rest = (
            cells[0].ljust(widths[0]),
            [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)],
        )
        return "  ".join([first, *rest]).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    wrapped = [
        "\n".join(textwrap.wrap(escape_terminal(text), max(len(rule), 70)))
        for text in notes
        if text
    ]
    return "\n".join(
        [escape_terminal(heading), rule, line(head), rule, *map(line, rows), rule, *wrapped]
    )


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [
        [" ".join(escape_markdown(cell).replace("|", "\\|").split()) for cell in cells]
        for cells in [head, *rows]
    ]
    return "\n".join(
        "| " + " | ".join(cells) + " |" for cells in [lines[0], ["---"] * len(head), *lines[1:]]
    )
