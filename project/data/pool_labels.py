"""The classes of a pool without a card: the human labels that occur."""

from __future__ import annotations

import pandas as pd

from project.data.label_names import folded_name
from project.support.errors import AssayError

_MAX_CLASSES_GUESSED = 50
NO_LABEL = {"na", "n/a", "#n/a", "nan", "<na>", "none", "null", "nil", "-", "--", "?", "missing"}
"""What programs and people write into a cell without a label; some of it may be a class."""


def labels_of(human: pd.Series, column: str) -> tuple[str, ...]:
    """The classes that occur among the human labels, in alphabetical order."""
    if not column:
        raise AssayError(
            "labels must name every class where no human_column shows them. Set "
            "labels=FIRST,SECOND,..."
        )
    known = human.dropna().map(_written)
    labels = tuple(sorted(set(known)))
    for label in labels:
        if label.casefold() in NO_LABEL:
            raise AssayError(
                f"human_column must hold labels, or nothing; {column!r} has {label!r} in "
                f"{int((known == label).sum())} rows. Leave these cells empty, or name every class "
                "in labels if this is one."
            )
    by_folded: dict[str, str] = {}
    for label in labels:
        other = by_folded.setdefault(folded_name(label), label)
        if other != label:
            raise AssayError(
                f"human_column must tell classes apart; {column!r} has {other!r} and {label!r}, "
                "which differ in upper and lower case or in form alone. Name every class in "
                "labels: other spellings then count as the class, unless both are named."
            )
    if len(labels) > _MAX_CLASSES_GUESSED:
        raise AssayError(
            f"human_column must hold labels; {column!r} has {len(labels)} different values, such "
            f"as {labels[0][:40]!r}. Name the right column, or every class in labels."
        )
    if len(labels) < 2:
        raise AssayError(
            f"human_column must hold at least two classes; {column!r} has "
            f"{', '.join(labels) or 'none'}. Name every class in labels."
        )
    return labels


def _written(value: object) -> str:
    """A value as the name of a class; 1.0 in a column with nulls is 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
