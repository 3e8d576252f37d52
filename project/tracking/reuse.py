"""Finished runs whose results may be reused: found by a tag, their artifacts checked by hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlflow.tracking import MlflowClient

from project.support.errors import AssayError
from project.tracking.failures import store_errors, without_retries
from project.tracking.names import ARTIFACT_HASHES, KIND, SCHEMA, SCHEMA_VERSION, USER
from project.tracking.read import read_artifact
from project.tracking.records import Record, to_record

_MAX_RUNS = 100  # the newest ones; older ones with the same tag hold the same results


def finished_runs(
    experiment_ids: Sequence[str], kind: str, tag: str, value: str, *, owner: str = ""
) -> Iterator[Record]:
    """Finished runs whose results may be reused, newest first.

    Parameters
    ----------
    experiment_ids
        The experiments to search.
    kind
        Kind of the runs, such as ``seed``.
    tag, value
        Runs whose ``tag`` is ``value``, such as the digest of all that determines a result.
    owner
        Only runs of this user.

    Raises
    ------
    StoreUnavailable
        If the store is away.
    """
    wanted = {KIND: kind, tag: value, SCHEMA: SCHEMA_VERSION}
    if owner:
        wanted[USER] = owner
    conditions = [f"tags.`{name}` = {_quoted(text)}" for name, text in wanted.items()]
    filter_string = " AND ".join([*conditions, "attributes.status = 'FINISHED'"])
    with store_errors(), without_retries():
        runs = MlflowClient().search_runs(
            list(experiment_ids),
            filter_string,
            max_results=_MAX_RUNS,
            order_by=["attributes.start_time DESC"],
        )
    yield from (to_record(run) for run in runs)


def verified_artifacts(run: Record, paths: Sequence[str]) -> dict[str, bytes]:
    """Artifacts of a run, by path.

    Raises AssayError if an artifact differs from its hash in the run's tags or has none there, and
    StoreUnavailable if the store is away. The hashes show changes made after the run was logged;
    someone who changes artifact and tag is not noticed here, so readers check the content too.
    """
    try:
        hashes = json.loads(run.tags.get(ARTIFACT_HASHES, "{}"))
    except ValueError:
        hashes = {}
    with without_retries():
        contents = {path: read_artifact(run, path) for path in paths}
    for path, data in contents.items():
        if not isinstance(hashes, dict) or hashlib.sha256(data).hexdigest() != hashes.get(path):
            raise AssayError(
                f"the artifact {path} of run {run.run_id} ({run.name}) does not match its hash in "
                f"the run's tag {ARTIFACT_HASHES}."
            )
    return contents


def hash_tag(files: Mapping[str, Path]) -> dict[str, str]:
    """The tag that :func:`verified_artifacts` compares with; ``files``: artifact path -> file."""
    hashes = {
        path: hashlib.sha256(file.read_bytes()).hexdigest() for path, file in sorted(files.items())
    }
    return {ARTIFACT_HASHES: json.dumps(hashes)}


def _quoted(text: str) -> str:
    """A text in an MLflow filter, which has no escape for a quotation mark."""
    return f'"{text}"' if "'" in text else f"'{text}'"
