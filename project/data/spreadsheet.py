"""Cells that a spreadsheet leaves as they are.

A spreadsheet runs a cell that begins like a formula, and turns the id ``007`` into 7 and ``1-2``
into a date. Ids get a prefix that makes them plain text, and lose it when they come back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

_PREFIX = "id:"
# Digits with what stands in numbers, dates and times; the names of months; two words.
_MONTHS = "jan|feb|fév|fev|mar|mär|mrz|apr|avr|abr|may|mai|mag|jun|jui|giu|jul|lug|aug|aou|aoû|ago"
_MONTHS += "|sep|set|oct|okt|ott|out|nov|dec|dez|déc|dic|ene|gen"
_CHANGED = re.compile(
    rf"[\d\s.,:/%$€£¥()+\-]*\d[\d\s.,:/%$€£¥()+\-]*(e[+\-]?\d+|[ap]m)?"
    rf"|[\d\s.,/\-]*({_MONTHS})[^\W\d_]*[\d\s.,/\-]*"
    r"|true|false|wahr|falsch|vrai|faux",
    re.IGNORECASE,
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe_id(example_id: str) -> str:
    """An id as a spreadsheet keeps it; :func:`original_ids` is the inverse."""
    is_changed = (
        _CHANGED.fullmatch(example_id)
        or example_id.startswith(_FORMULA)
        or example_id != example_id.strip()
    )
    return f"{_PREFIX}{example_id}" if is_changed else example_id


def safe_text(text: object) -> object:
    """A text with an apostrophe before what would run as a formula; other values unchanged."""
    if isinstance(text, str) and text.startswith(_FORMULA):
        return f"'{text}"
    return text


def original_ids(ids: pd.Series, known: Sequence[str]) -> pd.Series:
    """The ids without the prefix of :func:`safe_id`; ids that are ``known`` as they stand stay.

    Parameters
    ----------
    ids
        Ids as texts.
    known
        The ids of the task.
    """
    names = set(known)
    return ids.map(
        lambda name: (
            name.removeprefix(_PREFIX)
            if name not in names and name.removeprefix(_PREFIX) in names
            else name
        )
    )


def csv_for_spreadsheets(questions: pd.DataFrame) -> bytes:
    """A table of questions as CSV that a spreadsheet opens and saves without a change.

    It begins with a byte order mark, without which Excel takes UTF-8 for another encoding.

    Parameters
    ----------
    questions
        A table with ``example_id``, ``text`` and further columns of texts.
    """
    ids = list(questions["example_id"])
    # Where ids begin with the prefix already, it would not be known which one to take away.
    if not any(name.startswith(_PREFIX) for name in ids):
        ids = [safe_id(name) for name in ids]
    table = questions.assign(example_id=ids)
    for column in table.columns.drop("example_id"):
        table[column] = np.array([safe_text(cell) for cell in table[column]], dtype=object)
    return b"\xef\xbb\xbf" + table.to_csv(index=False).encode("utf-8", "surrogatepass")
