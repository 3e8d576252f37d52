"""Files of JSON lines as tables."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from project.data.file_bytes import utf8_bytes
from project.support.errors import AssayError

_MAX_EXACT = 2**53  # the largest whole number up to which a float holds each one


def read_json_lines(path: Path) -> pd.DataFrame:
    """The table in a file with a JSON object in every line, or with one JSON array of objects.

    A key that an object lacks is null. No value is changed: dates stay texts.

    Raises
    ------
    AssayError
        For a line that is no JSON object, with its number.
    """
    data = utf8_bytes(path)
    if data.lstrip().startswith(b"["):
        records = _array(data, path)
    else:
        records = []
        for number, line in enumerate(io.BytesIO(data), 1):
            if line.strip():
                records.append(json_object(line, number, path))
    if not records:
        raise AssayError(f"data file {path.name} must hold rows; it is empty. Name another file.")
    return _with_exact_numbers(pd.DataFrame(records), records)


def _with_exact_numbers(table: pd.DataFrame, records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The table with long whole numbers as they are, where a null made floats of a column."""
    for name in table.select_dtypes("float").columns:
        values = [record.get(name) for record in records]
        if any(isinstance(value, int) and abs(value) > _MAX_EXACT for value in values):
            table[name] = pd.Series(values, dtype=object)
    return table


def _array(data: bytes, path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON array."""
    try:
        records = json.loads(data, object_pairs_hook=_distinct)
    except ValueError as error:
        raise AssayError(
            f"data file {path.name} cannot be read as JSON: {error}. Write one JSON object in "
            "every line."
        ) from None
    for number, record in enumerate(records, 1):
        _check_object(record, f"entry {number}", path)
    return list(records)


def json_object(line: bytes, number: int, path: Path) -> dict[str, Any]:
    """The object in a line."""
    try:
        record = json.loads(line, object_pairs_hook=_distinct)
    except ValueError as error:
        raise AssayError(
            f"data file {path.name} cannot be read as JSON: line {number}: {error}. Write one "
            "JSON object in every line."
        ) from None
    return _check_object(record, f"line {number}", path)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object with these pairs; ValueError where a key is in it twice."""
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object has the key {repeated!r} twice")
    return record


def _check_object(record: Any, where: str, path: Path) -> dict[str, Any]:
    """The value if it is an object."""
    if not isinstance(record, dict):
        raise AssayError(
            f"data file {path.name} must hold JSON objects; {where} is a "
            f"{type(record).__name__}. Write every row as {{COLUMN: VALUE, ...}}."
        )
    return record
