"""The label that a value in the data stands for, however it is written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

_WHOLE_NUMBER = re.compile(r"^([+-]?[0-9]+)\.0+$")


def as_label(
    value: Any, label_set: Sequence[str], values: Mapping[str, str], *, indices: bool = False
) -> str | None:
    """The label that a value in the data stands for, None if the value is not known.

    A value may be a label or a key of ``values``. Where none of them is written exactly so, upper
    and lower case, forms of Unicode and ß and ss are the same, unless that would fit two labels.

    Parameters
    ----------
    value
        What stands in the data: a text or a number.
    label_set
        The labels of the task in the order of their indices.
    values
        The label for each value that the data write instead of it.
    indices
        Whether the column holds indices into ``label_set``
        (:func:`project.data.class_indices.are_indices`).
    """
    text = str(value).strip()
    names = {label: label for label in label_set} | dict(values)
    # A column of whole numbers with a null in it is read as floats, and written as such: 1.0 is 1.
    whole = _as_whole_number(text)
    exact = names.get(text, names.get(whole))
    if exact is not None:
        return exact
    folded = {
        label
        for name, label in names.items()
        if folded_name(name) == folded_name(text) or _as_whole_number(name) == whole
    }
    if len(folded) == 1:
        return folded.pop()
    text = whole
    if indices and text.isdecimal() and int(text) < len(label_set):
        return label_set[int(text)]
    return None


def _as_whole_number(text: str) -> str:
    """The text without decimals where all of them are zeros, as in 1.0; else the text."""
    return _WHOLE_NUMBER.sub(r"\1", text)


def folded_name(text: str) -> str:
    """A name without differences of case, of Unicode's forms, and between ß and ss."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
