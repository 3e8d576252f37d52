"""Runs that are RUNNING in the store although their process is gone: killed by SIGKILL, a power cut, or before it began."""

from __future__ import annotations

import getpass
import time
from typing import NamedTuple

from mlflow.tracking import MlflowClient

from project.support.process import is_alive
from project.tracking.alive import HEARD, WORKER
from project.tracking.read import running
from project.tracking.store import ENDED, KIND, USER, Record, store_errors

_ENTRY_POINT = "mlflow.project.entryPoint"
_DAY = 86400.0
_NEVER_BEGAN = 3600.0  # seconds that `mlflow run` is given to make an environment


class Dead(NamedTuple):
    """A root run whose process is gone, when it was last heard of (s since 1970), and the runs below it that are RUNNING too."""

    run: Record
    heard: float
    below: list[Record]


def dead_runs(entry_points: dict[str, set[str]], *, user: str = "", run_id: str = "") -> list[Dead]:
    """The root runs of the store that are RUNNING and whose process is gone, of one ``user`` where that is given, oldest first.

    A process of this machine is looked for by its number and when it began; one elsewhere is gone when it has not been heard of for ten minutes
    (it says so every minute). A run that ``mlflow run`` has made for one of ``entry_points`` (their parameters, by name) and that never began is
    gone after an hour; it counts as the ``user``'s also under the name that the operating system has for whoever asks. Raises StoreAway.
    """
    with store_errors():
        runs = running()
    found = []
    for run in runs:
        # `mlflow run` names the operating system's user, the run itself the server's from its beginning on
        names = (user,) if run.tags.get(KIND) else (user, _system_user())
        mine = (not user or run.tags.get(USER) in names) and (not run_id or run.run_id == run_id)
        if mine and (heard := _gone(run, entry_points)) is not None:
            found.append(
                Dead(
                    run,
                    heard,
                    [one for one in runs if one.tags.get("mlflow.parentRunId") == run.run_id],
                )
            )
    return found


def _system_user() -> str:
    """Whose runs ``mlflow run`` makes here."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container whose user has no name
        return ""


def _gone(run: Record, entry_points: dict[str, set[str]]) -> float | None:
    """When the run's process was last heard of, None while it may be at work, or where the run is none of ours."""
    worker, began = run.tags.get(WORKER), run.started / 1000
    if worker:
        try:
            heard = float(run.tags.get(HEARD, began))
        except ValueError:  # somebody has edited it
            heard = began
        heard = heard if 0 <= heard <= time.time() + _DAY else began
        return None if is_alive(worker, heard) else heard
    asked = entry_points.get(run.tags.get(_ENTRY_POINT, ""))
    if (
        run.tags.get(KIND)
        or asked is None
        or not asked <= set(run.params)
        or time.time() - began < _NEVER_BEGAN
    ):
        return None
    return began


def end_dead(dead: Dead) -> None:
    """End a root run, and what is RUNNING below it, as KILLED at the time when its process was last heard of."""
    client, when = MlflowClient(), time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(dead.heard))
    why = f"its process was last heard of {when}"
    with store_errors():
        for run in (*dead.below, dead.run):
            if client.get_run(run.run_id).info.status != "RUNNING":  # it has ended meanwhile
                continue
            client.set_tag(run.run_id, ENDED, "KILLED")
            client.set_tag(run.run_id, "assay.reaped", why)
            client.set_terminated(
                run.run_id, "KILLED", end_time=max(run.started, int(1000 * dead.heard))
            )
