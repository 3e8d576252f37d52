"""Finished runs that anybody's experiment may go on from: found by what they are of, their artifacts checked by hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlflow.tracking import MlflowClient

from project.support.errors import AssayError
from project.tracking.read import read_artifact
from project.tracking.store import (
    KIND,
    SCHEMA,
    SCHEMA_VERSION,
    USER,
    Record,
    one_try,
    record,
    store_errors,
)

SHA256 = "assay.sha256"  # of every artifact of a run, as JSON
TAKEN_FROM, TAKEN_OF = "assay.taken_from", "assay.taken_of"
_MOST = 100  # runs of one question, the newest first


def finished(
    experiment_ids: Sequence[str], kind: str, tag: str, value: str, *, user: str = ""
) -> Iterator[Record]:
    """Finished runs of one kind, in the experiments named, whose ``tag`` is ``value``, newest first; of one ``user``, where that is given."""
    wanted = {KIND: kind, tag: value, SCHEMA: SCHEMA_VERSION, **({USER: user} if user else {})}
    filter_string = " AND ".join(
        [
            *(f"tags.`{name}` = {_quoted(text)}" for name, text in wanted.items()),
            "attributes.status = 'FINISHED'",
        ]
    )
    with store_errors(), one_try():
        found = MlflowClient().search_runs(
            list(experiment_ids),
            filter_string,
            max_results=_MOST,
            order_by=["attributes.start_time DESC"],
        )
    yield from (record(run) for run in found)


def checked(run: Record, paths: Sequence[str]) -> dict[str, bytes]:
    """Artifacts of a run; raises AssayError where one is not what the run's hashes say, or where it has none, StoreAway from a store that fails."""
    try:
        hashes = json.loads(run.tags.get(SHA256, "{}"))
    except ValueError:
        hashes = {}
    with one_try():
        found = {path: read_artifact(run, path) for path in paths}
    for path, data in found.items():
        if not isinstance(hashes, dict) or hashlib.sha256(data).hexdigest() != hashes.get(path):
            raise AssayError(
                f"the artifact {path} of run {run.run_id} ({run.name}) is not what the run's tag {SHA256} says it was."
            )
    return found


def hashes_of(files: Mapping[str, Path]) -> dict[str, str]:
    """The tag that :func:`checked` goes by; ``files``: artifact path -> local file."""
    hashes = {
        path: hashlib.sha256(file.read_bytes()).hexdigest() for path, file in sorted(files.items())
    }
    return {SHA256: json.dumps(hashes)}


def _quoted(text: str) -> str:
    """A text as MLflow's filters write it; they know no escape for a quotation mark."""
    return f'"{text}"' if "'" in text else f"'{text}'"
