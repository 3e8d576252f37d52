"""Recorded labels of a task with several labels a text, read for one of them: yes or no."""

from __future__ import annotations

import fnmatch

import pandas as pd

from project.config.lists import split_list
from project.data.label_names import as_label
from project.data.one_label import ANSWERS, NO, PLACEHOLDER, YES, OneLabel, as_yes_no
from project.support.errors import AssayError


def of_one_label(
    table: pd.DataFrame, wanted: str, one: OneLabel
) -> tuple[pd.DataFrame, str, list[str]]:
    """The table with answers to the question of one label, and which columns hold them.

    Parameters
    ----------
    table
        The rows of the file.
    wanted
        The parameter ``recorded_columns``. A column holds sets of labels; with ``{label}`` in its
        name each label has one with yes and no, or 1 and 0; and a name stands for columns
        ``NAME.<label>`` with the probability of each label.
    one
        The label.

    Returns
    -------
    tuple[pd.DataFrame, str, list[str]]
        The table; the columns for :func:`project.annotation.engines.recorded_columns.draw_names`;
        and notes on cells that cannot be read.
    """
    names: list[str] = []
    notes: list[str] = []
    for part in split_list(wanted or "label"):
        if PLACEHOLDER in part:
            names.append(one.column(part))
        elif part not in table.columns and _shares(part, one) <= set(table.columns):
            table = _with_probabilities(table, part, one)
            names.append(part)
        else:
            sets = [name for name in table.columns if fnmatch.fnmatchcase(str(name), part)]
            for name in sets:
                cells = as_yes_no(
                    table[name],
                    one,
                    lambda value: as_label(value, one.labels, one.values),
                    refuses=False,
                )
                n_unread = int((cells.isna() & table[name].notna()).sum())
                if n_unread:
                    notes.append(
                        f"recorded: {n_unread} cells of {name!r} name a label that the task lacks, "
                        f"and not {one.label!r}; they count as missing."
                    )
                table = table.assign(**{name: cells})
            names += sets or [part]  # a name that fits no column is refused later
    return table, ",".join(names), notes


def _shares(name: str, one: OneLabel) -> set[str]:
    """The columns with the probability of every label."""
    return {f"{name}.{label}" for label in one.labels}


def _with_probabilities(table: pd.DataFrame, name: str, one: OneLabel) -> pd.DataFrame:
    """The table with the probabilities of no and yes. Raises AssayError for other numbers."""
    column = f"{name}.{one.label}"
    share = pd.to_numeric(table[column], errors="coerce")
    wrong = table[column].notna() & ~share.between(0, 1)
    if wrong.any():
        raise AssayError(
            f"column {column!r} must hold probabilities from 0 to 1; {int(wrong.sum())} cells do "
            f"not, the first is {str(table[column][wrong].iloc[0])[:40]!r}. Correct them."
        )
    # Columns of a label that is called yes or no would have the same name.
    rest = table.drop(columns=[f"{name}.{answer}" for answer in ANSWERS], errors="ignore")
    return rest.assign(**{f"{name}.{NO}": 1 - share, f"{name}.{YES}": share})
