"""What is read back: runs, filtered and paged on the server, and their artifacts."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError
from project.support.parquet import parquet
from project.tracking.store import (
    KIND,
    PARENT,
    STUDY,
    Record,
    StoreUnavailable,
    address,
    experiment_ids,
    fails,
    masked,
    reason,
    record,
    store_errors,
)


def read_run(run_id: str) -> Record:
    """The run with this id; a deleted one is refused."""
    with store_errors():
        try:
            run = MlflowClient().get_run(run_id)
        except mlflow.MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise AssayError(
                f"run {run_id} is not in the tracking store {address()}: {reason(error)}"
            ) from error
    if run.info.lifecycle_stage == "deleted":
        raise AssayError(
            f"run {run_id} of the tracking store {address()} is deleted. Name another, or restore it: mlflow runs restore --run-id {run_id}"
        )
    return record(run)


def latest_root(kind: str = "experiment") -> Record:
    """The newest finished root run of ``kind`` in any experiment of the store."""
    found = next(newest_first(kind, page=1))
    if not found:
        raise AssayError(
            f"the tracking store {address()} holds no finished {kind}. Run one, name one with -P run_id=..., or set MLFLOW_TRACKING_URI."
        )
    return found[0]


def children(root: Record, kind: str) -> list[Record]:
    """All finished children of ``root`` of one kind, oldest first."""
    return [run for run in every_child(root, kind) if run.status == "FINISHED"]


def every_child(root: Record, kind: str) -> list[Record]:
    """All children of ``root`` of one kind, whatever they ended as or if they still run, oldest first; deleted ones are not among them."""
    with store_errors():
        return _search(
            [root.experiment_id], f"tags.`{PARENT}` = '{root.run_id}' AND tags.`{KIND}` = '{kind}'"
        )


def of_study(study_id: str, kind: str) -> list[Record]:
    """All runs of one kind, whatever they ended as, that belong to the study, in any experiment of the store, oldest first."""
    with store_errors():
        return _search(
            experiment_ids(), f"tags.`{STUDY}` = '{study_id}' AND tags.`{KIND}` = '{kind}'"
        )


def running() -> list[Record]:
    """All runs that are RUNNING, in any experiment of the store, oldest first."""
    return _search(experiment_ids(), "attributes.status = 'RUNNING'")


def newest_first(kind: str, *, page: int, deleted: bool = False) -> Iterator[list[Record]]:
    """Finished runs of one kind in any experiment of the store, or those of them that are deleted, in pages, newest first."""
    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    with store_errors():
        filter_string = f"tags.`{KIND}` = '{kind}' AND attributes.status = 'FINISHED'"
        yield from _pages(experiment_ids(), filter_string, "attributes.start_time DESC", page, view)


def _search(experiment_ids: list[str], filter_string: str) -> list[Record]:
    """Every run that the filter lets through, oldest first."""
    return [
        run
        for page in _pages(experiment_ids, filter_string, "attributes.start_time ASC", 500)
        for run in page
    ]


def _pages(
    experiment_ids: list[str],
    filter_string: str,
    order: str,
    size: int,
    view: int = ViewType.ACTIVE_ONLY,
) -> Iterator[list[Record]]:
    client, token = MlflowClient(), None
    while True:
        page = client.search_runs(experiment_ids, filter_string, view, size, [order], token)
        yield [record(run) for run in page]
        token = page.token
        if not token:
            return


def read_table(run_id: str, path: str) -> pd.DataFrame:
    """A Parquet artifact of a run."""
    with _downloaded(f"runs:/{run_id}/{path}") as file:
        try:
            return parquet(file.read_bytes())
        except AssayError:
            raise AssayError(
                f"run {run_id}: its artifact {path} is no Parquet table. Somebody has changed it."
            ) from None


def read_json(run_id: str, path: str) -> Any:
    """A JSON artifact of a run."""
    with _downloaded(f"runs:/{run_id}/{path}") as file:
        try:
            return json.loads(file.read_bytes())
        except (ValueError, RecursionError):
            raise AssayError(
                f"run {run_id}: its artifact {path} is no JSON. Somebody has changed it."
            ) from None


def local_artifact(run: Record, path: str) -> Path | None:
    """Where an artifact lies, if it lies in this machine's files."""
    uri = run.artifact_uri.removeprefix("file://")
    return Path(uri, path) if uri.startswith("/") else None


def read_artifact(run: Record, path: str) -> bytes:
    """An artifact of a run, fetched from wherever its store keeps it."""
    with _downloaded(f"{run.artifact_uri}/{path}") as file:
        return file.read_bytes()


def read_uri(uri: str) -> pd.DataFrame:
    """A Parquet artifact at a ``runs:/`` address."""
    run_id, _, path = uri.removeprefix("runs:/").partition("/")
    return read_table(run_id, path)


def _absent(uri: str) -> bool:
    """Whether the store answers, and does not hold the artifact: MLflow's error for it may be the one for a server that fails."""
    folder, _, name = uri.rpartition("/")
    try:
        if uri.startswith("runs:/"):
            run_id, _, path = folder.removeprefix("runs:/").partition("/")
            there = MlflowClient().list_artifacts(run_id, path or None)
        else:
            there = mlflow.artifacts.list_artifacts(artifact_uri=folder)
    except Exception as error:  # as above
        return not fails(error)
    return name not in {Path(one.path).name for one in there}


@contextlib.contextmanager
def _downloaded(uri: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
        except Exception as error:  # the clients of artifact stores have exceptions of their own
            kind = StoreUnavailable if fails(error) and not _absent(uri) else AssayError
            raise kind(f"the artifact {masked(uri)} cannot be read: {reason(error)}") from error
        try:
            yield file
        except OSError as error:
            raise AssayError(
                f"the artifact {masked(uri)} cannot be read: {reason(error)}"
            ) from error
