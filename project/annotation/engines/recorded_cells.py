"""Cells of recorded labels: lists of one label, and rows that somebody rejected."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from project.data.decided import not_accepted, note_on_decisions


def without_rejected(
    table: pd.DataFrame, used: Sequence[str], join_column: str
) -> tuple[pd.DataFrame, list[str]]:
    """The table with null for the answers of rejected rows, and a note on these.

    Parameters
    ----------
    table
        The rows of the file.
    used
        Its columns with labels or probabilities.
    join_column
        Its column by which rows are joined to examples.
    """
    rejected = not_accepted(table, (*used, join_column))
    if not rejected.any():
        return table, []
    columns = {name: table[name].astype(object).mask(rejected, None) for name in used}
    notes = note_on_decisions(rejected, "they have no recorded label")
    return table.assign(**columns), [f"recorded: {note}" for note in notes]


def without_lists(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the item of a list of one in place of the list, and objects as JSON."""
    lists = [
        column
        for column in table.columns
        if table[column].dtype == object
        and table[column].map(lambda cell: isinstance(cell, list | dict | np.ndarray)).any()
    ]
    return table.assign(**{column: table[column].map(_single_item) for column in lists})


def _single_item(cell: Any) -> Any:
    """The item of a list of one; a longer list or an object as text, which the reader decides."""
    if isinstance(cell, list | tuple | np.ndarray):
        return _single_item(cell[0]) if len(cell) == 1 else json.dumps(list(cell), default=str)
    return json.dumps(cell, default=str) if isinstance(cell, dict) else cell
