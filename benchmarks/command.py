"""What the benchmarks' command lines share: which parts to run, and how a report ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.machine import Report, load, table


def names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """The type of an option that takes some of ``known``, comma-separated."""

    def parse(text: str) -> list[str]:
        found = text.split(",")
        unknown = [name for name in found if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not among {', '.join(known)}")
        return found

    return parse


def conclude(lines: Sequence[str], report: Report, out: Path | None) -> int:
    """Print ``lines`` and the report's rows and notes, write them to ``out`` as well; 1 where a target was missed, as exit status, else 0."""
    more = [
        f"- load average after: {load()}",
        "",
        table(report.rows),
        "",
        *(f"- {note}" for note in report.notes),
        "",
    ]
    text = "\n".join([*lines, *more])
    sys.stdout.write(text)
    if out:
        out.write_text(text, encoding="utf-8")
    return 1 if any(row.met is False for row in report.rows) else 0
