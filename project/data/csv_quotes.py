"""Quotes of CSV that swallow rows: a text begins with a quote that another row closes."""

from __future__ import annotations

from collections.abc import Sequence

_MIN_ROWS = 4  # that show which values a column has
_MIN_REPEATS = 2  # rows for each value, in a column of classes


def row_with_others(rows: Sequence[Sequence[str]], n_columns: int, separator: str) -> int | None:
    """Index of the first row with a cell that holds the rest of it and other rows; None for none.

    Such a cell looks like rows with all their fields, and where a column has few values, its
    fields are these values. Lines of a quoted text do not.

    Parameters
    ----------
    rows
        The rows without the header.
    n_columns
        How many columns the header has.
    separator
        What sets the fields apart.
    """
    known: list[frozenset[str]] | None = None
    for index, row in enumerate(rows):
        for column, cell in enumerate(row):
            if "\n" not in cell or separator not in cell:
                continue
            if known is None:
                known = _classes(rows, n_columns)
            if _is_rows(cell, column, known, separator):
                return index
    return None


def _classes(rows: Sequence[Sequence[str]], n_columns: int) -> list[frozenset[str]]:
    """The values of every column that has few; none for the other columns."""
    single = [
        row for row in rows if len(row) == n_columns and not any("\n" in cell for cell in row)
    ]
    if len(single) < _MIN_ROWS:
        return [frozenset()] * n_columns
    values = [frozenset(row[column].strip() for row in single) for column in range(n_columns)]
    return [
        column if len(column) * _MIN_REPEATS <= len(single) else frozenset() for column in values
    ]


def _is_rows(cell: str, column: int, classes: Sequence[frozenset[str]], separator: str) -> bool:
    """Whether a cell that begins in a column holds the ends and beginnings of rows."""
    n_columns = len(classes)
    lines = [line.rstrip("\r").split(separator) for line in cell.split("\n")]
    begins = [column] + [0] * (len(lines) - 1)
    ends = [n_columns] * (len(lines) - 1) + [column + 1]
    n_known = 0
    for fields, begin, end in zip(lines, begins, ends, strict=True):
        if len(fields) != end - begin:
            return False
        for number, field in enumerate(fields, begin):
            if number != column and classes[number]:
                if field.strip().strip('"') not in classes[number]:
                    return False
                n_known += 1
    return n_known > 0
