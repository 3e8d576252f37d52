"""Answers that survive a kill: Assay's log beside SQLite and Parquet files.

python -m benchmarks.answer_store
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from project.annotation.answer_log import SUFFIX, AnswerWriter, read_answers
from project.annotation.answers import ANSWER_KEY, answers_table
from project.annotation.engines.base import Answers
from project.annotation.items import item_keys

LABELS = ("books", "clothing & accessories", "electronics", "household")
BATCHES = (1, 16, 64, 2048)
_MOST_FILES = 2_000  # Parquet: one file for each batch


class Measured(NamedTuple):
    """Seconds to write and to read back all answers, bytes and files on disk."""

    write: float
    read: float
    n_bytes: int
    n_files: int


def _batches(n: int, size: int) -> list[pd.DataFrame]:
    """``n`` answers in tables of ``size`` rows."""
    rng = np.random.default_rng(0)
    tables = []
    for start in range(0, n, size):
        rows = min(size, n - start)
        logits = rng.normal(size=(rows, len(LABELS)))
        classes = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        answers = Answers.exact(classes, np.zeros(rows, bool), np.full(rows, 100))
        keys = item_keys(str(number) for number in range(start, start + rows))
        tables.append(answers_table(keys, answers, LABELS, 1.0))
    return tables


def _log(folder: Path, tables: list[pd.DataFrame]) -> tuple[float, float, int]:
    began = time.perf_counter()
    writer = AnswerWriter(folder, "answers")
    for table in tables:
        writer.append(table)
    writer.close()
    written = time.perf_counter()
    n_rows = 0
    for path in folder.glob(f"*{SUFFIX}"):
        stored, n_damaged = read_answers(path)
        n_rows += 0 if stored is None or n_damaged else len(stored)
    return written - began, time.perf_counter() - written, n_rows


def _sqlite(folder: Path, tables: list[pd.DataFrame]) -> tuple[float, float, int]:
    """One row for each answer in WAL mode, one transaction for each batch, read to one table."""
    began = time.perf_counter()
    names = [name for name in tables[0].columns if name != ANSWER_KEY]
    with contextlib.closing(sqlite3.connect(folder / "answers.db", isolation_level=None)) as store:
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("PRAGMA synchronous=NORMAL")  # survives a kill of the process, as the log
        columns = ", ".join(f'"{name}"' for name in names)
        store.execute(f"CREATE TABLE answers (key TEXT PRIMARY KEY, {columns}) WITHOUT ROWID")
        marks = ", ".join("?" * (1 + len(names)))
        insert = f"INSERT OR IGNORE INTO answers VALUES ({marks})"  # noqa: S608, only marks
        for table in tables:
            ordered = [table[ANSWER_KEY], *(table[name] for name in names)]
            rows = zip(*(_values(column) for column in ordered), strict=True)
            store.execute("BEGIN")
            store.executemany(insert, rows)
            store.execute("COMMIT")
        written = time.perf_counter()
        read = store.execute("SELECT * FROM answers").fetchall()
        by_column = zip(*read, strict=True)
        table_read = pa.table(dict(zip(["key", *names], map(list, by_column), strict=True)))
    return written - began, time.perf_counter() - written, len(table_read)


def _values(column: pd.Series) -> list[Any]:
    if column.name == "error":
        return [None] * len(column)
    values: list[Any] = column.to_numpy().tolist()
    return values


def _parquet(folder: Path, tables: list[pd.DataFrame]) -> tuple[float, float, int]:
    began = time.perf_counter()
    for number, table in enumerate(tables):
        table.to_parquet(folder / f"{number}.parquet", index=False)
    written = time.perf_counter()
    read = pa.concat_tables(pq.read_table(path) for path in folder.glob("*.parquet"))
    return written - began, time.perf_counter() - written, len(read)


SIDES: dict[str, Callable[[Path, list[pd.DataFrame]], tuple[float, float, int]]] = {
    "log": _log,
    "SQLite (WAL)": _sqlite,
    "a Parquet file each": _parquet,
}


def measure(side: str, tables: list[pd.DataFrame]) -> Measured:
    """Write and read all ``tables`` once, in a new folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write, read, n_rows = SIDES[side](folder, tables)
        if n_rows != sum(map(len, tables)):
            raise RuntimeError(f"{side}: {n_rows} answers came back")
        files = list(folder.iterdir())
        return Measured(write, read, sum(file.stat().st_size for file in files), len(files))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--answers", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    versions = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    sys.stdout.write(json.dumps(versions | {"machine": platform.platform()}) + "\n")
    sys.stdout.write("| batch | store | answers/s written | answers/s read | bytes | files |\n")
    sys.stdout.write("|---:|---|---:|---:|---:|---:|\n")
    for size in BATCHES:
        tables = _batches(options.answers, size)
        results: dict[str, list[Measured]] = {side: [] for side in SIDES}
        for _ in range(options.repeats):
            for side in SIDES:
                if side != "a Parquet file each" or len(tables) <= _MOST_FILES:
                    results[side].append(measure(side, tables))
        for side, runs in results.items():
            if runs:
                write = options.answers / statistics.median(run.write for run in runs)
                read = options.answers / statistics.median(run.read for run in runs)
                sys.stdout.write(
                    f"| {size} | {side} | {write:,.0f} | {read:,.0f} | "
                    f"{runs[0].n_bytes / options.answers:.0f} | {runs[0].n_files:,} |\n"
                )


if __name__ == "__main__":
    main()
