"""What the command lines of the benchmarks share: their options, and how a report ends."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.machine import Report, load_average, markdown_table


def names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """The type of an option whose value is some of ``known``, separated by commas."""

    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not among {', '.join(known)}")
        return chosen

    return parse


def parser(
    description: str | None, parts: Iterable[str], *, repeats: int | None = None
) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks of speed have.

    Parameters
    ----------
    description
        The docstring of the benchmark.
    parts
        Names of its parts, for ``--only``.
    repeats
        The default of ``--repeats``; None leaves the option out.
    """
    parts = list(parts)
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--only",
        type=names(parts),
        default=parts,
        metavar="PART,...",
        help=f"parts to run: {', '.join(parts)}",
    )
    if repeats is not None:
        options.add_argument(
            "--repeats", type=int, default=repeats, help="repeats of each measurement"
        )
    options.add_argument("--out", type=Path, help="file to which the report is written as well")
    options.add_argument("--rows", type=Path, help="file to which the rows are written as JSON")
    return options


def conclude(lines: Sequence[str], report: Report, options: argparse.Namespace) -> int:
    """Print the report and return the exit status: 1 if a target was missed, else 0.

    Parameters
    ----------
    lines
        What stands before the table: a title and the machine.
    report
        The rows of the table and the notes below it.
    options
        The parsed options: ``out`` and ``rows``, files that are written as well, or None.
    """
    text = "\n".join(
        [
            *lines,
            f"- load average after: {load_average()}",
            "",
            markdown_table(report.rows),
            "",
            *(f"- {note}" for note in report.notes),
            "",
        ]
    )
    sys.stdout.write(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    if options.rows:
        rows = [row._asdict() for row in report.rows]
        options.rows.write_text(json.dumps(rows), encoding="utf-8")
    return 1 if any(row.met is False for row in report.rows) else 0
