"""A part of a report: one question, its answer, tables and figures. The same part goes to the terminal, to Markdown, to files and to the page."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.render.text import markdown, plain
from project.stats.bootstrap import Interval
from project.support.escape import escape_markdown, escape_terminal

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table:
    """``rows`` are shown; ``frame`` holds the same unrounded. ``kinds``: what sort of row each is, where they differ; ``notes``: what to know."""

    name: str
    heading: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    frame: pd.DataFrame
    notes: Sequence[str] = ()
    kinds: Sequence[str] = ()


@dataclass(frozen=True)
class Figure:
    """``says``: what it shows, in words, for who cannot see it."""

    name: str
    png: bytes
    says: str


@dataclass(frozen=True)
class Section:
    """``answer``: the finding, from the numbers alone; ``notes``: how they were made and what they leave out."""

    name: str
    question: str
    answer: str
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()


def columns(name: str, found: Interval) -> dict[str, float]:
    """An interval as three columns of a table: ``name``, ``name_low``, ``name_high``."""
    return {f"{name}{end}": value for end, value in zip(("", "_low", "_high"), found, strict=True)}


def terminal(section: Section) -> str:
    """As plain text."""
    parts = [
        plain(f"{section.question} {one.heading}".strip(), one.head, one.rows, one.notes)
        for one in section.tables
    ]
    return "\n\n".join(
        [*parts, "\n".join(wrapped(line) for line in (section.answer, *section.notes) if line)]
    )


def wrapped(text: str, width: int = 110) -> str:
    """``text`` in lines of at most ``width`` characters."""
    return "\n".join(textwrap.wrap(escape_terminal(text), width))


def as_markdown(section: Section) -> str:
    """As Markdown."""
    parts = [
        *([f"## {section.question}"] if section.question else []),
        escape_markdown(section.answer),
    ]
    for one in section.tables:
        heading = escape_markdown(one.heading)
        parts += [
            f"**{heading}**" if heading else "",
            markdown(one.head, one.rows),
            *map(escape_markdown, one.notes),
        ]
    return "\n\n".join(part for part in [*parts, *map(escape_markdown, section.notes)] if part)


def files(section: Section) -> dict[str, bytes]:
    """As files: every table as CSV, every figure as PNG, the whole as Markdown."""
    tables = {
        f"{one.name}.csv": one.frame.to_csv(index=False, float_format="%.6g").encode()
        for one in section.tables
    }
    return {
        **tables,
        **{f"{one.name}.png": one.png for one in section.figures},
        f"{section.name}.md": f"{as_markdown(section)}\n".encode(),
    }
