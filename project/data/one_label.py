"""One label of a task with several labels a text, as a question of its own: yes or no.

A label of such a task is judged like a task of two classes over the same texts. So all that Assay
knows of classes holds for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from project.data.cells import is_blank, parsed
from project.data.label_names import as_label
from project.stats.types import Floats
from project.support.errors import AssayError, unknown_value

NO = "no"
YES = "yes"
ANSWERS = (NO, YES)
PLACEHOLDER = "{label}"
"""In the name of a column: each label has a column of its own with yes or no, 1 or 0."""
_NONE = "none"  # what people write where no label fits, unless a label is written so
_HALF = 0.5  # of a share, from which the label fits
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


def check_labels_of_sets(labels: Sequence[str], separator: str) -> None:
    """Raise ValueError for labels of a card that cannot be told apart from what cells write."""
    for label in labels:
        if separator in label:
            raise ValueError(
                f"the label {label!r} has the separator {separator!r} in it. Set 'separator' to "
                "what no label has, such as '|'."
            )
        if label.casefold() in ANSWERS:
            raise ValueError(
                f"a label of several must not be called {label!r}, which is an answer to the "
                "question of each. Write another name, and map the old one to it under 'values'."
            )


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


def as_yes_no(column: pd.Series, one: OneLabel, *, refuses: bool) -> pd.Series:
    """Whether each cell names the label: yes, no, or null.

    A cell is a list, a mapping from labels to 0 and 1, or a text with separators. A null, a blank
    text and a separator alone are not known; an empty list and the word none name no label.

    Parameters
    ----------
    column
        The cells.
    one
        The label.
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
        names = names_in(cell, one.separator)
        if names is None:
            found.append(None)
            continue
        labels = _read(names, one, cache)
        unknown.update(name for name, label in zip(names, labels, strict=False) if label is None)
        if one.label in labels:
            found.append(YES)
        else:
            found.append(None if None in labels else NO)
    if unknown and refuses:
        wrong, n_cells = next(iter(unknown.items()))
        raise AssayError(
            f"column {column.name!r} must hold labels of the task {one.task}, with "
            f"{one.separator!r} between them; {n_cells} cells name {wrong[:60]!r}. "
            "Map it to a label under 'values' in the task card, add it to 'labels', or set "
            "'separator'."
        )
    return pd.Series(found, index=column.index, name=column.name, dtype=object)


def label_answers(column: pd.Series, one: OneLabel) -> Floats:
    """Which labels each cell names ``(n_cells, n_labels)``: 1 or 0, nan where it is not known.

    The cells are those of :func:`as_yes_no`; a cell that names a label which the card lacks is not
    known.
    """
    answers = np.full((len(column), len(one.labels)), np.nan)
    place = {label: index for index, label in enumerate(one.labels)}
    cache: dict[str, str | None] = {}
    for row, cell in enumerate(column):
        names = names_in(cell, one.separator)
        labels = None if names is None else _read(names, one, cache)
        if labels is not None and None not in labels:
            answers[row] = 0
            answers[row, [place[str(label)] for label in labels]] = 1
    return answers


def _read(names: Sequence[str], one: OneLabel, cache: dict[str, str | None]) -> list[str | None]:
    """The label that each name stands for, None for one that the card lacks.

    The word none alone stands for no label. ``cache`` holds what was read before.
    """
    for name in names:
        if name not in cache:
            cache[name] = as_label(name, one.labels, one.values)
    if says_none(names) and not any(cache[name] for name in names):
        return []
    return [cache[name] for name in names]


def says_none(names: Sequence[str]) -> bool:
    """Whether a cell that writes these names says that no label fits, unless one is called so."""
    return [name.casefold() for name in names] in ([], [_NONE])


def answers_or_sets(column: pd.Series, one: OneLabel, *, refuses: bool) -> pd.Series:
    """As :func:`as_yes_no`, of cells that may also answer the question of the one label: yes or no.

    Raises
    ------
    AssayError
        If ``refuses``: as :func:`as_yes_no`, and for a cell such as 1 that says yes and is also a
        label of the card.
    """
    cells = column.astype(object)
    own = cells.map(lambda cell: _own_answer(cell, one, refuses=refuses))
    return own.where(own.notna(), as_yes_no(cells.where(own.isna(), None), one, refuses=refuses))


def _own_answer(cell: Any, one: OneLabel, *, refuses: bool) -> str | None:
    """The answer to the question of the one label, None if the cell is none."""
    answer = None
    if isinstance(cell, str | int | float) and not is_blank(cell):
        answer = as_label(cell, ANSWERS, IN_COLUMNS)
    label = as_label(cell, one.labels, one.values) if answer else None
    if label and refuses:
        raise AssayError(
            f"a cell {str(cell)!r} may say {answer} to the label {one.label} or name the label "
            f'{label}. Write yes or no, or lists of labels such as ["{label}"].'
        )
    return None if label else answer


def names_in(cell: Any, separator: str) -> list[str] | None:
    """The labels that a cell writes, as they are written; None for a null."""
    value = parsed(cell)
    if isinstance(value, Mapping) and isinstance(value.get("choices"), list):  # Label Studio
        value = value["choices"]
    if isinstance(value, Mapping):
        value = _labels_of_shares(value)
    if isinstance(value, list | tuple | set | np.ndarray):
        return [str(item).strip() for item in value if not is_blank(item)]
    if value is None or is_blank(value):
        return None
    return [part.strip() for part in str(value).split(separator) if part.strip()] or None


def _labels_of_shares(shares: Mapping[Any, Any]) -> list[str]:
    """The labels with at least one half; what is no share stands beside its label, unread.

    A null is no share: tables of mappings write it for labels that a mapping lacks.
    """
    found = []
    for label, written in shares.items():
        if is_blank(written):
            continue
        word = IN_COLUMNS.get(str(written).strip().casefold(), str(written).strip().casefold())
        share = pd.to_numeric({NO: "0", YES: "1"}.get(word, word), errors="coerce")
        if not 0 <= share <= 1:
            found.append(f"{label}: {written}")
        elif share >= _HALF:
            found.append(str(label))
    return found
