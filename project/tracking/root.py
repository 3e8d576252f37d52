"""The root run: how it is opened, who is at work on it, and how it ends, whatever happens."""

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

import mlflow
from mlflow.tracking import MlflowClient
from mlflow.tracking.context.registry import resolve_tags

from project.support import process
from project.support.errors import Stopped
from project.support.privacy import is_private, owner_only
from project.tracking.alive import HEARD, WORKER, Alive
from project.tracking.log import Tracker, milliseconds, signals, texts
from project.tracking.ship import send
from project.tracking.spool import Entry, Root, Spool
from project.tracking.store import (
    KIND,
    NOTE,
    PRIVATE,
    ROOT,
    SCHEMA,
    SCHEMA_VERSION,
    USER,
    StoreUnavailable,
    address,
    one_try,
    root_experiment_id,
    sound_id,
    store_errors,
)

_OF_AN_EXPERIMENT = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.experiment.primaryMetric.name": "test.macro_f1",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "True",
    NOTE: (
        "How much gold is in these LLM labels? Every run at the top is one experiment: its description holds the verdict and the table, its artifact "
        "`report/report.html` the rest. Below it stands a run for every annotation draw and for every fine-tuning seed. To compare arms, filter "
        '`tags."assay.kind" = "seed"` and group by `arm`.'
    ),
}
_more_tags: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar(
    "more_tags", default=MappingProxyType({})
)


@contextlib.contextmanager
def root_run(
    kind: str, name: str, params: Mapping[str, str], workspace: str = "outputs"
) -> Iterator[Tracker]:
    """Open the root run: the one ``mlflow run`` has made, else a new one in ``$MLFLOW_EXPERIMENT_NAME`` or ``assay``.

    ``name`` is the new run's; a run of ``mlflow run`` keeps its own (``--run-name``), and has its parameters logged already:
    they are write-once, so they are logged here only where it has not. The run ends FINISHED, FAILED on an error, KILLED on
    Ctrl-C, SIGTERM and a limit that the user set; the tag ``assay.ended`` says the same, since ``mlflow run`` itself marks a run FAILED on Ctrl-C.
    A store that fails while the run is opened raises StoreUnavailable; one that fails later has what it lacks kept below ``workspace``, and StoreAway is
    raised at the end.
    """
    with owner_only(is_private(params), Path(workspace)):
        signals.install()
        try:
            with contextlib.ExitStack() as opening:
                opening.enter_context(signals.deferred())
                with store_errors():
                    root, spool = _opened(kind, name, params, Path(workspace))
                yield from _root_run(root, spool, opening.close)
        finally:
            signals.restore()


@contextlib.contextmanager
def tagged(tags: Mapping[str, str]) -> Iterator[None]:
    """Root runs that are opened in the context have these tags too."""
    token = _more_tags.set(tags)
    try:
        yield
    finally:
        _more_tags.reset(token)


def me() -> str:
    """Whose runs are logged here: the tracking server's user, where it asks for one, else the operating system's, as MLflow has it."""
    return str(resolve_tags({}).get(USER, ""))


def _opened(kind: str, name: str, params: Mapping[str, str], workspace: Path) -> tuple[Root, Spool]:
    client, made, user = (
        MlflowClient(),
        os.environ.pop("MLFLOW_RUN_ID", None),
        me(),
    )  # popped as mlflow does: what starts here is no part of it
    if made:
        run = client.get_run(made)
        client.update_run(made, "RUNNING")
        experiment_id = str(run.info.experiment_id)
        before = (
            run.data.tags
        )  # among them the address that the project was cloned from, which may hold a token
    else:
        experiment_id, before = root_experiment_id(), {}
        with one_try():  # sent again, it might make two
            run = client.create_run(
                experiment_id, tags={**texts(resolve_tags({})), **who(kind, user)}, run_name=name
            )
    root, spool = Root(sound_id(run), experiment_id, kind, address(), user), None
    try:
        spool = Spool.begin(workspace, root)
        _open_on_runs(experiment_id)
        tags = {
            ROOT: root.run_id,
            **who(kind, user),
            **({PRIVATE: "true"} if is_private(params) else {}),
        }
        tags |= {
            key: value for key, value in texts(before).items() if value != before[key]
        } | texts(_more_tags.get())
        given = {key: value for key, value in texts(params).items() if key not in run.data.params}
        send(root, Entry(milliseconds(), tags=tags, params=given), Path(os.devnull))
    except BaseException:  # nothing can be kept there, or the store is away again
        with contextlib.suppress(mlflow.MlflowException):
            client.set_terminated(root.run_id, "FAILED")
        if spool:
            spool.close()
        raise
    return root, spool


def who(kind: str, user: str) -> dict[str, str]:
    """The tags by which a run that dies at once is known."""
    return {
        KIND: kind,
        SCHEMA: SCHEMA_VERSION,
        USER: user,
        WORKER: process.process_name(os.getpid()),
        HEARD: str(int(time.time())),
    }


def _root_run(root: Root, spool: Spool, opened: Callable[[], None]) -> Iterator[Tracker]:
    """``opened`` lets signals through, one that has come since the run was made among them."""
    tracker, status, report, whole = Tracker(root.run_id, spool), "FINISHED", False, False
    beat = Alive(root.run_id)
    try:
        opened()
        with store_errors():
            yield tracker
            whole = True
            tracker.settle()
    except (KeyboardInterrupt, SystemExit, Stopped):
        status = "KILLED"
        raise
    except StoreUnavailable as error:
        status, report = (
            "FINISHED" if whole or tracker.computed else "FAILED",
            tracker.computed and not whole,
        )
        if report:
            raise StoreUnavailable(
                f"{error} Everything is computed and kept; mlflow run . -e relog makes the report, with -P workspace=... as here."
            ) from error
        raise
    except BaseException as error:
        if signals.terminated:  # whatever library the signal broke into, and what it made of that
            status = "KILLED"
            raise SystemExit(128 + signal.SIGTERM) from error
        status = "FAILED"
        raise
    finally:
        with signals.deferred():
            try:
                tracker.end(status, report=report)
                waits = tracker.waits()
            finally:
                beat.stop()
                spool.close()
        if waits and sys.exc_info()[0] is None:
            raise StoreUnavailable(waits)


def _open_on_runs(experiment_id: str) -> None:
    """Make the UI say what this experiment is and open it on its runs and charts rather than on traces, unless somebody has chosen already."""
    client = MlflowClient()
    there = client.get_experiment(experiment_id).tags
    with contextlib.suppress(
        mlflow.MlflowException
    ):  # a reader of a shared experiment may not set its tags
        for name, text in _OF_AN_EXPERIMENT.items():
            if name not in there:
                client.set_experiment_tag(experiment_id, name, text)
