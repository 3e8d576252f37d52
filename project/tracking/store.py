"""The store itself: where it is, how it fails, what its runs and tags are called."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import requests
from mlflow.entities import Experiment, Run
from mlflow.exceptions import RestException
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError, Incomplete
from project.support.redact import public_address, scrubbed

SCHEMA_VERSION = "2"
EXPERIMENT = "assay"
KIND, SCHEMA, DIGEST, ROOT, ENDED = (
    "assay.kind",
    "assay.schema_version",
    "assay.digest",
    "assay.root",
    "assay.ended",
)
QUESTION, ABSENT, PRIVATE = "assay.question", "assay.absent_classes", "assay.private"
SERVER = "assay.server"  # which OpenAI-compatible one was asked, by a hash of its address
STUDY, TRIAL_STATE, CHOSEN = "assay.study", "assay.trial_state", "assay.chosen"
ENTRY = "assay.entry"
_RUN_ID = re.compile(r"\w[\w-]{0,255}", re.ASCII)
AWAY = "entry:"  # begins the name of a child that the store does not hold yet
PARENT, NOTE, USER = "mlflow.parentRunId", "mlflow.note.content", "mlflow.user"
_BROKEN = (
    ConnectionError,
    TimeoutError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.RetryError,
)
_RETRIES, _TIMEOUT = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"


@dataclass(frozen=True)
class Record:
    """A run as it stands in the store; values of ``params`` are the stored strings, ``started`` is in ms since 1970."""

    run_id: str
    name: str
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    experiment_id: str
    started: int
    artifact_uri: str


def sound_id(run: Run) -> str:
    """The run's id, which names folders on this machine: a store that gives another name is refused."""
    found = str(run.info.run_id)
    if not _RUN_ID.fullmatch(found):
        raise AssayError(
            f"the tracking store {address()} calls a run {found[:100]!r}, as MLflow calls none. See what MLFLOW_TRACKING_URI is."
        )
    return found


def record(run: Run) -> Record:
    """MLflow's run as a record."""
    info = run.info
    return Record(
        sound_id(run),
        info.run_name or "",
        info.status,
        run.data.params,
        run.data.metrics,
        run.data.tags,
        info.experiment_id,
        info.start_time or 0,
        info.artifact_uri or "",
    )


_CAUSES = (
    r"\[Errno -?\d+\] ([^\"'()\[\]]+)",
    r"\[(SSL: [A-Z_]+\] [^(\"']+)",
    r"([Rr]ead timed out|timed out)",
    r"too many (\d{3}) error responses",
)


class StoreUnavailable(Incomplete):
    """A tracking store that cannot be reached, or that fails; what was to be logged is kept."""


def reason(error: object) -> str:
    """Why something failed, in one line that ends in a full stop, without passwords and without what only a programmer can use."""
    text = masked(" ".join(str(error).split()))
    if "failed with" in text:  # a nest of causes, of which the innermost says it
        text = next((found[1] for pattern in _CAUSES if (found := re.search(pattern, text))), text)
        text = (
            f"it answers {text} {http.client.responses.get(int(text), '')}"
            if text.isdigit()
            else text
        )
    text = re.sub(
        r"^(?:[A-Z_]+: |\([a-z0-9_.]+Error\) )",
        "",
        re.split(r" ?\[SQL: | ?\(Background on ", text)[0],
    )[:300].strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


@contextlib.contextmanager
def store_errors() -> Iterator[None]:
    """Raise StoreAway, with the store's address and reason, for a store that fails in the context."""
    try:
        yield
    except (
        mlflow.MlflowException,
        requests.RequestException,
    ) as error:  # the second where an artifact is refused
        raise StoreUnavailable(
            f"the tracking store {address()} failed: {reason(error)} Everything finished is kept in the workspace; run again when it is back."
        ) from error


def fails(error: BaseException) -> bool:
    """Whether an error of MLflow's, or of an artifact store's client, tells of a store that fails, and not of one that refuses what it is asked."""
    chain: list[BaseException] = [error]
    while one := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(one)
    for one in chain:
        response = getattr(one, "response", None)
        status = (
            response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if isinstance(response, dict)
            else getattr(response, "status_code", None)
        )
        if status:
            return status >= 500 or status in (408, 429)
    if any(
        isinstance(one, _BROKEN)
        or type(one).__module__.partition(".")[0] in ("urllib3", "sqlalchemy")
        for one in chain
    ):
        return True
    if isinstance(error, mlflow.MlflowException):
        told = isinstance(error, RestException) or "download" in str(error)
        return error.error_code == "TEMPORARILY_UNAVAILABLE" or (
            error.error_code == "INTERNAL_ERROR" and told
        )
    return not isinstance(error, ImportError | OSError)


@contextlib.contextmanager
def one_try(seconds: int = 30) -> Iterator[None]:
    """Let MLflow ask a server once, and wait no longer than that: what it sends again by itself may arrive twice, and a run would be made twice.

    Of one thread alone: it changes the environment, where MLflow looks.
    """
    before = {name: os.environ.get(name) for name in (_RETRIES, _TIMEOUT)}
    os.environ[_RETRIES] = "0"
    os.environ.setdefault(_TIMEOUT, str(seconds))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def masked(text: str) -> str:
    """``text`` without anything secret: addresses have no user and password, be they before the host or, as databases take them, behind a ``?``."""
    return scrubbed(text)


def address() -> str:
    """The tracking URI without user and password."""
    return public_address(mlflow.get_tracking_uri())


def experiments() -> dict[str, int]:
    """The store's experiments that are not deleted, by id, and when each was made (ms since 1970)."""
    with store_errors():
        return {str(one.experiment_id): one.creation_time or 0 for one in _experiments()}


def store_digest(made: Mapping[str, int]) -> str:
    """What tells this tracking store from others, a new one at the same place too, and says nothing of it; ``made``: its :func:`experiments`."""
    uri = mlflow.get_tracking_uri()
    if uri.startswith("sqlite:///"):
        uri = str(Path(uri.removeprefix("sqlite:///")).resolve())
    return hashlib.sha256(
        f"{public_address(uri)} {min(made.values(), default=0)}".encode()
    ).hexdigest()[:16]


def root_experiment() -> Experiment | None:
    """Where a new root run belongs, if it is there: ``$MLFLOW_EXPERIMENT_ID``, else what ``$MLFLOW_EXPERIMENT_NAME`` names, or ``assay``."""
    client, experiment_id = MlflowClient(), os.environ.get("MLFLOW_EXPERIMENT_ID")
    return (
        client.get_experiment(experiment_id)
        if experiment_id
        else client.get_experiment_by_name(root_experiment_name())
    )


def root_experiment_name() -> str:
    """The name of the experiment of new root runs, where none is given by its id."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


def root_experiment_id() -> str:
    """The id of the experiment where a new root run belongs, which is made if it is not there."""
    found = root_experiment()
    if found is None:
        try:
            return str(MlflowClient().create_experiment(root_experiment_name()))
        except mlflow.MlflowException:  # somebody else may have made it meanwhile
            found = root_experiment()
            if found is None:
                raise
    return str(found.experiment_id)


def experiment_ids() -> list[str]:
    """The experiments of the store that are not deleted."""
    return [str(experiment.experiment_id) for experiment in _experiments()]


def _experiments() -> Iterator[Any]:
    client, token = MlflowClient(), None
    while True:
        page = client.search_experiments(max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
