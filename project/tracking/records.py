"""A run of the tracking store as a plain record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from mlflow.entities import Run

from project.support.errors import AssayError
from project.tracking.failures import address

_RUN_ID = re.compile(r"\w[\w-]{0,255}", re.ASCII)


@dataclass(frozen=True)
class Record:
    """A run as the store holds it.

    ``params`` are the stored texts; ``started`` is in milliseconds since 1970; ``status`` is
    MLflow's: RUNNING, FINISHED, FAILED or KILLED.
    """

    run_id: str
    name: str
    status: str
    params: Mapping[str, str]
    _: KW_ONLY
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    experiment_id: str
    started: int
    artifact_uri: str


def to_record(run: Run) -> Record:
    """MLflow's run as a record."""
    return Record(
        run_id=valid_run_id(run),
        name=run.info.run_name or "",
        status=run.info.status,
        params=run.data.params,
        metrics=run.data.metrics,
        tags=run.data.tags,
        experiment_id=run.info.experiment_id,
        started=run.info.start_time or 0,
        artifact_uri=run.info.artifact_uri or "",
    )


def valid_run_id(run: Run) -> str:
    """The run's id; AssayError for an id that MLflow would not give.

    Folders on this machine are named after it, so a server must not smuggle a path into it.
    """
    run_id = str(run.info.run_id)
    if not _RUN_ID.fullmatch(run_id):
        raise AssayError(
            f"the tracking store {address()} gives a run the id {run_id[:100]!r}, which MLflow "
            "would not make. Correct MLFLOW_TRACKING_URI."
        )
    return run_id
