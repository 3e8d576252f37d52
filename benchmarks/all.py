"""Run every benchmark of speed beside its strongest peer, and write one table.

    python -m benchmarks.all                            # half an hour on two quiet cores
    python -m benchmarks.all --only predict,embed
    python -m benchmarks.all --page docs/benchmarks.md --readme README.md

Each benchmark runs by itself, one after another; what one of them prints goes to the terminal. The
page holds every row. The README gets the rows that have a goal, between two marks. A benchmark that
cannot run here is a row that says so. The exit status is 1 if one failed; a missed goal is a
result.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import command
from benchmarks.machine import Row, load_average, machine_lines, markdown_table

COMMANDS: dict[str, tuple[str, ...]] = {
    "annotate": (
        *("benchmarks.annotate", "--only", "transformers,memory"),
        *("--texts", "64", "--few", "2", "--one-core"),
    ),
    "finetune": ("benchmarks.finetune", "--only", "epoch", "--texts", "256"),
    "predict": ("benchmarks.predict",),
    "embed": ("benchmarks.embed",),
    "analysis": ("benchmarks.analysis", "--only", "alpha,interval,runs,report", "--repeats", "3"),
    "tracking": ("benchmarks.tracking", "--only", "examples,seed,new"),
    "rerank": ("benchmarks.rerank", "--repeats", "3"),
    "report": ("benchmarks.analysis", "--only", "memory", "--repeats", "1"),
}
"""The module of each benchmark, and its options."""

BEGIN = "<!-- python -m benchmarks.all: begin -->"
END = "<!-- python -m benchmarks.all: end -->"


def run(name: str, folder: Path) -> list[Row] | None:
    """The rows of one benchmark; None if it failed."""
    file = folder / f"{name}.json"
    module, *options = COMMANDS[name]
    done = subprocess.run(
        [sys.executable, "-m", module, *options, "--rows", str(file)], check=False
    )
    if not file.is_file():  # the status 1 alone stands for a missed goal
        sys.stderr.write(f"{name} failed with status {done.returncode}\n")
        return None
    return [Row(**row) for row in json.loads(file.read_text(encoding="utf-8"))]


def page(rows: dict[str, list[Row] | None], lines: Sequence[str]) -> str:
    """The page with all rows, by benchmark."""
    parts = ["# Benchmarks", "", "Written by `python -m benchmarks.all`.", "", *lines, ""]
    for name, found in rows.items():
        parts += [f"## {name}", "", f"`python -m {' '.join(COMMANDS[name])}`", ""]
        parts += [markdown_table(found) if found else "It failed.", ""]
    return "\n".join(parts)


def with_goals(rows: dict[str, list[Row] | None], lines: Sequence[str]) -> str:
    """The rows that have a goal, as a table, with the machine."""
    chosen = [row for found in rows.values() for row in found or () if row.target]
    return "\n".join([markdown_table(chosen), "", *lines])


def fill(text: str, content: str) -> str:
    """``text`` with ``content`` between the marks; ValueError if it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{content}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        type=command.names(list(COMMANDS)),
        default=list(COMMANDS),
        metavar="NAME,...",
        help=f"benchmarks to run: {', '.join(COMMANDS)}",
    )
    parser.add_argument("--page", type=Path, help="file to which the page is written")
    parser.add_argument("--readme", type=Path, help="file whose marked part is replaced")
    options = parser.parse_args(arguments)
    lines = machine_lines()
    rows: dict[str, list[Row] | None] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            rows[name] = run(name, Path(folder))
            after = f"- load average after: {load_average()}"
            _write(rows, [*lines, after], options)  # what is measured stays where the rest fails
    sys.stdout.write(page(rows, [*lines, after]))
    return 1 if None in rows.values() else 0


def _write(
    rows: dict[str, list[Row] | None], lines: Sequence[str], options: argparse.Namespace
) -> None:
    """Write the files that the options name."""
    if options.page:
        options.page.write_text(page(rows, lines), encoding="utf-8")
    if options.readme:
        readme = options.readme.read_text(encoding="utf-8")
        options.readme.write_text(fill(readme, with_goals(rows, lines)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
