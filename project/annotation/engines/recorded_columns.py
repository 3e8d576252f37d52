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
_MAX_SUM_ERROR = 0.01


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
        Where a part of ``wanted`` fits no column.
    """
    columns = [str(column) for column in table.columns]
    first = f".{label_set[0]}"
    candidates = [column.removesuffix(first) for column in columns if column.endswith(first)]
    group_of = {
        column: name
        for name in candidates
        if all(column in columns for column in probability_columns(name, label_set))
        for column in probability_columns(name, label_set)
    }
    draw_of = {column: group_of.get(column, column) for column in columns}
    names: list[str] = []
    for part in (part.strip() for part in (wanted or "label").split(",")):
        if "*" in part:
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
        names += [draw for draw in dict.fromkeys(matches) if draw not in names]
    return names


def log_probabilities(rows: pd.DataFrame, name: str, label_set: Sequence[str]) -> Floats:
    """Natural log probabilities of the group ``name``, ``(n_rows, n_classes)``, normalised.

    Raises AssayError for negative values and for rows that do not sum to 1 within 0.01.
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
    is_off = ~np.isnan(total) & (np.abs(total - 1) > _MAX_SUM_ERROR)
    if is_off.any():
        raise AssayError(
            f"recorded columns {name}.* must sum to 1 in every row; got {total[is_off][0]:.4g}. "
            "Normalise them first."
        )
    return values - np.log(total)[:, None]
