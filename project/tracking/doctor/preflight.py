"""What an experiment will need of its tracking store, tried out before anything is computed: a refusal now rather than at the end of a day."""

from __future__ import annotations

import contextlib
import email.utils
import ipaddress
import os
import re
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import mlflow
from mlflow.entities import Experiment, Run
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from project.support.errors import AssayError
from project.support.files import check_writable
from project.support.redact import scrubbed
from project.tracking.doctor.refusals import explained, no_artifacts
from project.tracking.failures import StoreUnavailable, address, without_retries
from project.tracking.names import KIND, NOTE, USER
from project.tracking.root import current_user, identity_tags
from project.tracking.store import root_experiment, root_experiment_id, root_experiment_name

PREFLIGHT, TRIED, FILE = "preflight", "assay.preflight", "preflight.txt"
_PATIENCE = 10  # seconds; whoever has not answered by then will not do for hours of logging
_CLOCK = 60  # seconds that two clocks may differ before the times in the UI mislead
_ABOUT = "Assay makes this run to see that it may log here. It is deleted where that is allowed, and else used again."
_LOCAL = ("", "file")  # schemes of what lies on this machine's disk
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


class Finding(NamedTuple):
    """One thing that was looked at and will do; ``note``: it is worth saying even so."""

    part: str
    text: str
    note: bool = False


def preflight(workspace: Path) -> list[str]:
    """See that the tracking store takes runs and files from here and gives them back; what is worth saying all the same.

    Raises AssayError for what a person must settle, StoreAway for a store that is away or fails. Under ``mlflow run`` its run is written to;
    else a run named preflight is made and deleted again. Whoever may not write leaves nothing behind.
    """
    return [found.text for found in findings(workspace) if found.note]


def findings(workspace: Path) -> Iterator[Finding]:
    """What :func:`preflight` finds, as it finds it; ends with an error at the first thing that will not do."""
    check_writable(workspace)
    uri = mlflow.get_tracking_uri()
    if uri.startswith(_DATABASES):
        from project.tracking.doctor.database import (
            check_database,
        )  # what it imports takes a fifth of a second

        check_database(uri, _PATIENCE)
    with without_retries(_PATIENCE):
        with explained():
            experiment = (
                _experiment()
            )  # through the API: /health and /version answer whoever asks, under whatever name
        yield Finding("store", address())
        if uri.startswith("http"):
            yield from _server(uri)
        if experiment and experiment.lifecycle_stage != "active":
            raise AssayError(
                f"the experiment {experiment.name!r} of the tracking store {address()} is deleted. Name another with MLFLOW_EXPERIMENT_NAME, or "
                f"restore it: mlflow experiments restore --experiment-id {experiment.experiment_id}"
            )
        name = experiment.name if experiment else root_experiment_name()
        with explained(name):
            experiment_id = str(experiment.experiment_id) if experiment else root_experiment_id()
            with _run(experiment_id) as run:
                MlflowClient().set_tag(run.info.run_id, TRIED, str(int(time.time())))
                yield Finding(
                    "experiment", f"{name} (id {experiment_id}{'' if experiment else ', new'})"
                )
                yield Finding("permission", f"{current_user()} may write")
                _send_and_fetch(run, name)
                yield _artifacts(uri, str(run.info.artifact_uri))


def _experiment() -> Experiment | None:
    """The experiment of the run that ``mlflow run`` has made, else the one of a new root run, None where that is not there yet."""
    if run_id := os.environ.get("MLFLOW_RUN_ID"):
        client = MlflowClient()
        return client.get_experiment(client.get_run(run_id).info.experiment_id)
    return root_experiment()


def _server(uri: str) -> Iterator[Finding]:
    """Version and clock of a tracking server."""
    with explained():
        began = time.time()
        answer = http_request(get_default_host_creds(uri), "/version", "GET", raise_on_status=False)
        now = (began + time.time()) / 2
    if answer.history:
        raise AssayError(
            f"the tracking server {address()} sends whoever asks on to {scrubbed(answer.url.removesuffix('/version'))}, and what is written is lost on "
            "the way. Give that address in MLFLOW_TRACKING_URI."
        )
    yield version(answer.text.strip() if answer.status_code == 200 else "", mlflow.__version__)
    yield clock(answer.headers.get("Date", ""), now)


def version(server: str, here: str) -> Finding:
    """Whether MLflow ``here`` can talk to the server's: not to another major version's API, and not for sure to an older minor one's."""
    theirs, ours = (
        tuple(map(int, re.findall(r"\d+", text)[:2])) if re.match(r"\d+\.\d+", text) else ()
        for text in (server, here)
    )
    if not theirs or not ours:
        return Finding("version", f"the server does not tell; MLflow {here} here")
    if theirs[0] != ours[0]:
        raise AssayError(
            f"the tracking server {address()} is MLflow {server}, and MLflow {here} here speaks another API. Use a server of MLflow {ours[0]}, "
            f"{here} or newer, in MLFLOW_TRACKING_URI, or upgrade this one."
        )
    if theirs < ours:
        text = f"the tracking server is MLflow {server}, older than {here} here, and may not know all that is asked of it. Upgrade the server."
        return Finding("version", text, note=True)
    return Finding("version", f"MLflow {server}, and {here} here")


def clock(date: str, now: float) -> Finding:
    """How far this machine's clock, ``now`` in seconds since 1970, is from the server's, which tells the whole second in ``date``."""
    try:
        ahead = now - email.utils.parsedate_to_datetime(date).timestamp() - 0.5
    except ValueError:
        return Finding("clock", "the server does not tell the time")
    if abs(ahead) <= _CLOCK:
        return Finding(
            "clock",
            "within two seconds of the server's"
            if abs(ahead) <= 2
            else f"{abs(ahead):.0f} s from the server's",
        )
    way = "ahead of" if ahead > 0 else "behind"
    text = f"this machine's clock is {abs(ahead):.0f} s {way} the tracking server's, and so will be the times of its runs. Set it."
    return Finding("clock", text, note=True)


@contextlib.contextmanager
def _run(experiment_id: str) -> Iterator[Run]:
    """The run of ``mlflow run``, else one for this alone.

    Only an experiment's manager may delete its runs. For anybody else the run stays, ended, and the same user's next preflight uses it again.
    """
    client, given = MlflowClient(), os.environ.get("MLFLOW_RUN_ID")
    if given:
        yield client.get_run(given)
        return
    stayed = client.search_runs(
        [experiment_id],
        f"tags.`{KIND}` = '{PREFLIGHT}' AND attributes.status = 'FINISHED'",
        max_results=100,
    )
    if mine := [run for run in stayed if run.data.tags.get(USER) == current_user()]:
        yield mine[0]
        return
    run = client.create_run(
        experiment_id,
        tags={**identity_tags(PREFLIGHT, current_user()), NOTE: _ABOUT},
        run_name=PREFLIGHT,
    )
    try:
        yield run
    finally:
        _take_away(run)


def _take_away(run: Run) -> None:
    client = MlflowClient()
    with contextlib.suppress(
        Exception
    ):  # the clients of artifact stores raise a dozen unrelated types
        get_artifact_repository(run.info.artifact_uri).delete_artifacts()
        if urllib.parse.urlsplit(run.info.artifact_uri).scheme in _LOCAL:
            Path(
                urllib.parse.urlsplit(run.info.artifact_uri).path
            ).parent.rmdir()  # the run's own folder
    try:
        client.delete_run(run.info.run_id)
    except mlflow.MlflowException:
        with contextlib.suppress(mlflow.MlflowException):  # the store may be away by now
            client.set_terminated(run.info.run_id, "FINISHED")


def _send_and_fetch(run: Run, experiment: str) -> None:
    """Log a small file and read it back; every byte must be the same."""
    # the same at every try, for those that share a run, with what a careless proxy would change
    sent = f"Assay wrote this to see that files reach the store and come back: é 数\r\n{run.info.run_id}\n".encode()
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, FILE)
            file.write_bytes(sent)
            MlflowClient().log_artifact(run.info.run_id, str(file))
            file.unlink()
            back = mlflow.artifacts.download_artifacts(
                run_id=run.info.run_id, artifact_path=FILE, dst_path=folder
            )
            received = Path(back).read_bytes()
    except Exception as error:  # the clients of artifact stores raise a dozen unrelated types
        raise no_artifacts(error, experiment, str(run.info.artifact_uri)) from error
    if received != sent:
        raise StoreUnavailable(
            f"the tracking store {address()} gives back another file than it was given ({len(received)} bytes for {len(sent)}). Look for a proxy "
            "or a cache on the way that changes what goes through it."
        )


def _artifacts(uri: str, place: str) -> Finding:
    """That artifacts come back; a note where they lie on this machine's disk and the server is another."""
    if (
        uri.startswith("http")
        and urllib.parse.urlsplit(place).scheme in _LOCAL
        and not _here(urllib.parse.urlsplit(uri).hostname or "")
    ):
        text = f"artifacts go to {place} of the machine that runs this, not to the server: others see them only where they share that folder. "
        return Finding(
            "artifacts",
            text + "Start the server with --artifacts-destination, and make a new experiment.",
            note=True,
        )
    return Finding("artifacts", f"a file comes back as it was sent, from {scrubbed(place)}")


def _here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
