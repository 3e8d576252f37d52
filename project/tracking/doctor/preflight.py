"""The preflight: what an experiment needs of its tracking store, tried before it computes anything.

A refusal then costs seconds; at the end of the experiment it would cost a day.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import mlflow
from mlflow.entities import Experiment, Run
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError
from project.support.files import check_writable
from project.support.redact import scrubbed
from project.tracking.doctor.finding import Finding
from project.tracking.doctor.refusals import explained, no_artifacts
from project.tracking.doctor.server import server_findings
from project.tracking.failures import StoreUnavailable, address, without_retries
from project.tracking.names import KIND, NOTE, USER
from project.tracking.root import current_user, identity_tags
from project.tracking.store import root_experiment, root_experiment_id, root_experiment_name

PREFLIGHT = "preflight"  # name and kind of the run that the check makes
TRIED = "assay.preflight"  # tag that the check sets
FILE = "preflight.txt"
# Seconds that one request may take. A store that is slower will not do for hours of logging.
_TIMEOUT = 10
_ABOUT = (
    "Assay makes this run to see that it may log here. The run is deleted if that is allowed, else "
    "used again."
)
_ABANDONED_MS = 60_000  # age of a run of the check that goes on, after which nobody uses it
_LOCAL_SCHEMES = ("", "file")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def preflight(workspace: Path) -> list[str]:
    """Check that the store accepts runs and files from here and gives them back.

    Under ``mlflow run`` the check uses its run; else it makes a run and deletes it again.

    Returns
    -------
    list[str]
        What the user should know although the store will do.

    Raises
    ------
    AssayError
        If a person must change something. A user who may not write leaves nothing behind.
    StoreUnavailable
        If the store is away or fails.
    """
    return [finding.text for finding in findings(workspace) if finding.note]


def findings(workspace: Path) -> Iterator[Finding]:
    """The findings of :func:`preflight` one by one; ends with an error at the first refusal."""
    check_writable(workspace)
    uri = mlflow.get_tracking_uri()
    if uri.startswith(_DATABASES):
        # Imported here, as alembic takes a fifth of a second and servers do without it.
        from project.tracking.doctor.database import check_database

        check_database(uri, _TIMEOUT)
    with without_retries(_TIMEOUT):
        # Not /health or /version: a server answers those to anyone and under any name.
        with explained():
            experiment = _experiment()
        yield Finding("store", address())
        if uri.startswith("http"):
            yield from server_findings(uri)
        if experiment and experiment.lifecycle_stage != "active":
            raise AssayError(
                f"the experiment {experiment.name!r} of the tracking store {address()} is deleted. "
                "Name another in MLFLOW_EXPERIMENT_NAME, or restore it: mlflow experiments "
                f"restore --experiment-id {experiment.experiment_id}"
            )
        yield from _writing_findings(experiment, uri)


def _experiment() -> Experiment | None:
    """The experiment of the run of ``mlflow run``, else that of a new root run, None if missing."""
    if run_id := os.environ.get("MLFLOW_RUN_ID"):
        client = MlflowClient()
        return client.get_experiment(client.get_run(run_id).info.experiment_id)
    return root_experiment()


def _writing_findings(experiment: Experiment | None, uri: str) -> Iterator[Finding]:
    """Findings of writing a tag and a file to a run of the experiment."""
    name = experiment.name if experiment else root_experiment_name()
    with explained(name):
        experiment_id = str(experiment.experiment_id) if experiment else root_experiment_id()
        with _run(experiment_id) as run:
            MlflowClient().set_tag(run.info.run_id, TRIED, str(int(time.time())))
            new = "" if experiment else ", new"
            yield Finding("experiment", f"{name} (id {experiment_id}{new})")
            yield Finding("permission", f"{current_user()} may write")
            _send_and_fetch(run, name)
            yield _artifact_finding(uri, str(run.info.artifact_uri))


@contextlib.contextmanager
def _run(experiment_id: str) -> Iterator[Run]:
    """The run of ``mlflow run``, else one that is made for the check and removed again.

    Only the maker of an experiment may delete runs in it. The check of any other user leaves its
    run behind, ended, and the check of the same user takes that one from a minute later on.
    """
    client = MlflowClient()
    if run_id := os.environ.get("MLFLOW_RUN_ID"):
        yield client.get_run(run_id)
        return
    left_behind = client.search_runs(
        [experiment_id], f"tags.`{KIND}` = '{PREFLIGHT}'", max_results=100
    )
    old = int(time.time() * 1000) - _ABANDONED_MS
    for run in left_behind:
        # A younger one may be that of a check that goes on in another process, and will delete it.
        if run.data.tags.get(USER) == current_user() and run.info.start_time < old:
            if run.info.status != "FINISHED":  # killed in the moment after it made the run
                client.set_terminated(run.info.run_id, "FINISHED")
            yield run
            return
    tags = {**identity_tags(PREFLIGHT, current_user()), NOTE: _ABOUT}
    run = client.create_run(experiment_id, tags=tags, run_name=PREFLIGHT)
    try:
        # Ended before it is used: a check that is killed leaves no run that seems to go on. MLflow
        # accepts tags and files of an ended run.
        client.set_terminated(run.info.run_id, "FINISHED")
        yield run
    finally:
        _remove(run)


def _remove(run: Run) -> None:
    """Delete a run and its files, if that is allowed; it is ended already."""
    client = MlflowClient()
    # MLflow keeps the artifacts of a deleted run. Clients of artifact stores raise types of their
    # own, and a file that stays does no harm.
    with contextlib.suppress(Exception):
        get_artifact_repository(run.info.artifact_uri).delete_artifacts()
        parts = urllib.parse.urlsplit(run.info.artifact_uri)
        if parts.scheme in _LOCAL_SCHEMES:
            Path(parts.path).parent.rmdir()  # the run's own folder
    with contextlib.suppress(mlflow.MlflowException):  # not allowed, or the store is away by now
        client.delete_run(run.info.run_id)


def _send_and_fetch(run: Run, experiment: str) -> None:
    """Log a small file and read it back; every byte must be the same."""
    # Characters that a careless proxy would change. The content is the same at each check, as
    # several checks may use one run at once.
    text = "Assay wrote this to see that files reach the store and come back: é 数\r\n"
    sent = f"{text}{run.info.run_id}\n".encode()
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, FILE)
            file.write_bytes(sent)
            MlflowClient().log_artifact(run.info.run_id, str(file))
            file.unlink()
            fetched = mlflow.artifacts.download_artifacts(
                run_id=run.info.run_id, artifact_path=FILE, dst_path=folder
            )
            received = Path(fetched).read_bytes()
    except Exception as error:  # clients of artifact stores raise types of their own
        raise no_artifacts(error, experiment, str(run.info.artifact_uri)) from error
    if received != sent:
        raise StoreUnavailable(
            f"the tracking store {address()} gives back another file than it was sent "
            f"({len(received)} bytes for {len(sent)}). Look for a proxy or a cache on the way that "
            "changes files."
        )


def _artifact_finding(uri: str, artifact_uri: str) -> Finding:
    """Where artifacts are kept; a note if it is this machine although the server is another."""
    local = urllib.parse.urlsplit(artifact_uri).scheme in _LOCAL_SCHEMES
    if uri.startswith("http") and local and not _is_this_machine(uri):
        return Finding(
            "artifacts",
            f"artifacts go to {artifact_uri} of the machine that runs this, not to the server: "
            "others see them only if they share that folder. Start the server with "
            "--artifacts-destination, and make a new experiment.",
            note=True,
        )
    return Finding("artifacts", f"a file comes back as it was sent, from {scrubbed(artifact_uri)}")


def _is_this_machine(uri: str) -> bool:
    """Whether the host of an address is the loopback."""
    host = urllib.parse.urlsplit(uri).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
