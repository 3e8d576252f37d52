"""The run that ``mlflow run`` made for a command that logs nothing into it.

MLflow makes the run before the command starts. If the command is refused or has nothing to do, the
run would stay empty, red or green. So it gets a description, and is deleted as soon as ``mlflow
run`` has ended it. Only a process that outlives the command can do that: ``mlflow run`` ends with
a traceback if the run is gone before, and marks a run FAILED that was KILLED before.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import mlflow
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from project.support.escape import escape_markdown
from project.tracking.child import as_texts
from project.tracking.failures import without_retries
from project.tracking.names import ENTRY_POINT, KIND, NOTE, REFUSED

_RUN_ID = "MLFLOW_RUN_ID"
_MAX_REASON = 1000
# Seconds until the process that deletes the run gives up.
_MAX_WAIT = 60.0
_ENDED = ("FINISHED", "FAILED", "KILLED")


def discard_unused_run(entry_point: str, *, refusal: str = "", failure: str = "") -> bool:
    """Delete the run that ``mlflow run`` made for this process, if it holds no result.

    Parameters
    ----------
    entry_point
        Name of this entry point. A run of another one, or one that holds results, stays as it is.
    refusal
        Why the command was refused; empty if it had nothing to log.
    failure
        The unforeseen error that ended the command. Then the run stays, FAILED.

    Returns
    -------
    bool
        Whether the run will be deleted. Where the user may not delete runs of the experiment, it
        is ended as KILLED instead, and its description says why.
    """
    run_id = os.environ.pop(_RUN_ID, "")
    if not run_id:
        return False
    with contextlib.suppress(Exception), without_retries():  # the store may be away
        client = MlflowClient()
        if not _is_unused(client.get_run(run_id), entry_point):
            return False
        tags = {NOTE: escape_markdown(_description(refusal, failure))}
        if refusal:
            tags[REFUSED] = refusal[:_MAX_REASON]
        for name, text in as_texts(tags).items():
            client.set_tag(run_id, name, text)
        if not failure:
            _start_deleting(run_id)
            return True
    return False


def _description(refusal: str, failure: str) -> str:
    if failure:
        return f"Failed before anything was logged: {failure[:_MAX_REASON]}"
    if refusal:
        return f"Refused before anything was done: {refusal[:_MAX_REASON]}"
    return "The command had nothing to log here."


def _is_unused(run: Run, entry_point: str) -> bool:
    """Whether ``mlflow run`` made the run for this entry point, and nothing was logged into it."""
    tags = run.data.tags
    return (
        tags.get(ENTRY_POINT) == entry_point
        and run.info.status == "RUNNING"
        and not tags.get(KIND)
        and not run.data.metrics
    )


def _start_deleting(run_id: str) -> None:
    """Start the process that deletes the run once it has ended."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, os.environ.get("PYTHONPATH", "")]
    subprocess.Popen(
        [sys.executable, "-m", "project.tracking.unused", run_id],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        # Nobody must wait for its output, and Ctrl-C is not for it.
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def delete_when_ended(run_id: str, max_wait: float = _MAX_WAIT) -> None:
    """Delete a run as soon as it has ended; end it as KILLED where it may not be deleted.

    Gives up after ``max_wait`` seconds.
    """
    client = MlflowClient()
    end = time.monotonic() + max_wait
    while client.get_run(run_id).info.status not in _ENDED:
        if time.monotonic() > end:
            return
        time.sleep(0.2)
    try:
        client.delete_run(run_id)
    except mlflow.MlflowException:
        client.set_terminated(run_id, "KILLED")


if __name__ == "__main__":
    delete_when_ended(sys.argv[1])
