"""Where a report goes: files below the workspace, and the root run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.store.taken import taken_note
from project.support.escape import escape_markdown, escape_terminal
from project.support.files import write_atomically
from project.support.privacy import owner_only
from project.tracking import PRIVATE, VERDICT, Record, Tracker, overruled_remark, read_run

_NOT_IN_A_METRIC = re.compile(r"[^\w./\- :]")
"""Characters that MLflow refuses in the name of a metric; the name of an arm may have them."""


def write(folder: Path, files: Mapping[str, bytes], roots: Sequence[Record] = ()) -> str:
    """Write files and return a line that names the last one, which a person opens first.

    Parameters
    ----------
    folder
        Where to write them.
    files
        Contents by name.
    roots
        The root runs that they are about. If one is private, only the owner can read the files.
    """
    private = any(root.tags.get(PRIVATE) == "true" for root in roots)
    with owner_only(private, folder):
        for name, data in files.items():
            write_atomically(folder / name, data)
    return f"\nreport   {(folder / list(files)[-1]).resolve()}"


def write_aside(
    run_id: str, workspace: str, name: str, files: Mapping[str, bytes], description: str
) -> str:
    """Write a report that judges a run by other limits than its own; the run stays as it is.

    Parameters
    ----------
    run_id, workspace, files, description
        See :func:`log_report`.
    name
        Folder of this report, below that of the run's own.

    Returns
    -------
    str
        Lines for the terminal.
    """
    folder = Path(workspace) / "reports" / run_id / name
    root = read_run(run_id)
    opened = write(folder, {"report.md": description.encode(), **files}, [root])
    own = root.tags.get(VERDICT)
    note = f"The run keeps the verdict by its own limits{f': {own}' if own else ''}."
    return f"{note}\n{opened}\nrun      {run_id}"


def log_report(
    run_id: str,
    workspace: str,
    files: Mapping[str, bytes],
    description: str,
    *,
    metrics: Mapping[int, Mapping[str, float]],
    tags: Mapping[str, str] | None = None,
) -> str:
    """Write the files of a report below the workspace and log them to the root run.

    Parameters
    ----------
    run_id
        The root run.
    workspace
        The files go to ``reports/<run id>`` below it.
    files
        Contents by name; the last one is the one to open.
    description
        Markdown, logged as the description of the run and written as ``report.md``.
    metrics
        Metrics of the root run by step.
    tags
        Tags of the root run.

    Returns
    -------
    str
        Lines for the terminal: the file, the command that opens MLflow, the run.
    """
    folder = Path(workspace) / "reports" / run_id
    root = read_run(run_id)
    taken = taken_note(root)
    if taken:
        description += f"\n\n{escape_markdown(taken)}"
    files = {"report.md": description.encode(), **files}
    opened = write(folder, files, [root])
    # The run's description repeats which logged defaults did not count.
    tracker = Tracker(run_id, remark=overruled_remark(root.tags))
    tracker.log_files({f"report/{name}": folder / name for name in files})
    tracker.describe(description, tags)
    for step, values in metrics.items():
        named = {_NOT_IN_A_METRIC.sub("_", name): value for name, value in values.items()}
        tracker.log_metrics(named, step)
    if taken:
        opened = f"\n{escape_terminal(taken)}{opened}"
    return f"{opened}\nMLflow   {tracker.open_command()}\nrun      {run_id}"
