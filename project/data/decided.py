"""Labels in the data as annotation programs write them: lists of one, and rejected rows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from project.data.cells import (
    DECISION,
    SEVERAL,
    holds_decisions,
    holds_lists,
    parsed,
    single_label,
    undecided,
)
from project.stats.types import Mask
from project.support.errors import AssayError

_SUBMITTED = "submitted"


def not_accepted(table: pd.DataFrame, used: Collection[str]) -> Mask:
    """Which rows somebody rejected or ignored ``(n,)``.

    Parameters
    ----------
    table
        Data or recorded labels.
    used
        Columns that are read as texts, labels or ids: where ``answer`` is one of them, it is no
        decision.
    """
    if DECISION in used or not holds_decisions(table):
        return np.zeros(len(table), dtype=bool)
    return np.asarray(undecided(table) != "", dtype=bool)


def note_on_decisions(rejected: Mask, outcome: str) -> tuple[str, ...]:
    """A note on the rows that nobody accepted; ``outcome`` says what becomes of them."""
    n_rejected = int(rejected.sum())
    if not n_rejected:
        return ()
    return (
        f"{n_rejected} of {len(rejected)} rows are not accepted in the column {DECISION!r} "
        f"(reject or ignore); {outcome}.",
    )


def with_single_labels(
    table: pd.DataFrame, column: str, label_set: Collection[str], *, refuses: bool
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The table with the label in place of a list of one, and a note on cells with several labels.

    Parameters
    ----------
    table
        The data.
    column
        Their column of labels.
    label_set
        The labels, as far as they are known.
    refuses
        Whether several labels in a cell are an error; else the cell counts as empty.

    Raises
    ------
    AssayError
        If ``refuses`` and a cell has several labels.
    """
    if not holds_lists(table[column]):
        return table, ()
    cells = _submitted(table, column)
    answers = [single_label(cell, label_set) for cell in cells]
    several = np.array([answer.reason == SEVERAL for answer in answers], dtype=bool)
    if several.any() and refuses:
        row = int(several.argmax())
        raise AssayError(
            f"label_column {column!r} must hold one label in a row; {int(several.sum())} of "
            f"{len(several)} have several, the first is row {row + 1}: "
            f"{str(table[column].iloc[row])[:60]}. Correct them, or leave them out with "
            "bad_rows=drop."
        )
    labels = pd.Series([answer.label for answer in answers], index=table.index, dtype=object)
    note = f"{int(several.sum())} rows have several labels and count as rows without one."
    return table.assign(**{column: labels}), (note,) if several.any() else ()


def _submitted(table: pd.DataFrame, column: str) -> list[Any]:
    """The cells of a column of lists; without discarded responses and drafts if it is Argilla's."""
    status = f"{column}.status"
    if status not in table.columns:
        return list(table[column])
    return [
        [label for label, state in zip(labels, states, strict=True) if state == _SUBMITTED]
        if isinstance(labels, list) and isinstance(states, list) and len(labels) == len(states)
        else labels
        for labels, states in zip(table[column].map(parsed), table[status].map(parsed), strict=True)
    ]


def with_decided_labels(
    table: pd.DataFrame, column: str, text_column: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The table without labels that are rejected, or several in a cell, and notes on both.

    Parameters
    ----------
    table
        The texts of a pool.
    column
        Their column of human labels; "" for none.
    text_column
        Their column of texts.
    """
    if not column:
        return table, ()
    rejected = not_accepted(table, (column, text_column))
    labels = table[column].astype(object).where(~rejected, None)
    decided, notes = with_single_labels(table.assign(**{column: labels}), column, (), refuses=False)
    return decided, note_on_decisions(rejected, "they have no human label") + notes
