"""Where a report goes: files below the workspace, and the root run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.store.root_summary import main_numbers
from analysis.store.taken import taken_note
from project.support.escape import escape_markdown, escape_terminal
from project.support.files import write_atomically
from project.support.privacy import owner_only
from project.tracking import (
    PRIVATE,
    VERDICT,
    Record,
    Tracker,
    last_name,
    overruled_remark,
    read_run,
)

_ENTRY_POINT = "entry_point"
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
    main: Mapping[str, float] | None = None,
    note: str = "",
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
        Markdown, written as ``report.md``.
    metrics
        Metrics of the root run by step.
    main
        Its main numbers, such as ``loss``, which the UI lists first.
    note
        Markdown, the description of the run (:func:`analysis.store.root_summary.note`); that of the
        report if empty.
    tags
        Tags of the root run. A verdict among them is added to the run's name.

    Returns
    -------
    str
        Lines for the terminal: the file, the command that opens MLflow, the run.
    """
    folder = Path(workspace) / "reports" / run_id
    root = read_run(run_id)
    note = note or description
    taken = taken_note(root)
    if taken:
        description += f"\n\n{escape_markdown(taken)}"
        note += f"\n\n{escape_markdown(taken)}"
    files = {"report.md": description.encode(), **files}
    opened = write(folder, files, [root])
    # The run's description repeats which logged defaults did not count.
    tracker = Tracker(run_id, remark=overruled_remark(root.tags))
    tracker.log_files({f"report/{name}": folder / name for name in files})
    tracker.describe(note, {**(tags or {}), **_renamed(root, tags or {})})
    # The UI lists metrics in the order in which they were first logged.
    for step, values in ((0, main_numbers(root, main or {})), *metrics.items()):
        named = {_NOT_IN_A_METRIC.sub("_", name): value for name, value in values.items()}
        tracker.log_metrics(named, step)
    if taken:
        opened = f"\n{escape_terminal(taken)}{opened}"
    return f"{opened}\n{where_to_look(tracker)}"


def _renamed(root: Record, tags: Mapping[str, str]) -> Mapping[str, str]:
    """Tags that add the verdict to the name of a root run, where it was asked for one."""
    # A run of one arm has a verdict too: that it cannot tell.
    asked = root.tags.get(_ENTRY_POINT) != "finetune"
    return last_name(root.name, root.tags, tags[VERDICT]) if asked and VERDICT in tags else {}


def where_to_look(tracker: Tracker, width: int = 9) -> str:
    """Lines for the terminal: how to open the run in MLflow, beside which others, and its id.

    ``width``: characters before what each line names.
    """
    lines = {
        "MLflow": tracker.open_command(),
        "all runs": tracker.runs_address(),
        "run": tracker.run_id,
    }
    return "\n".join(f"{name:<{width}}{text}" for name, text in lines.items() if text)
