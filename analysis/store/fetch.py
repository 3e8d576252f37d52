"""Artifacts of the store, fetched several at a time and kept in a cache on this machine.

What a finished run holds does not change, so that an artifact is fetched once. The cache is
``$ASSAY_CACHE``, else ``~/.cache/assay``, keyed by run id and readable to its owner alone. It may
be deleted at any time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from analysis.store.artifacts import broken
from project.support.checksums import checksum
from project.support.errors import AssayError, UnusableRun
from project.support.files import cache_folder, write_atomically
from project.support.parquet import parquet
from project.tracking import Record, local_artifact, read_artifact

_THREADS = 8
_CHECKSUM_BYTES = 16


def cache() -> Path:
    """The folder of the cache."""
    folder = cache_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def keep(path: Path, data: bytes) -> None:
    """Write a file of the cache, in a folder that its owner alone can read.

    The cache itself may have been made by another program with wider rights.
    """
    folder = cache() / path.relative_to(cache()).parts[0]
    folder.mkdir(mode=0o700, exist_ok=True)
    # Only the owner of a folder can change its rights.
    if folder.stat().st_uid == os.geteuid():
        folder.chmod(0o700)
    write_atomically(_kept_file(path), bytes.fromhex(checksum(data)) + data)


def kept(path: Path) -> bytes | None:
    """What :func:`keep` wrote to ``path``; None if there is nothing, or it is damaged."""
    try:
        content = memoryview(_kept_file(path).read_bytes())
    except FileNotFoundError:
        return None
    stored, data = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
    return bytes(data) if stored == bytes.fromhex(checksum(data)) else None


def _kept_file(path: Path) -> Path:
    # Not the artifact's own name: the file begins with a checksum.
    return path.with_name(f"{path.name}.kept")


def artifact(run: Record, path: str) -> bytes:
    """An artifact of a run: from this machine's files, the cache, or the store."""
    local = local_artifact(run, path)
    if local and local.is_file():
        return local.read_bytes()
    cached = _cache_path(run, path)
    data = kept(cached)
    if data is not None:
        return data
    data = read_artifact(run, path)
    # A run in progress may still replace its artifacts.
    if run.status == "FINISHED":
        keep(cached, data)
    return data


def _cache_path(run: Record, path: str) -> Path:
    """The file of the cache for an artifact.

    Raises UnusableRun if the names that the store gives lead out of the folder of the cache.
    """
    folder = cache() / "artifacts"
    name = Path(run.run_id, path)
    if name.is_absolute() or ".." in name.parts or len(Path(run.run_id).parts) != 1:
        raise UnusableRun(
            f"run {run.run_id!r} cannot be kept in the cache with its artifact {path!r}: the name "
            "leads out of its folder. MLflow makes no such names; check MLFLOW_TRACKING_URI."
        )
    return folder / name


def tables(runs: Sequence[Record], path: str) -> Iterator[pd.DataFrame]:
    """The Parquet artifact ``path`` of every run, several fetched at the same time."""
    with ThreadPoolExecutor(_THREADS) as pool:
        # So many at a time as are fetched at once: those of all runs need not be in memory.
        for start in range(0, len(runs), _THREADS):
            some = runs[start : start + _THREADS]
            contents = pool.map(lambda run: artifact(run, path), some)
            for run, data in zip(some, contents, strict=True):
                yield _parsed(run, path, data)


def _parsed(run: Record, path: str, data: bytes) -> pd.DataFrame:
    # Arrow's own allocator keeps what it once took: twice what a report holds of all tables.
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        return parquet(data)
    except AssayError:
        raise broken(run, path, "is no Parquet table") from None


def table(run: Record, path: str) -> pd.DataFrame:
    """A Parquet artifact of one run."""
    return _parsed(run, path, artifact(run, path))


def read_json(run: Record, path: str) -> Any:
    """A JSON artifact of one run."""
    data = artifact(run, path)
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise broken(run, path, "is no JSON") from None
