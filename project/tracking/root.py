"""The root run: how it is opened, which process works on it, and how it ends in every case."""

from __future__ import annotations

import contextlib
import contextvars
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import mlflow
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from mlflow.tracking.context.registry import resolve_tags

from project.support.errors import AssayError, Stopped
from project.support.privacy import is_private, owner_only
from project.support.process import process_name
from project.tracking.child import as_texts
from project.tracking.delivery import send
from project.tracking.entries import Entry, RootRun
from project.tracking.failures import StoreUnavailable, address, store_errors, without_retries
from project.tracking.heartbeat import Heartbeat
from project.tracking.names import (
    ARM_METRICS,
    BASE_NAME,
    HEARTBEAT,
    KIND,
    METRIC_NAMES,
    NOTE,
    PRIVATE,
    ROOT,
    SCHEMA,
    SCHEMA_VERSION,
    USER,
    WORKER,
)
from project.tracking.outbox import signals
from project.tracking.overruled import overruled_remark
from project.tracking.records import valid_run_id
from project.tracking.run_names import first_name
from project.tracking.spool import Spool
from project.tracking.store import OwnExperiment, own_experiment_id, root_experiment_id
from project.tracking.tracker import Tracker
from project.tracking.views import describe_experiment as _describe_experiment

_STOPPED = "Everything finished is kept; the same command again continues."
# Tags of the enclosing `tagged` contexts.
_more_tags: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar(
    "more_tags", default=MappingProxyType({})
)


@contextlib.contextmanager
def root_run(
    kind: str,
    name: str,
    params: Mapping[str, str],
    workspace: str = "outputs",
    own: OwnExperiment | None = None,
) -> Iterator[Tracker]:
    """Open the root run of an experiment, and end it when the context ends.

    The run ends FINISHED; FAILED on an error; KILLED on Ctrl-C, SIGTERM or a limit that the user
    set. The tag ``assay.ended`` repeats the status, since ``mlflow run`` marks a run FAILED on
    Ctrl-C.

    Parameters
    ----------
    kind
        Kind of the run, such as ``experiment``.
    name
        Name of a new run, made in the experiment ``$MLFLOW_EXPERIMENT_NAME`` or ``assay``. A run
        that ``mlflow run`` made keeps its own name if a person gave it (``--run-name``).
    params
        Parameters of the entry point. Those that ``mlflow run`` logged are not logged again.
    workspace
        Folder below which the spool lies.
    own
        The experiment of the run, where it is not the usual one. The run is a new one then, and the
        run that ``mlflow run`` made names it in its description.

    Raises
    ------
    StoreUnavailable
        If the store fails while the run is opened. If it fails later, the context goes on; the
        error comes at the end, and what the store lacks stays in the spool.
    """
    with owner_only(is_private(params), Path(workspace)):
        signals.install()
        try:
            # Signals wait until the new run is in the care of _run_to_end, or a signal between
            # the two would leave it RUNNING for ever.
            with contextlib.ExitStack() as opening:
                opening.enter_context(signals.deferred())
                with store_errors():
                    root, spool = _open(kind, name, params, Path(workspace), own)
                yield from _run_to_end(root, spool, opening.close, is_private(params))
        finally:
            signals.restore()


@contextlib.contextmanager
def tagged(tags: Mapping[str, str]) -> Iterator[None]:
    """Give root runs that are opened in the context these tags too; contexts add up."""
    token = _more_tags.set({**_more_tags.get(), **tags})
    try:
        yield
    finally:
        _more_tags.reset(token)


def current_user() -> str:
    """The owner of runs logged here: the user of the tracking server, else of the machine."""
    return str(resolve_tags({}).get(USER, ""))


def identity_tags(kind: str, user: str) -> dict[str, str]:
    """Tags of a new run that tell what it is even if its process dies at once."""
    return {
        KIND: kind,
        SCHEMA: SCHEMA_VERSION,
        METRIC_NAMES: ARM_METRICS,
        USER: user,
        WORKER: process_name(os.getpid()),
        HEARTBEAT: str(int(time.time())),
    }


class _OpenedRun(NamedTuple):
    """A run of the store that this process works on from now on."""

    run: Run
    experiment_id: str
    tags_before: Mapping[str, str]  # tags that ``mlflow run`` gave the run


def _open(
    kind: str, name: str, params: Mapping[str, str], workspace: Path, own: OwnExperiment | None
) -> tuple[RootRun, Spool]:
    """Make or take over the root run, and begin its spool."""
    user = current_user()
    run, experiment_id, tags_before = _own_run(kind, name, user, own)
    root = RootRun(
        run_id=valid_run_id(run),
        experiment_id=experiment_id,
        kind=kind,
        store=address(),
        user=user,
    )
    spool = None
    try:
        spool = Spool.begin(workspace, root)
        if own is None:
            _describe_experiment(experiment_id)
        tags = {ROOT: root.run_id, **identity_tags(kind, user)}
        if is_private(params):
            tags[PRIVATE] = "true"
        # Among the tags of `mlflow run` is the address that the project was cloned from, which may
        # hold a token. A tag that a secret was taken out of is overwritten.
        cleaned = as_texts(tags_before)
        tags |= {key: text for key, text in cleaned.items() if text != tags_before[key]}
        tags |= as_texts({**_more_tags.get(), **first_name(name, run.info.run_name or "")})
        # Params are write-once in MLflow.
        new = {key: text for key, text in as_texts(params).items() if key not in run.data.params}
        send(root, Entry(tags=tags, params=new), Path(os.devnull))
    except BaseException:
        # The spool cannot be written or the store failed again: nothing can be logged.
        with contextlib.suppress(mlflow.MlflowException):
            MlflowClient().set_terminated(root.run_id, "FAILED")
        if spool:
            spool.close()
        raise
    return root, spool


def _own_run(kind: str, name: str, user: str, own: OwnExperiment | None) -> _OpenedRun:
    """The run that ``mlflow run`` made for this process, else a new one."""
    client = MlflowClient()
    # Popped, as mlflow.start_run does: a process that is started from here must not take it over.
    run_id = os.environ.pop("MLFLOW_RUN_ID", None)
    if run_id and own is None:
        run = client.get_run(run_id)
        client.update_run(run_id, "RUNNING")
        return _OpenedRun(run, str(run.info.experiment_id), run.data.tags)
    experiment_id = root_experiment_id() if own is None else own_experiment_id(own)
    tags = {**as_texts(resolve_tags({})), **identity_tags(kind, user), BASE_NAME: name}
    with without_retries():
        run = client.create_run(experiment_id, tags=tags, run_name=name)
        if run_id and own:
            note = f"Logged as run {run.info.run_id} of the experiment {own.name}."
            client.set_tag(run_id, NOTE, note)
    return _OpenedRun(run, experiment_id, {})


def _run_to_end(
    root: RootRun, spool: Spool, stop_delaying: Callable[[], None], private: bool
) -> Iterator[Tracker]:
    """The tracker of an open root run; afterwards the run has ended, whatever happened.

    ``stop_delaying`` raises a signal that came while the run was opened; then the run is KILLED.
    """
    tracker = Tracker(root.run_id, spool, remark=overruled_remark(_more_tags.get()))
    status = "FINISHED"
    report_due = False
    body_done = False
    heartbeat = Heartbeat(root.run_id)
    try:
        stop_delaying()
        with store_errors():
            yield tracker
            body_done = True
            tracker.flush()
    except (KeyboardInterrupt, SystemExit, Stopped) as error:
        status = "KILLED"
        tracker.reason = str(error) if isinstance(error, Stopped) else _STOPPED
        raise
    except StoreUnavailable as error:
        if body_done:  # only flush failed, and the spool holds what is missing
            raise
        if not tracker.computed:
            status = "FAILED"
            raise
        # That only the report is missing is no failure: relog makes it and ends the run.
        report_due = True
        way_out = "the entry point relog makes the report, given the same workspace."
        raise StoreUnavailable(f"{error} Everything is computed and kept; {way_out}") from error
    except BaseException as error:
        # SIGTERM may interrupt a library that turns it into an error of its own.
        if signals.terminated:
            status = "KILLED"
            tracker.reason = _STOPPED
            raise SystemExit(128 + signal.SIGTERM) from error
        status = "FAILED"
        # An error may quote texts, which a private run must not log.
        is_said = isinstance(error, AssayError) and not private
        tracker.reason = str(error) if is_said else type(error).__name__
        raise
    finally:
        with signals.deferred():
            try:
                tracker.end(status, report_due=report_due)
                waiting = tracker.waiting()
            finally:
                heartbeat.stop()
                spool.close()
        # Do not hide the error that ended the context.
        if waiting and sys.exc_info()[0] is None:
            raise StoreUnavailable(waiting)
