"""Recorded labels of a task with several labels a text, read for one of them: yes or no."""

from __future__ import annotations

import pandas as pd

from project.annotation.engines.recorded_columns import draw_names, is_group
from project.config.lists import split_list
from project.data.cells import is_blank
from project.data.one_label import ANSWERS, NO, PLACEHOLDER, YES, OneLabel, answers_or_sets
from project.support.errors import AssayError


def of_one_label(
    table: pd.DataFrame, wanted: str, one: OneLabel | None
) -> tuple[pd.DataFrame, str, list[str]]:
    """The table with answers to the question of one label, and which columns hold them.

    Parameters
    ----------
    table
        The rows of the file.
    wanted
        The parameter ``recorded_columns``. A column holds sets of labels, or yes and no; with
        ``{label}`` in its name each label has one with yes and no, or 1 and 0; and a name stands
        for columns ``NAME.<label>`` with the probability of each label.
    one
        The label; None for a task whose texts have one label each, where nothing changes.

    Returns
    -------
    tuple[pd.DataFrame, str, list[str]]
        The table; the columns for :func:`project.annotation.engines.recorded_columns.draw_names`;
        and notes on cells that cannot be read.
    """
    if one is None:
        return table, wanted, []
    names: list[str] = []
    notes: list[str] = []
    for part in split_list(wanted or "label"):
        if PLACEHOLDER in part:
            names.append(_of_label(part, one))
            continue
        for name in draw_names(table, part, one.labels):
            if is_group(name, table.columns):
                table = _with_probabilities(table, name, one)
            else:
                table, n_unread = _with_answers(table, name, one)
                notes += [_unread(name, n_unread, one)] * (n_unread > 0)
            names.append(name)
    return table, ",".join(names), notes


def draw_as_written(draw: str, wanted: str, one: OneLabel | None) -> str:
    """The name of a draw without the label, so that one LLM has one name for all labels."""
    if one is None:
        return draw
    written = [part for part in split_list(wanted) if PLACEHOLDER in part]
    return next((part for part in written if one.column(part) == draw), draw)


def _of_label(part: str, one: OneLabel) -> str:
    """The column of the label. Raises AssayError where its name would be read as a pattern."""
    if "," in one.label or "*" in one.label:
        raise AssayError(
            f"recorded_columns must not have {PLACEHOLDER} where a label has a comma or an "
            f"asterisk; got {part} and the label {one.label!r}. Write the sets of labels in one "
            "column, or rename the label in the card."
        )
    return one.column(part)


def _with_answers(table: pd.DataFrame, name: str, one: OneLabel) -> tuple[pd.DataFrame, int]:
    """The table with yes and no in a column, and how many of its cells cannot be read."""
    cells = answers_or_sets(table[name], one, refuses=False)
    n_unread = int((cells.isna() & ~table[name].map(is_blank)).sum())
    return table.assign(**{name: cells}), n_unread


def _unread(name: str, n_unread: int, one: OneLabel) -> str:
    return (
        f"recorded: {n_unread} cells of {name!r} name a label that the task lacks, and not "
        f"{one.label!r}; they count as missing."
    )


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
