"""Tables as Parquet files, and a hash of their content."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa

from project.support.errors import AssayError
from project.support.files import write_atomically

# Rows that are hashed at a time: the JSON of a whole large table would take several times its
# memory.
_ROWS = 10_000


def content_hash(table: pd.DataFrame) -> str:
    """SHA-256 of column names and values (floats to 15 digits), whatever the file format.

    Stored as the identity of tables, so its result must never change.
    """
    sha = hashlib.sha256(json.dumps([list(map(str, table.columns)), len(table)]).encode())
    for start in range(0, len(table), _ROWS):
        part = table.iloc[start : start + _ROWS].reset_index(drop=True)
        sha.update(part.to_json(orient="values", double_precision=15).encode())
    return sha.hexdigest()


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write ``table`` as Parquet, atomically."""
    write_atomically(path, table.to_parquet(index=False))


def parquet(data: bytes) -> pd.DataFrame:
    """The table in the bytes of a Parquet file; raises AssayError if they hold none."""
    try:
        # In one thread: several leave memory of their own behind, more than such a table takes.
        return pd.read_parquet(io.BytesIO(data), use_threads=False)
    except (pa.ArrowException, ValueError, TypeError, KeyError) as error:
        raise AssayError(
            f"not a readable Parquet table: {' '.join(str(error).split())[:200]}"
        ) from error


def read_table(path: Path) -> pd.DataFrame:
    """The table in a Parquet file."""
    return pd.read_parquet(path)
