"""What lies in the store, fetched side by side and kept on this machine: what a finished run holds does not change.

The cache is ``$ASSAY_CACHE``, else ``~/.cache/assay``, keyed by run id and readable to its owner alone; delete it whenever you like.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from project.tables import write_atomically
from project.tracking import Record, local_artifact, read_artifact

AT_ONCE = 8


def cache() -> Path:
    """The folder of the cache."""
    folder = Path(os.environ.get("ASSAY_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "assay"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def artifact(run: Record, path: str) -> bytes:
    """An artifact of a run: out of this machine's files, the cache, or the store."""
    local = local_artifact(run, path)
    if local and local.is_file():
        return local.read_bytes()
    kept = cache() / "artifacts" / run.run_id / path
    if kept.is_file():
        return kept.read_bytes()
    data = read_artifact(run, path)
    if run.status == "FINISHED":
        write_atomically(kept, data)
    return data


def tables(runs: Sequence[Record], path: str) -> list[pd.DataFrame]:
    """The Parquet artifact ``path`` of every run, several at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [pd.read_parquet(io.BytesIO(data)) for data in pool.map(lambda run: artifact(run, path), runs)]


def table(run: Record, path: str) -> pd.DataFrame:
    """A Parquet artifact of one run."""
    return tables([run], path)[0]


def read_json(run: Record, path: str) -> Any:
    """A JSON artifact of one run."""
    return json.loads(artifact(run, path).decode("utf-8"))
