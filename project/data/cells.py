"""Cells of labels as annotation programs write them: lists, and rows that a person rejected."""

from __future__ import annotations

import ast
import contextlib
import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

SEVERAL = "have several labels"
"""Why a cell with more than one label is no answer."""
DECISION = "answer"
"""Column in which Prodigy writes what a person decided about a row."""
_DECISIONS = {"accept": "", "reject": "are rejected", "ignore": "are ignored"}


class Single(NamedTuple):
    """The one label in a cell, None for none; ``reason`` says why there is none, "" if empty."""

    label: Any
    reason: str = ""


def is_blank(cell: Any) -> bool:
    """Whether a cell holds nothing: null, blank text, or an empty list."""
    if isinstance(cell, list | tuple | dict | set | np.ndarray):
        return len(cell) == 0
    return bool(pd.isna(cell)) or (isinstance(cell, str) and not cell.strip())


def parsed(cell: Any) -> Any:
    """What a cell writes: the list or mapping in a text, as CSV files hold them; else the cell."""
    if isinstance(cell, np.ndarray):
        return cell.tolist()
    if not isinstance(cell, str) or not cell.strip().startswith(("[", "{")):
        return cell
    with contextlib.suppress(ValueError):
        return json.loads(cell)
    with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
        return ast.literal_eval(cell.strip())
    return cell


def single_label(cell: Any, label_set: Collection[str] = ()) -> Single:
    """The label in a cell that may be a list of labels, or a mapping from labels to 0 and 1.

    A list in which one label stands several times has one label. A text that is one of
    ``label_set`` is that label, also where it looks like a list.
    """
    value = cell if isinstance(cell, str) and cell in label_set else parsed(cell)
    if isinstance(value, Mapping) and isinstance(value.get("choices"), list):  # Label Studio
        value = value["choices"]
    if isinstance(value, Mapping) and all(
        isinstance(n, bool | int | float) for n in value.values()
    ):
        # Numbers below one half say that the text does not have the label.
        value = [key for key, share in value.items() if share >= 0.5]
    if not isinstance(value, list | tuple):
        return Single(None if is_blank(value) else _scalar(value))
    labels = {str(item).strip(): _scalar(item) for item in value if not is_blank(item)}
    if len(labels) > 1:
        return Single(None, SEVERAL)
    return Single(next(iter(labels.values()), None))


def _scalar(item: Any) -> Any:
    """The label in a cell; a list or mapping as text, which is later refused as no label."""
    return str(item) if isinstance(item, list | tuple | Mapping | set) else item


def holds_lists(column: pd.Series) -> bool:
    """Whether some cells are lists or mappings, or texts that write such."""
    if column.dtype != object and not isinstance(column.dtype, pd.StringDtype):
        return False
    is_list = column.map(lambda cell: isinstance(parsed(cell), list | tuple | Mapping))
    return bool(is_list.any())


def holds_decisions(table: pd.DataFrame) -> bool:
    """Whether the column ``answer`` holds accept, reject and ignore, and nothing else."""
    if DECISION not in table.columns:
        return False
    words = {str(cell).strip().casefold() for cell in table[DECISION] if not is_blank(cell)}
    return bool(words) and words <= _DECISIONS.keys()


def undecided(table: pd.DataFrame) -> pd.Series:
    """Why each row is no answer: it was rejected or ignored; "" for an accepted row.

    ``table`` has a column of decisions (:func:`holds_decisions`). A row without a decision was not
    answered.
    """
    return table[DECISION].map(
        lambda cell: "have no decision" if is_blank(cell) else _DECISIONS[cell.strip().casefold()]
    )
