"""How an entry of the spool reaches the store: complete, and once, however often it is tried."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import mlflow
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    RunTag,
)
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError
from project.tracking.entries import ChildRun, DataInput, Entry, RootRun
from project.tracking.failures import StoreUnavailable, address, reason, without_retries
from project.tracking.model import log_classifier
from project.tracking.names import ENTRY, PARENT, UNSENT
from project.tracking.spool import FILES, TRIED, Spool

# MLflow's codes of a request that will never be accepted. BAD_REQUEST is not among them: MLflow
# uses it for some failures of its database too.
_REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
_PAUSES = (0.5, 1.0, 2.0)  # seconds between tries; the spool keeps what fails after the last one
# Values in one request. MLflow allows 1,000 in all, among them 100 parameters and 100 tags.
_MAX_METRICS = 800
_MAX_TAGS = 100  # and as many params


def send_all(
    spool: Spool,
    pauses: Sequence[float] | None = None,
    before_each: Callable[[Entry], None] | None = None,
    is_hurried: Callable[[], bool] = lambda: False,
) -> dict[str, str]:
    """Send the pending entries of a spool in order.

    Parameters
    ----------
    spool
        Locked by this process.
    pauses
        Seconds between two tries of one entry; None for the default.
    before_each
        Called with each entry before it is sent.
    is_hurried
        Whether the user waits for the program to end; then nothing is tried again.

    Returns
    -------
    dict[str, str]
        Entry id -> id of the run that the entry belongs to.

    Raises
    ------
    StoreUnavailable
        If an entry could not be sent. It and all later ones stay pending: their order matters, as
        the end of the root run is the last one. An entry that the store refuses for good is set
        aside instead (:meth:`Spool.refuse`), and the rest is sent.
    """
    pauses = _PAUSES if pauses is None else pauses
    run_ids = {}
    for folder in spool.pending():
        entry = Entry.of_folder(folder)
        if before_each:
            before_each(entry)
        run_id = _send_or_refuse(spool, entry, folder, pauses, is_hurried=is_hurried)
        if run_id:
            run_ids[entry.entry_id] = run_id
    return run_ids


def _send_or_refuse(
    spool: Spool,
    entry: Entry,
    folder: Path,
    pauses: Sequence[float],
    *,
    is_hurried: Callable[[], bool],
) -> str:
    """The id of the run that the entry belongs to; empty if the store refuses the entry."""
    for pause in (*pauses, None):  # None: the last try, after which there is no pause
        try:
            run_id = _send_from_spool(spool.root, entry, folder)
            spool.done(folder)
            return run_id
        except Exception as error:  # clients of artifact stores raise types of their own
            # A refusal counts only at the last try: when two processes log the same at once, MLflow
            # refuses one of them with the code of a mistake, and accepts it the next time.
            refused = pause is None and _is_refusal(error)
            if refused or isinstance(error, AssayError):
                sys.stderr.write(
                    f"the tracking store {address()} refuses an entry, which is set aside in "
                    f"{folder}: {reason(error)}\n"
                )
                spool.refuse(folder)
                _mark_failed(spool.root, entry)
                return ""
            if pause is None or not _sleep(pause, is_hurried):
                raise StoreUnavailable(reason(error)) from error
    raise AssertionError  # the last try returns or raises


def _mark_failed(root: RootRun, entry: Entry) -> None:
    """End the run that was made for a refused child, or it would look as if it were running."""
    with contextlib.suppress(Exception), without_retries():  # the store may be away by now
        if entry.child and (run_id := _find_child(MlflowClient(), root, entry.entry_id)):
            MlflowClient().set_terminated(run_id, "FAILED")


def _is_refusal(error: Exception) -> bool:
    """Whether the store understood the request and will never accept it."""
    return isinstance(error, mlflow.MlflowException) and error.error_code in _REFUSALS


def _sleep(seconds: float, is_hurried: Callable[[], bool]) -> bool:
    """Sleep; False as soon as the user waits for the end."""
    end = time.monotonic() + seconds
    # In short steps, because a handler of Ctrl-C only sets what is_hurried reads.
    while not is_hurried() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
    return not is_hurried()


def _send_from_spool(root: RootRun, entry: Entry, folder: Path) -> str:
    """Send an entry once; a mark on disk tells later tries that the store may hold part of it."""
    tried_before = (folder / TRIED).exists()
    (folder / TRIED).touch()
    with without_retries():
        return send(root, entry, folder / FILES, again=tried_before)


def send(root: RootRun, entry: Entry, files: Path, *, again: bool = False) -> str:
    """Log an entry in the store; returns the id of its run.

    Parameters
    ----------
    root
        The root run that the entry belongs to.
    entry
        What to log. Params, tags, metrics by step and artifacts may be sent twice; only the
        making of runs and models is not repeatable.
    files
        Folder with the entry's files; it need not exist.
    again
        An earlier try may have sent part of it: look for its run before making one.

    Returns
    -------
    str
        Id of the run that the entry belongs to.

    Raises
    ------
    Exception
        What MLflow or the client of the artifact store raises.
    """
    client = MlflowClient()
    if entry.classifier is not None:
        return _send_classifier(client, root, entry, files, again=again)
    if entry.child is not None:
        return _send_child(client, root, entry, entry.child, files=files, again=again)
    _log_values(client, root.run_id, entry, entry.tags)
    if files.is_dir():
        client.log_artifacts(root.run_id, str(files))
    # Last, so that a run that has ended is a run that holds everything.
    if entry.end_status:
        client.set_terminated(root.run_id, entry.end_status, end_time=entry.created_ms)
    return root.run_id


def _send_classifier(
    client: MlflowClient, root: RootRun, entry: Entry, files: Path, *, again: bool
) -> str:
    """Log a classifier to its run unless an earlier try did; the run's id."""
    run_id = entry.classifier_run
    # When the classifier was put into the spool, its run may have been waiting there itself.
    if run_id.startswith(UNSENT):
        run_id = _find_child(client, root, run_id.removeprefix(UNSENT))
    if not run_id:
        raise AssayError("the run that the model belongs to is not in the store.")
    # Weights cannot be completed: an upload that broke off is marked as failed and begun anew.
    if not (again and ready_models(run_id, fail_pending=True)):
        log_classifier(run_id, files, **(entry.classifier or {}))
    _list_models(client, root, ready_models(run_id))
    return run_id


def _list_models(client: MlflowClient, root: RootRun, model_ids: Sequence[str]) -> None:
    """List the models of a child among those of its root run too, where people look for them."""
    outputs = client.get_run(root.run_id).outputs
    listed = {output.model_id for output in outputs.model_outputs} if outputs else set()
    new = [LoggedModelOutput(model_id, 0) for model_id in model_ids if model_id not in listed]
    if new:
        client.log_outputs(root.run_id, new)


def ready_models(run_id: str, *, fail_pending: bool = False) -> list[str]:
    """Ids of a run's models whose weights are complete.

    MLflow links a model to its run before it uploads the weights. ``fail_pending`` marks such a
    model as failed. It is not deleted, since the run would keep a link to nothing.
    """
    client = MlflowClient()
    outputs = client.get_run(run_id).outputs
    ready = []
    for output in outputs.model_outputs if outputs else ():
        status = client.get_logged_model(output.model_id).status
        if status == LoggedModelStatus.READY:
            ready.append(str(output.model_id))
        elif fail_pending and status == LoggedModelStatus.PENDING:
            client.finalize_logged_model(output.model_id, LoggedModelStatus.FAILED)
    return ready


def _send_child(
    client: MlflowClient, root: RootRun, entry: Entry, child: ChildRun, *, files: Path, again: bool
) -> str:
    """Make and fill the run of a child, or fill the run that an earlier try made; its id."""
    run_id = _find_child(client, root, entry.entry_id) if again else ""
    if run_id:
        run = client.get_run(run_id)
    else:
        # The tags go with the request that makes the run: they cost none of their own, and the
        # entry's id among them is what a later try finds the run by.
        began_ms = entry.created_ms - round(1000 * entry.seconds)
        tags = {PARENT: root.run_id, ENTRY: entry.entry_id, **entry.tags}
        run = client.create_run(root.experiment_id, began_ms, tags, child.name)
        run_id = str(run.info.run_id)
    _log_values(client, run_id, entry, {})
    if files.is_dir():
        # client.log_artifacts would cost one more request, for the address that we have here
        get_artifact_repository(run.info.artifact_uri).log_artifacts(str(files))
    client.set_terminated(run_id, child.status, end_time=entry.created_ms)
    return run_id


def _find_child(client: MlflowClient, root: RootRun, entry_id: str) -> str:
    """The id of the run that an entry has become; empty for none."""
    filter_string = f"tags.`{ENTRY}` = '{entry_id}'"
    runs = client.search_runs([root.experiment_id], filter_string, max_results=1)
    return str(runs[0].info.run_id) if runs else ""


def _log_values(client: MlflowClient, run_id: str, entry: Entry, tags: Mapping[str, str]) -> None:
    """Log metrics, params, ``tags`` and data inputs in as few requests as MLflow allows."""
    all_metrics = [Metric(*metric) for metric in entry.metrics]
    all_params = [Param(name, text) for name, text in entry.params.items()]
    all_tags = [RunTag(name, text) for name, text in tags.items()]
    n_requests = max(
        math.ceil(len(all_metrics) / _MAX_METRICS),
        math.ceil(len(all_params) / _MAX_TAGS),
        math.ceil(len(all_tags) / _MAX_TAGS),
    )
    for index in range(n_requests):
        metrics = all_metrics[index * _MAX_METRICS : (index + 1) * _MAX_METRICS]
        part = slice(index * _MAX_TAGS, (index + 1) * _MAX_TAGS)
        client.log_batch(run_id, metrics, all_params[part], all_tags[part])
    if entry.inputs:
        client.log_inputs(run_id, [_dataset_input(data) for data in entry.inputs])


def _dataset_input(data: DataInput) -> DatasetInput:
    """MLflow's form of a data input; its digest has room for 36 of the hash's 64 characters."""
    dataset = Dataset(
        name=data.name,
        digest=data.sha256[:36],
        source_type="local",
        source=json.dumps({"sha256": data.sha256}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", data.context)])
