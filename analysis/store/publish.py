"""Where a report goes: files below the workspace, and the root run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from project.support.files import write_atomically
from project.support.privacy import owner_only
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
