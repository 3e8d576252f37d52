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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from project.annotation.answer_log import SUFFIX, AnswerWriter, Batch, read_answers
from project.annotation.answers import answers_table
from project.annotation.engines.base import Answers
from project.annotation.items import item_keys
from project.data.tables import RAW_LOG_PROBABILITY

LABELS = ("books", "clothing & accessories", "electronics", "household")
BATCHES = (1, 16, 64, 2048)
_MOST_FILES = 2_000  # Parquet: one file for each batch


class Measured(NamedTuple):
    """Seconds to write and to read back all answers, bytes and files on disk."""

    write: float
    read: float
    n_bytes: int
    n_files: int


class Given(NamedTuple):
    """What an engine returns for one batch."""

    keys: list[str]
    answers: Answers


def _batches(n: int, size: int) -> list[Given]:
    """``n`` answers in batches of ``size``."""
    rng = np.random.default_rng(0)
    batches = []
    for start in range(0, n, size):
        rows = min(size, n - start)
        logits = rng.normal(size=(rows, len(LABELS)))
        classes = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        answers = Answers.exact(classes, np.zeros(rows, bool), np.full(rows, 100))
        keys = item_keys(str(number) for number in range(start, start + rows))
        batches.append(Given(keys, answers))
    return batches


def _log(folder: Path, batches: list[Given]) -> tuple[float, float, int]:
    began = time.perf_counter()
    writer = AnswerWriter(folder, "answers")
    columns = [RAW_LOG_PROBABILITY + label for label in LABELS]
    for keys, answers in batches:
        writer.append(Batch.of_answers(keys, answers, 1.0), columns)
    writer.close()
    written = time.perf_counter()
    n_rows = 0
    for path in folder.glob(f"*{SUFFIX}"):
        stored, n_damaged = read_answers(path)
        n_rows += 0 if stored is None or n_damaged else len(stored)
    return written - began, time.perf_counter() - written, n_rows


def _sqlite(folder: Path, batches: list[Given]) -> tuple[float, float, int]:
    """One row for each answer in WAL mode, one transaction for each batch, read to one table."""
    began = time.perf_counter()
    names = ["answer", "mass", "bound", "truncated", "tokens", "requests", "generated", "seconds"]
    names += ["error", *LABELS]
    with contextlib.closing(sqlite3.connect(folder / "answers.db", isolation_level=None)) as store:
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("PRAGMA synchronous=NORMAL")  # survives a kill of the process, as the log
        columns = ", ".join(f'"{name}"' for name in names)
        store.execute(f"CREATE TABLE answers (key BLOB PRIMARY KEY, {columns}) WITHOUT ROWID")
        marks = ", ".join("?" * (1 + len(names)))
        insert = f"INSERT OR IGNORE INTO answers VALUES ({marks})"  # noqa: S608, only marks
        for keys, answers in batches:
            store.execute("BEGIN")
            store.executemany(insert, _rows(keys, answers))
            store.execute("COMMIT")
        written = time.perf_counter()
        read = store.execute("SELECT * FROM answers").fetchall()
        by_column = zip(*read, strict=True)
        table_read = pa.table(dict(zip(["key", *names], map(list, by_column), strict=True)))
    return written - began, time.perf_counter() - written, len(table_read)


def _rows(keys: list[str], answers: Answers) -> Iterator[tuple[Any, ...]]:
    """The same values as in the log, one tuple for each answer."""
    n = len(keys)
    return zip(
        map(bytes.fromhex, keys),
        answers.label.tolist(),
        answers.label_mass.tolist(),
        answers.log_bound.tolist(),
        answers.truncated.tolist(),
        answers.prompt_tokens.tolist(),
        [answers.requests] * n,
        [answers.generated] * n,
        [1.0 / n] * n,
        answers.error,
        *answers.log_probabilities.T.tolist(),
        strict=True,
    )


def _parquet(folder: Path, batches: list[Given]) -> tuple[float, float, int]:
    began = time.perf_counter()
    for number, (keys, answers) in enumerate(batches):
        table = answers_table(keys, answers, LABELS, 1.0)
        table.to_parquet(folder / f"{number}.parquet", index=False)
    written = time.perf_counter()
    read = pa.concat_tables(pq.read_table(path) for path in folder.glob("*.parquet"))
    return written - began, time.perf_counter() - written, len(read)


SIDES: dict[str, Callable[[Path, list[Given]], tuple[float, float, int]]] = {
    "log": _log,
    "SQLite (WAL)": _sqlite,
    "a Parquet file each": _parquet,
}


def measure(side: str, batches: list[Given]) -> Measured:
    """Write and read all ``batches`` once, in a new folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write, read, n_rows = SIDES[side](folder, batches)
        if n_rows != sum(len(batch.keys) for batch in batches):
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
        batches = _batches(options.answers, size)
        results: dict[str, list[Measured]] = {side: [] for side in SIDES}
        for _ in range(options.repeats):
            for side in SIDES:
                if side != "a Parquet file each" or len(batches) <= _MOST_FILES:
                    results[side].append(measure(side, batches))
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
