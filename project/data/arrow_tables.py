"""Arrow tables whose columns need not agree in type, put together without losing a value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from project.support.errors import AssayError

_TEXT = pa.large_string()
_SURROGATE = re.compile("[\ud800-\udfff]")


def table_of_rows(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as a table: a key that a row lacks is null; a column of mixed types becomes JSON texts.

    Columns of texts stay texts, so that a number among texts makes the column one of JSON only if
    it is not a text itself.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    arrays = {}
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            arrays[str(name)] = _array(values)
        except UnicodeEncodeError:
            raise _half_character(str(name), values) from None
    return pa.table(arrays)


def _half_character(name: str, values: list[Any]) -> AssayError:
    """The error for texts with half of a surrogate pair, which no UTF-8 file can hold."""
    wrong = [value for value in values if _SURROGATE.search(str(value))]
    return AssayError(
        f"data column {name} must hold characters of Unicode; {len(wrong)} of {len(values)} rows "
        f"read together hold half of one, the first is {str(wrong[0])[:40]!a}. Remove it, or "
        "write the file again from its source."
    )


def n_other_than_text(column: pa.ChunkedArray) -> int:
    """How many cells of a column hold something else than a text or null."""
    if isinstance(column.type, pa.JsonType):
        return sum(
            value is not None and not value.startswith('"')
            for chunk in column.chunks
            for value in chunk.storage.to_pylist()
        )
    if _plain(column.type) == _TEXT or pa.types.is_null(column.type):
        return 0
    return len(column) - int(column.null_count)


def _array(values: list[Any]) -> pa.Array:
    """The values as an array; of mixed types as JSON in binary, which no text can be taken for."""
    if all(value is None or isinstance(value, str) for value in values):
        return pa.array(values, _TEXT)
    try:
        return pa.array(values)
    except UnicodeEncodeError:
        raise
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return pa.array([_as_json(value) for value in values], pa.json_(_TEXT))


def _as_json(value: Any) -> str | None:
    """A value as JSON; None stays None."""
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """All rows of the tables in one; columns that differ in type are made the same."""
    schema = common_schema(table.schema for table in tables)
    return pa.concat_tables([fitted(table, schema) for table in tables])


def common_schema(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """A schema into which tables of all ``schemas`` fit; where types clash, the type is text."""
    kinds: dict[str, dict[pa.DataType, None]] = {}
    for schema in schemas:
        for field in schema:
            kinds.setdefault(field.name, {})[field.type] = None
    return pa.schema([pa.field(name, _common(list(types))) for name, types in kinds.items()])


def _common(types: list[pa.DataType]) -> pa.DataType:
    """The type of a column that has these types in different tables."""
    known = [_plain(kind) for kind in types if not pa.types.is_null(kind)]
    if not known:
        return _TEXT
    if all(kind == known[0] for kind in known):
        return known[0]
    try:
        fields = [pa.schema([pa.field("x", kind)]) for kind in known]
        return pa.unify_schemas(fields, promote_options="permissive").field("x").type
    except (pa.ArrowException, TypeError):
        return _TEXT


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type without dictionaries and with one kind of texts."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if isinstance(kind, pa.JsonType):
        return _TEXT
    return _TEXT if pa.types.is_string(kind) or pa.types.is_string_view(kind) else kind


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns of ``schema``; missing ones are null."""
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name)
        if column.type != field.type:
            column = _cast(column, field.type)
        columns.append(column)
    return pa.table(columns, schema=schema)


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """The column in another type; what has no form in it becomes JSON texts."""
    if isinstance(column.type, pa.JsonType):
        column = pa.chunked_array(
            [chunk.storage for chunk in column.chunks], type=column.type.storage_type
        )
    try:
        return column.cast(kind)
    except (pa.ArrowException, TypeError):
        return pa.chunked_array([pa.array([_as_json(value) for value in column.to_pylist()], kind)])
