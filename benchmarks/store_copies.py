"""Copies of a seed run within a SQLite tracking store: thousands of runs in a moment."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

MINUTE = 60_000  # ms
MINUTES_APART = 7

_RUN_TABLES = ("tags", "params", "metrics", "latest_metrics")
_TIMES = ("start_time", "end_time")

Change = Callable[[str, object, int], object]
"""From a column, its value and the number of the copy to the value of the copy."""


def copy_seed_run(folder: Path, run_id: str, n: int) -> None:
    """Copy a seed run ``n`` times, each 7 minutes later, with a seed and metrics of its own.

    Parameters
    ----------
    folder
        The folder of the store.
    run_id
        The run to copy.
    n
        How many copies are made.
    """
    random = np.random.default_rng(0)
    ids = [uuid.UUID(bytes=random.bytes(16)).hex for _ in range(n)]

    def changed(column: str, value: object, number: int) -> object:
        if column == "artifact_uri":
            return str(value).replace(run_id, ids[number])
        if column in _TIMES:
            return int(str(value)) + MINUTES_APART * MINUTE * (number + 1)
        return value

    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        _copy(database, "runs", "run_uuid", run_id, copies=ids, change=changed)
        for table in _RUN_TABLES:
            _copy(database, table, "run_uuid", run_id, copies=ids)
        seeds = [(str(number + 1), copy) for number, copy in enumerate(ids)]
        database.executemany(
            "UPDATE params SET value = ? WHERE run_uuid = ? AND key IN ('seed', 'replicate')", seeds
        )
        shifts = [(number / n / 100, copy) for number, copy in enumerate(ids)]
        for table in ("metrics", "latest_metrics"):
            database.executemany(
                f"UPDATE {table} SET value = value - ? "  # noqa: S608  # names of our own
                "WHERE run_uuid = ? AND key LIKE 'test.%'",
                shifts,
            )
        _copy_inputs(database, run_id, ids)


def _unchanged(column: str, value: object, number: int) -> object:
    del column, number
    return value


def _copy(
    database: sqlite3.Connection,
    table: str,
    key: str,
    key_value: str,
    *,
    copies: Sequence[str],
    change: Change = _unchanged,
) -> None:
    """Copy the rows whose ``key`` is ``key_value``, once for each key in ``copies``."""
    query = f"SELECT * FROM {table} WHERE {key} = ?"  # noqa: S608  # names of our own
    cursor = database.execute(query, [key_value])
    columns = [description[0] for description in cursor.description]
    rows = [
        [
            copy if column == key else change(column, value, number)
            for column, value in zip(columns, row, strict=True)
        ]
        for row in cursor.fetchall()
        for number, copy in enumerate(copies)
    ]
    marks = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table} VALUES ({marks})"  # noqa: S608  # names of our own
    database.executemany(statement, rows)


def _copy_inputs(database: sqlite3.Connection, run_id: str, copies: Sequence[str]) -> None:
    """Copy the links to the run's data sets, each with its tags and an id of its own."""

    def linked(column: str, value: object, number: int) -> object:
        return copies[number] if column == "destination_id" else value

    query = "SELECT input_uuid FROM inputs WHERE destination_id = ?"
    for (link,) in database.execute(query, [run_id]).fetchall():
        links = [uuid.uuid4().hex for _ in copies]
        _copy(database, "inputs", "input_uuid", link, copies=links, change=linked)
        _copy(database, "input_tags", "input_uuid", link, copies=links)
