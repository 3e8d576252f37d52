"""What lies in the store, fetched side by side and kept on this machine: what a finished run holds does not change.

The cache is ``$ASSAY_CACHE``, else ``~/.cache/assay``, keyed by run id and readable to its owner alone; delete it whenever you like.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.store.artifacts import broken
from project.support.errors import AssayError, UnusableRun
from project.support.files import cache_folder, write_atomically
from project.support.parquet import parquet
from project.tracking import Record, local_artifact, read_artifact

AT_ONCE = 8


def cache() -> Path:
    """The folder of the cache."""
    folder = cache_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def keep(path: Path, data: bytes) -> None:
    """Write a file of the cache; its part of it is the owner's alone, whoever made the cache itself."""
    part = cache() / path.relative_to(cache()).parts[0]
    part.mkdir(mode=0o700, exist_ok=True)
    if part.stat().st_uid == os.geteuid():
        part.chmod(0o700)
    write_atomically(path, data)


def artifact(run: Record, path: str) -> bytes:
    """An artifact of a run: out of this machine's files, the cache, or the store."""
    local = local_artifact(run, path)
    if local and local.is_file():
        return local.read_bytes()
    kept = _place(run, path)
    if kept.is_file():
        return kept.read_bytes()
    data = read_artifact(run, path)
    if run.status == "FINISHED":
        keep(kept, data)
    return data


def _place(run: Record, path: str) -> Path:
    """Where an artifact is kept; a run that a store calls by the name of some other place is refused."""
    folder, name = cache() / "artifacts", Path(run.run_id, path)
    if name.is_absolute() or ".." in name.parts or len(Path(run.run_id).parts) != 1:
        raise UnusableRun(
            f"run {run.run_id!r} cannot be kept in the cache with its artifact {path!r}: the name leads out of its folder. No store of MLflow's has "
            "such names; see what MLFLOW_TRACKING_URI is."
        )
    return folder / name


def tables(runs: Sequence[Record], path: str) -> list[pd.DataFrame]:
    """The Parquet artifact ``path`` of every run, several at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [
            _table(run, path, data)
            for run, data in zip(runs, pool.map(lambda run: artifact(run, path), runs), strict=True)
        ]


def _table(run: Record, path: str, data: bytes) -> pd.DataFrame:
    try:
        return parquet(data)
    except AssayError:
        raise broken(run, path, "is no Parquet table") from None


def table(run: Record, path: str) -> pd.DataFrame:
    """A Parquet artifact of one run."""
    return tables([run], path)[0]


def read_json(run: Record, path: str) -> Any:
    """A JSON artifact of one run."""
    data = artifact(run, path)
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise broken(run, path, "is no JSON") from None
