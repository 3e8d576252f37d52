"""Exports of doccano, and other tables in which the labels of a text are a list.

doccano writes ``"label": ["x"]`` (``labels`` or ``cats`` in some versions and programs) in JSON
lines, and ``x#y`` in CSV.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from project.data.cells import SEVERAL, Single, holds_lists, parsed, single_label
from project.labels.clients.rows import house_rows, identity_of
from project.support.errors import AssayError

_COLUMNS = ("label", "labels", "cats", "categories")
_JOINT = "#"


def is_export(table: pd.DataFrame) -> bool:
    """Whether some column of labels holds lists, or labels stand under another usual name."""
    column = _label_column(table)
    if column is None:
        return _has_numbered_annotations(table)
    return column != "label" or holds_lists(table[column]) or _has_joined(table[column])


def rows(table: pd.DataFrame, label_set: Sequence[str], title: str) -> pd.DataFrame:
    """The rows of an export (:mod:`project.labels.clients.rows`); several labels are no answer.

    Parameters
    ----------
    table
        The export.
    label_set
        The task's labels.
    title
        What the file is, for errors.

    Raises
    ------
    AssayError
        For spans in a text, and for labels that are numbers of doccano's own.
    """
    column = _label_column(table)
    if column is None:
        raise AssayError(
            f"{title} looks like an export of doccano with the numbers of labels. Export it as "
            "JSONL with the names of labels."
        )
    if any(_has_spans(cell) for cell in table[column]):
        raise AssayError(
            f"{title}: the column {column} holds parts of texts with a label each. A label of the "
            "whole text is needed: export a project of text classification."
        )
    answers = [_label(cell, label_set) for cell in table[column]]
    people = list(table["rater"]) if "rater" in table.columns else None
    made = house_rows(identity_of(table), answers, people)
    # A column of raters that the table had stays, also where it names one person.
    return made if people is None or "rater" in made else made.assign(rater=people)


def _label_column(table: pd.DataFrame) -> str | None:
    return next((name for name in _COLUMNS if name in table.columns), None)


def _label(cell: Any, label_set: Sequence[str]) -> Single:
    answer = single_label(cell, label_set)
    text = str(answer.label)
    parts = text.split(_JOINT)
    if (
        text not in label_set
        and len(parts) > 1
        and {part.strip() for part in parts} <= {*label_set}
    ):
        return Single(None, SEVERAL)
    return answer


def _has_joined(column: pd.Series) -> bool:
    return bool(column.map(lambda cell: isinstance(cell, str) and _JOINT in cell).any())


def _has_spans(cell: Any) -> bool:
    """Whether a cell holds spans: lists of a start, an end and a label, or mappings with these."""
    value = parsed(cell)
    if not isinstance(value, list | tuple):
        return False
    return any(
        isinstance(item, Mapping | list | tuple) and len(item) > 1 for item in map(parsed, value)
    )


def _has_numbered_annotations(table: pd.DataFrame) -> bool:
    """Whether this is the export of doccano's first versions, with ``annotations`` by number."""
    if not {"annotations", "text"} <= set(table.columns):
        return False
    first = next((parsed(cell) for cell in table["annotations"]), None)
    return isinstance(first, list)
