"""Runs that are RUNNING in the store although their process is gone.

The process was killed by SIGKILL, or the power was cut. Or ``mlflow run`` made the run, and the
process never began.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Mapping, Set
from typing import NamedTuple

from mlflow.tracking import MlflowClient

from project.support.process import is_alive
from project.tracking.failures import store_errors
from project.tracking.names import ENDED, ENTRY_POINT, HEARTBEAT, KIND, PARENT, REAPED, USER, WORKER
from project.tracking.read import running_runs
from project.tracking.records import Record

_DAY = 86400.0  # seconds
_MAX_SETUP = 3600.0  # seconds that `mlflow run` may take to make an environment


class DeadRun(NamedTuple):
    """A root run whose process is gone.

    ``last_heartbeat`` is in seconds since 1970; ``children`` are the runs below it that are
    RUNNING too.
    """

    run: Record
    last_heartbeat: float
    children: list[Record]


def dead_runs(
    entry_points: Mapping[str, Set[str]], *, owner: str = "", run_id: str = ""
) -> list[DeadRun]:
    """Root runs of the store that are RUNNING and whose process is gone, oldest first.

    A process of this machine is looked up by its number and start time. A process of another
    machine is gone when its last heartbeat is more than ten minutes old. A run that ``mlflow run``
    made and that never began is gone after an hour.

    Parameters
    ----------
    entry_points
        Assay's entry points and the names of their parameters. They tell a run that ``mlflow run``
        made for Assay from one of another project with an entry point of the same name.
    owner
        Only runs of this user. ``mlflow run`` names the operating system's user, so a run that
        never began counts as the owner's under that name too.
    run_id
        Only this run.

    Raises
    ------
    StoreUnavailable
        If the store is away.
    """
    with store_errors():
        runs = running_runs()
    dead = []
    for run in runs:
        owners = (owner,) if run.tags.get(KIND) else (owner, _system_user())
        if owner and run.tags.get(USER) not in owners:
            continue
        if run_id and run.run_id != run_id:
            continue
        last_heartbeat = _last_heartbeat_if_dead(run, entry_points)
        if last_heartbeat is not None:
            below = [child for child in runs if child.tags.get(PARENT) == run.run_id]
            dead.append(DeadRun(run, last_heartbeat, below))
    return dead


def _system_user() -> str:
    """The name that ``mlflow run`` gives the owner of a run here."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container whose user has no name
        return ""


def _last_heartbeat_if_dead(run: Record, entry_points: Mapping[str, Set[str]]) -> float | None:
    """The last heartbeat, or the start, of a run whose process is gone, in seconds since 1970.

    None if the process may be at work, or the run is not Assay's.
    """
    worker = run.tags.get(WORKER)
    began = run.started / 1000
    if worker:
        heartbeat = _heartbeat(run, began)
        return None if is_alive(worker, heartbeat) else heartbeat
    # No process has signed the run. It is dead only if `mlflow run` made it for Assay, an hour ago.
    params = entry_points.get(run.tags.get(ENTRY_POINT, ""))
    for_assay = params is not None and params <= set(run.params)
    if run.tags.get(KIND) or not for_assay or time.time() - began < _MAX_SETUP:
        return None
    return began


def _heartbeat(run: Record, began: float) -> float:
    """The time of the last heartbeat; the run's start if the tag holds no possible time."""
    try:
        heartbeat = float(run.tags.get(HEARTBEAT, began))
    except ValueError:  # someone has edited the tag
        return began
    # The clock of another machine may be ahead, but not by a day.
    return heartbeat if 0 <= heartbeat <= time.time() + _DAY else began


def end_dead(dead: DeadRun) -> None:
    """End a dead run and its RUNNING children as KILLED, at the time of the last heartbeat."""
    client = MlflowClient()
    when = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(dead.last_heartbeat))
    with store_errors():
        # The root run last: if this is broken off, the next reap finds it and its children again.
        for run in (*dead.children, dead.run):
            if client.get_run(run.run_id).info.status != "RUNNING":  # it has ended meanwhile
                continue
            client.set_tag(run.run_id, ENDED, "KILLED")
            client.set_tag(run.run_id, REAPED, f"last heartbeat of its process: {when}")
            end_ms = max(run.started, int(1000 * dead.last_heartbeat))
            client.set_terminated(run.run_id, "KILLED", end_time=end_ms)
