"""How an entry of the spool reaches the store: complete, and once, however often it is tried."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import mlflow
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelStatus,
    Metric,
    Param,
    RunTag,
)
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError
from project.tracking.model import log_classifier
from project.tracking.spool import FILES, TRIED, Entry, Root, Spool
from project.tracking.store import AWAY, ENTRY, PARENT, StoreUnavailable, address, one_try, reason

_REFUSALS = (
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_DOES_NOT_EXIST",
)  # a database that fails may be told as BAD_REQUEST
_PAUSES = (0.5, 1.0, 2.0)  # seconds between tries; a store that is away longer is tried again later
_METRICS, _MOST = (
    800,
    100,
)  # metrics in one request, and parameters and tags; MLflow's own limits are 1,000 in all, and 100 of each of these


def send_all(
    spool: Spool,
    pauses: Sequence[float] | None = None,
    before: Callable[[Entry], None] | None = None,
    hurry: Callable[[], bool] = lambda: False,
) -> dict[str, str]:
    """Send what is pending, in order; the runs that the entries are part of. Raises StoreAway, the rest kept, where one cannot be sent.

    What the store will never take, as it is or because its run is gone, is set aside (:meth:`Spool.refuse`), and the rest is sent. ``before`` is
    called with every entry before it is sent. ``hurry``: whether somebody waits for the end, so that nothing is tried twice.
    """
    runs = {}
    for place in spool.pending():
        entry = Entry.load(place)
        if before:
            before(entry)
        for pause in (*(_PAUSES if pauses is None else pauses), None):
            try:
                runs[entry.entry_id] = _send_kept(spool.root, entry, place)
                spool.done(place)
                break
            except (
                Exception
            ) as error:  # the clients of artifact stores have exceptions of their own
                if isinstance(error, AssayError) or (
                    pause is None and _never(error)
                ):  # two who log the same at once are refused once
                    sys.stderr.write(
                        f"the tracking store {address()} refuses an entry, which is set aside in {place}: {reason(error)}\n"
                    )
                    spool.refuse(place)
                    _give_up(spool.root, entry)
                    break
                if pause is None or not _slept(pause, hurry):
                    raise StoreUnavailable(reason(error)) from error
    return runs


def _give_up(root: Root, entry: Entry) -> None:
    """What was made of a refused child must not look as if it were at work."""
    with contextlib.suppress(Exception), one_try():  # the store may be away by now
        if entry.child and (run_id := _find(MlflowClient(), root, entry.entry_id)):
            MlflowClient().set_terminated(run_id, "FAILED")


def _never(error: Exception) -> bool:
    """Whether the store understood what it was given, and does not want it."""
    return isinstance(error, mlflow.MlflowException) and error.error_code in _REFUSALS


def _slept(seconds: float, hurry: Callable[[], bool]) -> bool:
    """Sleep; False as soon as somebody waits for the end."""
    end = time.monotonic() + seconds
    while not hurry() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
    return not hurry()


def _send_kept(root: Root, entry: Entry, place: Path) -> str:
    tried = (place / TRIED).exists()
    (place / TRIED).touch()  # from here on the store may hold a part of it
    with one_try():
        return send(root, entry, place / FILES, again=tried)


def send(root: Root, entry: Entry, files: Path, *, again: bool = False) -> str:
    """Bring the store to hold ``entry``, with the files in the folder ``files``; the run that it is part of. ``again``: a part may be there."""
    client = MlflowClient()
    if entry.model is not None:
        return _send_model(client, root, entry, files, again=again)
    if entry.child is None:
        _fill(client, root.run_id, entry, entry.tags)
        if files.is_dir():
            client.log_artifacts(root.run_id, str(files))
        if entry.end:
            client.set_terminated(root.run_id, entry.end, end_time=entry.made)
        return root.run_id
    return _send_child(client, root, entry, entry.child, files, again=again)


def _send_model(client: MlflowClient, root: Root, entry: Entry, files: Path, *, again: bool) -> str:
    """The run of a child whose model is logged, unless it is there whole from an earlier try; half of one is given up."""
    run_id = (
        entry.of
        if not entry.of.startswith(AWAY)
        else _find(client, root, entry.of.removeprefix(AWAY))
    )
    if not run_id:
        raise AssayError("the run that the model belongs to is not in the store.")
    if not (again and ready_models(run_id, give_up_others=True)):
        log_classifier(run_id, files, **(entry.model or {}))
    return run_id


def ready_models(run_id: str, *, give_up_others: bool = False) -> list[str]:
    """The models of a run whose weights are all there, by id: MLflow names one as the run's before it uploads it."""
    client, ready = MlflowClient(), []
    outputs = client.get_run(run_id).outputs
    for one in outputs.model_outputs if outputs else ():
        status = client.get_logged_model(one.model_id).status
        if status == LoggedModelStatus.READY:
            ready.append(str(one.model_id))
        elif give_up_others and status == LoggedModelStatus.PENDING:
            client.finalize_logged_model(
                one.model_id, LoggedModelStatus.FAILED
            )  # deleted, it would be a link to nothing
    return ready


def _send_child(
    client: MlflowClient,
    root: Root,
    entry: Entry,
    child: tuple[str, str],
    files: Path,
    *,
    again: bool,
) -> str:
    """The run of a child, made unless it is there from an earlier try, and filled; in as few requests as it takes."""
    name, status = child
    run_id = _find(client, root, entry.entry_id) if again else ""
    if run_id:
        run = client.get_run(run_id)
    else:
        began = entry.made - round(1000 * entry.seconds)
        run = client.create_run(
            root.experiment_id,
            began,
            {PARENT: root.run_id, ENTRY: entry.entry_id, **entry.tags},
            name,
        )
        run_id = str(run.info.run_id)
    _fill(client, run_id, entry, {})
    if files.is_dir():
        get_artifact_repository(run.info.artifact_uri).log_artifacts(
            str(files)
        )  # the client would ask where they belong
    client.set_terminated(run_id, status, end_time=entry.made)
    return run_id


def _find(client: MlflowClient, root: Root, entry_id: str) -> str:
    """The id of the run that the entry has become; empty where there is none."""
    found = client.search_runs(
        [root.experiment_id], f"tags.`{ENTRY}` = '{entry_id}'", max_results=1
    )
    return str(found[0].info.run_id) if found else ""


def _fill(client: MlflowClient, run_id: str, entry: Entry, tags_of: Mapping[str, str]) -> None:
    metrics = [Metric(*one) for one in entry.metrics]
    params, tags = (
        [Param(*pair) for pair in entry.params.items()],
        [RunTag(*pair) for pair in tags_of.items()],
    )
    for n in range(
        max(-(-len(metrics) // _METRICS), -(-len(params) // _MOST), -(-len(tags) // _MOST))
    ):
        few = slice(n * _MOST, (n + 1) * _MOST)
        client.log_batch(run_id, metrics[n * _METRICS : (n + 1) * _METRICS], params[few], tags[few])
    if entry.inputs:
        client.log_inputs(run_id, [_input(*one) for one in entry.inputs])


def _input(name: str, sha256: str, context: str) -> DatasetInput:
    return DatasetInput(
        Dataset(name, sha256[:36], "local", json.dumps({"sha256": sha256})),
        [InputTag("mlflow.data.context", context)],
    )
