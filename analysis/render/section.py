"""A part of a report: one question, its answer, tables and figures.

The same part goes to the terminal, to Markdown, to files and to the page.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from analysis.render.text import markdown, plain
from project.support.escape import escape_markdown, escape_terminal

if TYPE_CHECKING:
    import pandas as pd

    from project.stats.bootstrap import Interval


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes
    ----------
    name
        Name of its CSV file.
    heading
        The line above it; may be empty.
    head
        The column headings.
    rows
        The cells as shown.
    frame
        The same numbers unrounded, for the CSV file.
    notes
        The lines below it.
    kinds
        The kind of each row (``arm``, ``annotator``, ``paper``), which decides its style; empty if
        all rows are alike.
    units
        A second line of each heading, such as ``mean ± sd of 5 seeds``; empty if there is none.
    shares
        For each cell a share in [0, 1] by which the page shades it, None for none; empty if no
        cell is shaded.
    folded
        Whether the page shows it on demand only.
    shown_rows
        Most rows on the page; the CSV file has all.
    """

    name: str
    heading: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    frame: pd.DataFrame
    notes: Sequence[str] = ()
    kinds: Sequence[str] = ()
    units: Sequence[str] = ()
    shares: Sequence[Sequence[float | None]] = ()
    folded: bool = False
    shown_rows: int | None = None


class Picture(NamedTuple):
    """A figure as files: an SVG, and a PNG unless its font lacks a character of the figure."""

    svg: bytes
    png: bytes


@dataclass(frozen=True)
class Figure:
    """A figure of a report.

    Attributes
    ----------
    name
        Name of its files.
    picture
        Its files.
    caption
        The line below it.
    seen
        What is seen, with the main numbers, for readers who cannot see it; empty if the caption
        says it.
    folded
        Whether the page shows it on demand only.
    beside
        Whether it shows the table of the same name: the page shows the table, and links the
        figure beside it.
    """

    name: str
    picture: Picture
    caption: str
    seen: str = ""
    folded: bool = False
    beside: bool = False


@dataclass(frozen=True)
class Section:
    """A question with its answer.

    Attributes
    ----------
    name
        Name of its Markdown file and of its anchor on the page.
    question
        What is asked; may be empty.
    answer
        The finding, from the numbers alone. Its first sentence is the heading on the page.
    tables, figures
        The evidence for the answer.
    notes
        How the numbers were computed and what they leave out.
    """

    name: str
    question: str
    answer: str
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()


def columns(name: str, interval: Interval) -> dict[str, float]:
    """An interval as three columns of a table: ``name``, ``name_low``, ``name_high``."""
    suffixes = ("", "_low", "_high")
    return {f"{name}{suffix}": value for suffix, value in zip(suffixes, interval, strict=True)}


def terminal(section: Section) -> str:
    """The section as plain text."""
    tables = [
        plain(f"{section.question} {table.heading}".strip(), table.head, table.rows, table.notes)
        for table in section.tables
    ]
    lines = [wrapped(line) for line in (section.answer, *section.notes) if line]
    return "\n\n".join([*tables, "\n".join(lines)])


def wrapped(text: str, width: int = 110) -> str:
    """``text`` in lines of at most ``width`` characters, safe to print."""
    return "\n".join(textwrap.wrap(escape_terminal(text), width))


def as_markdown(section: Section) -> str:
    """The section as Markdown."""
    parts = [f"## {section.question}" if section.question else "", escape_markdown(section.answer)]
    for table in section.tables:
        heading = escape_markdown(table.heading)
        parts += [
            f"**{heading}**" if heading else "",
            markdown(table.head, table.rows),
            *map(escape_markdown, table.notes),
        ]
    parts += map(escape_markdown, section.notes)
    return "\n\n".join(part for part in parts if part)


_TABLES = "tables/"
_FIGURES = "figures/"
_TEXTS = "texts/"


def table_file(table: Table) -> str:
    """The path of a table's CSV file, from that of the page."""
    return f"{_TABLES}{table.name}.csv"


def figure_file(figure: Figure) -> str:
    """The path of a figure's PNG file, from that of the page."""
    return f"{_FIGURES}{figure.name}.png"


def text_file(section: Section) -> str:
    """The path of a section's Markdown file, from that of the page."""
    return f"{_TEXTS}{section.name}.md"


def files(section: Section) -> dict[str, bytes]:
    """Files by path: every table as CSV, every figure, and the whole section as Markdown."""
    from project.data.spreadsheet import csv_for_spreadsheets

    tables = {table_file(table): csv_for_spreadsheets(table.frame) for table in section.tables}
    figures = {}
    for figure in section.figures:
        figures[f"{_FIGURES}{figure.name}.svg"] = figure.picture.svg
        if figure.picture.png:
            figures[figure_file(figure)] = figure.picture.png
    return {**tables, **figures, text_file(section): f"{as_markdown(section)}\n".encode()}
