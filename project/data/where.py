"""The condition ``COLUMN=VALUE`` that chooses rows of the data and of files that belong to them."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from project.support.errors import AssayError, unknown_value

_MAX_VALUES_SHOWN = 5  # of a column, in an error


def matching_rows(table: pd.DataFrame, where: str, title: str = "") -> pd.DataFrame:
    """The rows of a table that fit ``where``; all rows for an empty condition.

    Parameters
    ----------
    table
        Any table.
    where
        ``COLUMN=VALUE``; a row fits if its cell, written as text, is the value.
    title
        What the table is, for errors; "" for the task's data.

    Raises
    ------
    AssayError
        If the column does not exist, or no row fits.
    """
    if not where:
        return table
    column, equals, value = where.partition("=")
    if not equals or column not in table.columns:
        columns = map(str, table.columns)
        raise unknown_value("where's column", column, columns, "Write where=COLUMN=VALUE.")
    selected = table[table[column].astype(str) == value]
    if selected.empty:
        values = sorted(map(str, table[column].unique()))
        listed = ", ".join(values[:_MAX_VALUES_SHOWN])
        more = ", ..." if len(values) > _MAX_VALUES_SHOWN else ""
        of_table = f" of {title}" if title else ""
        raise AssayError(
            f"where must name a value of the column {column}{of_table}; got {value!r}. The column "
            f"has {listed}{more}."
        )
    return selected.reset_index(drop=True)


def rows_of_task(
    table: pd.DataFrame, where: str, title: str, besides: Collection[str] = ()
) -> pd.DataFrame:
    """The rows of a file with labels that belong to a task whose rows ``where`` chose.

    A file without the column is taken to be of this task alone.

    Parameters
    ----------
    table
        The rows of the file.
    where
        The task's condition.
    title
        What the file is, for errors.
    besides
        Columns that mean something else in this file than in the data.
    """
    column = where.partition("=")[0]
    has_column = column in table.columns and column not in besides
    return matching_rows(table, where, title) if has_column else table
