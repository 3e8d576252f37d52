"""One label of a task with several labels a text, as a question of its own: yes or no.

A label of such a task is judged like a task of two classes over the same texts. So all that Assay
knows of classes holds for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from project.data.cells import is_blank, parsed
from project.support.errors import AssayError, unknown_value

NO = "no"
YES = "yes"
ANSWERS = (NO, YES)
PLACEHOLDER = "{label}"
"""In the name of a column: each label has a column of its own with yes or no, 1 or 0."""
_NONE = "none"  # what people write where no label fits
IN_COLUMNS = {"0": NO, "1": YES, "false": NO, "true": YES}
"""What such a column may write for no and yes."""


class OneLabel(NamedTuple):
    """Which label of a card is asked about.

    Attributes
    ----------
    label
        The label.
    labels
        All labels of the card.
    values
        The label for each value that the data write instead of it.
    separator
        What stands between the labels of a cell.
    task
        Name of the card.
    """

    label: str
    labels: tuple[str, ...]
    values: Mapping[str, str]
    separator: str
    task: str

    def column(self, name: str) -> str:
        """A name of a column, or of several, with the label in its place."""
        return name.replace(PLACEHOLDER, self.label)


def chosen_label(label: str, labels: Sequence[str], task: str) -> str:
    """``label``, which must be one of the card's. Raises AssayError if it is empty or another."""
    if not label:
        raise AssayError(
            f"label must name one label of the task {task}, whose texts may have several: "
            f"{', '.join(labels)}. Set label=NAME, or judge all of them with the entry point suite."
        )
    if label not in labels:
        raise unknown_value("label", label, labels)
    return label


def as_yes_no(
    column: pd.Series, one: OneLabel, read: Callable[[Any], str | None], *, refuses: bool
) -> pd.Series:
    """Whether each cell names the label: yes, no, or null.

    A cell is a list, a mapping from labels to 0 and 1, or a text with separators. A null or a blank
    text is not known; an empty list and the word none name no label.

    Parameters
    ----------
    column
        The cells.
    one
        The label.
    read
        The card's label for one written label, None if it is none
        (:func:`project.data.label_names.as_label`).
    refuses
        Whether a label that the card lacks is an error; else the cell is null, unless it names the
        label all the same.

    Raises
    ------
    AssayError
        If ``refuses`` and a cell names a label that the card lacks.
    """
    found: list[str | None] = []
    unknown: Counter[str] = Counter()
    cache: dict[str, str | None] = {}
    for cell in column:
        names = _names(cell, one)
        if names is None:
            found.append(None)
            continue
        labels = []
        for name in names:
            if name not in cache:
                cache[name] = read(name)
            labels.append(cache[name])
            unknown[name] += cache[name] is None
        if one.label in labels:
            found.append(YES)
        else:
            found.append(None if None in labels else NO)
    wrong = [name for name, n in unknown.items() if n]
    if wrong and refuses:
        raise AssayError(
            f"column {column.name!r} must hold labels of the task {one.task}, with "
            f"{one.separator!r} between them; {unknown[wrong[0]]} cells name {wrong[0][:60]!r}. "
            "Map it to a label under 'values' in the task card, add it to 'labels', or set "
            "'separator'."
        )
    return pd.Series(found, index=column.index, name=column.name, dtype=object)


def _names(cell: Any, one: OneLabel) -> list[str] | None:
    """The labels that a cell writes, None for a null."""
    value = parsed(cell)
    if isinstance(value, Mapping) and isinstance(value.get("choices"), list):  # Label Studio
        value = value["choices"]
    if isinstance(value, Mapping):
        value = [key for key, share in value.items() if share is True or _at_least_half(share)]
    if isinstance(value, list | tuple | set | np.ndarray):
        return [str(item).strip() for item in value if not is_blank(item)]
    if value is None or is_blank(value):
        return None
    names = [part.strip() for part in str(value).split(one.separator) if part.strip()]
    says_none = [name.casefold() for name in names] == [_NONE] and _NONE not in one.labels
    return [] if says_none else names


def _at_least_half(share: Any) -> bool:
    return isinstance(share, int | float) and share >= 0.5
