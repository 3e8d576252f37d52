"""The columns of a file of recorded labels: which draws they are, and their probabilities."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from project.stats.types import Floats
from project.support.errors import AssayError, unknown_value

LOG_SUFFIX = "log_probability"
"""Groups whose name ends like this hold natural logs."""
MAX_SUM_ERROR = 0.01
"""How far the probabilities of a row may be from a sum of 1."""


def probability_columns(name: str, label_set: Sequence[str]) -> list[str]:
    """The columns of the group ``name``, classes in the order of ``label_set``."""
    return [f"{name}.{label}" for label in label_set]


def is_group(name: str, columns: Collection[str]) -> bool:
    """Whether the draw ``name`` is a group of probability columns, not a column of labels."""
    return name not in columns


def draw_names(table: pd.DataFrame, wanted: str, label_set: Sequence[str]) -> list[str]:
    """The draws that ``wanted`` names, each once.

    Parameters
    ----------
    table
        The file.
    wanted
        Columns of labels and names of groups, separated by commas; ``*`` stands for any
        characters and is expanded in the order of the file; empty means ``label``.
    label_set
        A group NAME has a column ``NAME.<label>`` for each of them.

    Raises
    ------
    AssayError
        If a part of ``wanted`` fits no column.
    """
    columns = [str(column) for column in table.columns]
    group_of = _groups(columns, label_set)
    draw_of = {column: group_of.get(column, column) for column in columns}
    names: dict[str, None] = {}  # a set in the order of the first insertions
    for text in (wanted or "label").split(","):
        part = text.strip()
        if "*" in part:
            # The pattern may name the columns of a group, or the group.
            matches = [
                draw
                for column, draw in draw_of.items()
                if fnmatch.fnmatchcase(column, part) or fnmatch.fnmatchcase(draw, part)
            ]
        else:
            matches = [part] if part in columns or part in group_of.values() else []
        if not matches:
            raise unknown_value(
                "recorded_columns",
                part,
                columns,
                f"A group of probabilities needs the columns {part}.{label_set[0]} and so on.",
            )
        names |= dict.fromkeys(matches)
    return list(names)


def _groups(columns: Sequence[str], label_set: Sequence[str]) -> dict[str, str]:
    """The name of the group of every probability column."""
    suffix = f".{label_set[0]}"
    group_of: dict[str, str] = {}
    for column in columns:
        name = column.removesuffix(suffix)
        members = probability_columns(name, label_set)
        # A column that merely ends like a label makes no group: all labels must have a column.
        if column.endswith(suffix) and set(members) <= set(columns):
            group_of |= dict.fromkeys(members, name)
    return group_of


def log_probabilities(rows: pd.DataFrame, name: str, label_set: Sequence[str]) -> Floats:
    """Natural log probabilities of a group, ``(n_rows, n_classes)``, normalised; nan for nulls.

    Parameters
    ----------
    rows
        Rows of the file.
    name
        Name of the group; its columns hold logs if the name ends in ``log_probability``.
    label_set
        The classes.

    Raises
    ------
    AssayError
        If a probability is negative, or a row does not sum to 1 within 0.01.
    """
    values = rows[probability_columns(name, label_set)].to_numpy(dtype=np.float64)
    if not name.endswith(LOG_SUFFIX):
        if np.nanmin(values, initial=0.0) < 0:
            raise AssayError(
                f"recorded columns {name}.* must hold probabilities; {np.nanmin(values):g} is "
                f"negative. Name them ...{LOG_SUFFIX} if they are logs."
            )
        with np.errstate(divide="ignore"):
            values = np.log(values)
    total = np.exp(values).sum(axis=1)
    is_off = ~np.isnan(total) & (np.abs(total - 1) > MAX_SUM_ERROR)
    if is_off.any():
        raise AssayError(
            f"recorded columns {name}.* must sum to 1 in every row; got {total[is_off][0]:.4g}. "
            "Normalise them first."
        )
    return values - np.log(total)[:, None]
