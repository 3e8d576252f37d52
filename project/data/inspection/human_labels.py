"""The column of people's labels: whether it can serve, the class of each row, and empty cells."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from project.config.init import InitConfig
from project.data.cells import single_label
from project.data.inspection.column_facts import MAX_CLASSES, ColumnFacts, filled, written
from project.data.inspection.label_set import LabelSet
from project.data.inspection.roles import Roles
from project.data.label_names import as_label
from project.data.pool_labels import NO_LABEL
from project.support.errors import AssayError

_NO_TEXT = {"na", "n/a", "#n/a", "nan", "<na>", "null"}
"""What programs write for a missing text."""


def check_label_column(roles: Roles, facts: Mapping[str, ColumnFacts], config: InitConfig) -> None:
    """Raise AssayError for a named column of labels whose values cannot be classes."""
    if roles.label == roles.text:
        raise AssayError(
            f"label_column must not be the column of the texts; both are {roles.text!r}. Set "
            "text_column or label_column to another one."
        )
    column = facts.get(roles.label)
    # Where a text may have several labels, the parts of a cell are looked at later.
    if column is None or (column.n_filled and (column.counts or roles.form)):
        return
    if not column.n_filled:
        raise AssayError(
            f"label_column {config.label_column!r} is empty in every row. Set label_column=none, "
            "or name another column."
        )
    raise AssayError(
        f"label_column {config.label_column!r} must hold classes; it has {column.n_distinct:,} "
        f"different values of {column.mean_characters:.0f} characters in the mean, and "
        f"{MAX_CLASSES} short ones are the most. Name another column."
    )


def classes_of_rows(table: pd.DataFrame, column: str, labels: LabelSet) -> pd.Series:
    """The class of each row that a person labelled; null for the others."""
    if not column:
        return pd.Series(None, index=table.index, dtype=object)
    cells = table[column].map(lambda cell: single_label(cell, labels.labels).label)
    has_value = filled(cells)
    known = cells.astype(object).where(has_value, None)
    distinct = {
        cell: as_label(written(cell), labels.labels, labels.values)
        for cell in known.dropna().unique()
    }
    return known.map(distinct, na_action="ignore").astype(object)


def with_empty_cells(table: pd.DataFrame, roles: Roles, labels: LabelSet) -> pd.DataFrame:
    """The table with empty cells where text and label hold a word for "nothing"."""
    empty = {roles.text: _NO_TEXT}
    if roles.form and roles.form.own:
        empty |= dict.fromkeys(roles.form.own.columns, NO_LABEL)
    elif roles.label and labels.no_label:
        empty[roles.label] = {value.casefold() for value in labels.no_label}
    changed = {}
    for name, words in empty.items():
        is_nothing = table[name].map(
            lambda cell, words=words: isinstance(cell, str) and cell.strip().casefold() in words
        )
        if is_nothing.any():
            changed[name] = table[name].astype(object).where(~is_nothing.astype(bool), None)
    return table.assign(**changed) if changed else table
