"""Whether the numbers in a column of labels are indices into the label set.

Data sets of the hub count classes from 0, other tools from 1, and five stars are numbers, too. A
number alone does not tell which; a whole column often does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from project.support.errors import AssayError

_MAX_SHOWN = 6  # numbers in an error


def are_indices(
    column: pd.Series,
    label_set: Sequence[str],
    values: Mapping[str, str],
    title: str,
) -> bool:
    """Whether all values of a column are indices into the label set, counted from 0.

    Parameters
    ----------
    column
        The values; nulls are left out.
    label_set
        The labels in the order of their indices.
    values
        The label for each value that the data write instead of it, of the card. Where there are
        any, no number is an index.
    title
        What the column is, for errors.

    Returns
    -------
    bool
        Whether they are. Where some values are names, none is an index.

    Raises
    ------
    AssayError
        If all values are whole numbers that may be counted in another way.
    """
    has_digits = any(character.isdigit() for label in label_set for character in label)
    numbers = [whole_number(value) for value in column.dropna().unique()]
    if values or has_digits or not numbers or None in numbers:
        return False
    known = sorted(number for number in numbers if number is not None)
    n_classes = len(label_set)
    if known[0] == 0 and known[-1] < n_classes:
        return True
    shown = ", ".join(map(str, known[:_MAX_SHOWN]))
    example = ", ".join(
        f'"{known[0] + index}": {label}' for index, label in enumerate(label_set[:2])
    )
    raise AssayError(
        f"{title} must hold the names of the classes; it has the numbers {shown}"
        f"{', ...' if len(known) > _MAX_SHOWN else ''}, and which class each stands for is not "
        f"known. Say it under 'values' in the task card, for example values: {{{example}, ...}}."
    )


def whole_number(value: Any) -> int | None:
    """The whole number that a value is or writes, also as 1.0; None if it is none."""
    number = re.fullmatch(r"([0-9]+)(\.0+)?", str(value).strip())
    return int(number[1]) if number else None
