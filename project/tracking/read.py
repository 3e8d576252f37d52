"""What is read back from the store: runs, filtered and paged by the server, and their artifacts."""

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

from project.support.errors import AssayError, UnusableRun
from project.support.parquet import parquet
from project.support.redact import scrubbed
from project.tracking.failures import StoreUnavailable, address, is_outage, reason, store_errors
from project.tracking.names import KIND, PARENT, STUDY
from project.tracking.records import Record, to_record
from project.tracking.store import experiment_ids

_PAGE = 500
_OLDEST_FIRST = "attributes.start_time ASC"
_NEWEST_FIRST = "attributes.start_time DESC"


def read_run(run_id: str) -> Record:
    """The run with this id; UnusableRun if it is not in the store or is deleted."""
    with store_errors():
        try:
            run = MlflowClient().get_run(run_id)
        except mlflow.MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise UnusableRun(
                f"run {run_id} is not in the tracking store {address()}: {reason(error)}"
            ) from error
    if run.info.lifecycle_stage == "deleted":
        raise UnusableRun(
            f"run {run_id} of the tracking store {address()} is deleted. Name another, or restore "
            f"it: mlflow runs restore --run-id {run_id}"
        )
    return to_record(run)


def latest_root(kind: str = "experiment") -> Record:
    """The newest finished root run of ``kind`` in any experiment of the store."""
    page = next(newest_runs(kind, page_size=1))
    if not page:
        raise AssayError(
            f"the tracking store {address()} holds no finished {kind}. Run one, set run_id to "
            "another run, or set MLFLOW_TRACKING_URI to another store."
        )
    return page[0]


def children(root: Record, kind: str) -> list[Record]:
    """The finished children of ``root`` of one kind, oldest first."""
    return [run for run in all_children(root, kind) if run.status == "FINISHED"]


def all_children(root: Record, kind: str) -> list[Record]:
    """The children of ``root`` of one kind, whatever their status, oldest first.

    Deleted ones are left out.
    """
    filter_string = f"tags.`{PARENT}` = '{root.run_id}' AND tags.`{KIND}` = '{kind}'"
    with store_errors():
        return _search([root.experiment_id], filter_string)


def study_runs(study_id: str, kind: str) -> list[Record]:
    """The runs of a study of one kind in any experiment, whatever their status, oldest first."""
    filter_string = f"tags.`{STUDY}` = '{study_id}' AND tags.`{KIND}` = '{kind}'"
    with store_errors():
        return _search(experiment_ids(), filter_string)


def finished_with_tag(tag: str, value: str) -> list[Record]:
    """The finished runs in any experiment whose ``tag`` is ``value``, oldest first."""
    filter_string = f"tags.`{tag}` = '{value}' AND attributes.status = 'FINISHED'"
    with store_errors():
        return _search(experiment_ids(), filter_string)


def running_runs() -> list[Record]:
    """The runs with status RUNNING in any experiment, oldest first."""
    return _search(experiment_ids(), "attributes.status = 'RUNNING'")


def newest_runs(kind: str, *, page_size: int, deleted: bool = False) -> Iterator[list[Record]]:
    """Pages of the finished runs of one kind in any experiment, newest first.

    Parameters
    ----------
    kind
        Kind of the runs, such as ``seed``.
    page_size
        Runs in one page, which is one request.
    deleted
        Only deleted runs, instead of only those that are not.

    Yields
    ------
    list[Record]
        One page; a single empty one if there are no such runs.
    """
    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    filter_string = f"tags.`{KIND}` = '{kind}' AND attributes.status = 'FINISHED'"
    with store_errors():
        yield from _pages(
            experiment_ids(), filter_string, _NEWEST_FIRST, page_size=page_size, view=view
        )


def _search(experiments: list[str], filter_string: str) -> list[Record]:
    """All runs that match, oldest first."""
    pages = _pages(experiments, filter_string, _OLDEST_FIRST, page_size=_PAGE)
    return [run for page in pages for run in page]


def _pages(
    experiments: list[str],
    filter_string: str,
    order: str,
    *,
    page_size: int,
    view: int = ViewType.ACTIVE_ONLY,
) -> Iterator[list[Record]]:
    """The runs that match, page by page; one empty page if none does."""
    client = MlflowClient()
    token: str | None = None
    while True:
        page = client.search_runs(
            experiments,
            filter_string,
            run_view_type=view,
            max_results=page_size,
            order_by=[order],
            page_token=token,
        )
        yield [to_record(run) for run in page]
        token = page.token
        if not token:
            return


def read_table(run_id: str, path: str) -> pd.DataFrame:
    """A Parquet artifact of a run."""
    with _downloaded(f"runs:/{run_id}/{path}") as file:
        try:
            return parquet(file.read_bytes())
        except AssayError:
            raise UnusableRun(
                f"run {run_id}: its artifact {path} is not a Parquet table. It has been changed."
            ) from None


def read_json(run_id: str, path: str) -> Any:
    """A JSON artifact of a run."""
    with _downloaded(f"runs:/{run_id}/{path}") as file:
        try:
            return json.loads(file.read_bytes())
        except (ValueError, RecursionError):
            raise UnusableRun(
                f"run {run_id}: its artifact {path} is not JSON. It has been changed."
            ) from None


def local_artifact(run: Record, path: str) -> Path | None:
    """The file of an artifact, if artifacts are kept in files of this machine."""
    uri = run.artifact_uri.removeprefix("file://")
    return Path(uri, path) if uri.startswith("/") else None


def read_artifact(run: Record, path: str) -> bytes:
    """The bytes of an artifact of a run."""
    with _downloaded(f"{run.artifact_uri}/{path}") as file:
        return file.read_bytes()


def read_uri(uri: str) -> pd.DataFrame:
    """The Parquet artifact at a ``runs:/`` address."""
    run_id, _, path = uri.removeprefix("runs:/").partition("/")
    return read_table(run_id, path)


@contextlib.contextmanager
def _downloaded(uri: str) -> Iterator[Path]:
    """An artifact as a temporary file.

    Raises StoreUnavailable if the store is away, UnusableRun if it does not hold the artifact.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
        except Exception as error:  # clients of artifact stores raise types of their own
            away = is_outage(error) and not _is_absent(uri)
            kind = StoreUnavailable if away else UnusableRun
            raise kind(f"the artifact {scrubbed(uri)} cannot be read: {reason(error)}") from error
        try:
            yield file
        except OSError as error:
            raise UnusableRun(
                f"the artifact {scrubbed(uri)} cannot be read: {reason(error)}"
            ) from error


def _is_absent(uri: str) -> bool:
    """Whether the store answers and does not list the artifact.

    MLflow reports a missing artifact with the error of a server that fails, so the listing of the
    artifact's folder decides. It costs one request, and only after a failed download.
    """
    folder, _, name = uri.rpartition("/")
    try:
        if uri.startswith("runs:/"):
            run_id, _, path = folder.removeprefix("runs:/").partition("/")
            listed = MlflowClient().list_artifacts(run_id, path or None)
        else:
            listed = mlflow.artifacts.list_artifacts(artifact_uri=folder)
    except Exception as error:  # clients of artifact stores raise types of their own
        return not is_outage(error)
    return name not in {Path(file.path).name for file in listed}
