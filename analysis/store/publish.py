"""Where a report goes: files below the workspace, the root run, the terminal; and the command line of every analysis."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from analysis.render.section import Section, files, terminal
from analysis.store.experiment import Experiment, read_experiment
from project.support.errors import AssayError
from project.support.escape import escape_terminal
from project.support.files import write_atomically
from project.support.privacy import owner_only
from project.support.redact import scrubbed
from project.tracking import PRIVATE, Record, Tracker, read_run

_NO_METRIC = re.compile(
    r"[^\w./\- :]"
)  # what MLflow takes in no metric's name, and an arm of somebody's own making may have


def write(folder: Path, files: Mapping[str, bytes], roots: Sequence[Record] = ()) -> str:
    """Write ``files`` below ``folder``; returns what to open: the last of them. ``roots``: the root runs they tell of, some private perhaps."""
    with owner_only(any(root.tags.get(PRIVATE) == "true" for root in roots), folder):
        for name, data in files.items():
            write_atomically(folder / name, data)
    return f"\nreport   {(folder / list(files)[-1]).resolve()}"


def log_report(
    run_id: str,
    workspace: str,
    files: Mapping[str, bytes],
    description: str,
    metrics: Mapping[int, Mapping[str, float]],
    tags: Mapping[str, str] | None = None,
) -> str:
    """Write a report's files below the workspace and log them, its text and its numbers (by step) to the root run; returns what to open."""
    folder = Path(workspace) / "reports" / run_id
    files = {"report.md": description.encode(), **files}
    opened = write(folder, files, [read_run(run_id)])
    tracker = Tracker(run_id)
    tracker.log_files({f"report/{name}": folder / name for name in files})
    tracker.describe(description, tags)
    for step, values in metrics.items():
        tracker.log_metrics(
            {_NO_METRIC.sub("_", name): value for name, value in values.items()}, step
        )
    return f"{opened}\nMLflow   {tracker.open_command()}\nrun      {run_id}"


def parser(description: str, kind: str) -> argparse.ArgumentParser:
    """The options that every analysis of one root run has; ``description``: its question."""
    made = argparse.ArgumentParser(description=description.splitlines()[0], allow_abbrev=False)
    made.add_argument(
        "--run_id", default="", help=f"root run, {kind} [text; default: the newest finished one]"
    )
    made.add_argument(
        "--workspace", default="outputs", help="folder to write below [text; default: outputs]"
    )
    return made


def main(description: str, kind: str, publish: Callable[[str, str], None]) -> None:
    """The command line of an analysis of one root run."""
    arguments = parser(description, kind)
    run(arguments, lambda given: publish(given.run_id, given.workspace))


def main_section(
    description: str, section: Callable[[Experiment], Section | None], kind: str = "experiment"
) -> None:
    """The command line of one part of an experiment's report: to the terminal, and to files beside the report."""

    def work(given: argparse.Namespace) -> None:
        experiment = read_experiment(given.run_id, kind)
        made = section(experiment)
        if made is None:
            raise AssayError(
                f"run {experiment.root.run_id} ({experiment.root.name}) holds nothing that answers: {description.splitlines()[0]}"
            )
        print(terminal(made))
        print(
            write(
                Path(given.workspace) / "reports" / experiment.root.run_id,
                files(made),
                [experiment.root],
            )
        )

    run(parser(description, f"{_article(kind)} {kind}"), work)


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def run(
    arguments: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], None],
    given: Sequence[str] | None = None,
) -> None:
    """Parse the command line and do the work; anything a person must settle ends in one line and exit code 2."""
    parsed = arguments.parse_args(given)
    try:
        work(parsed)
    except AssayError as error:
        arguments.exit(2, f"error: {escape_terminal(scrubbed(str(error)))}\n")
