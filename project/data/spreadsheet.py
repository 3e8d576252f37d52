"""Cells that a spreadsheet leaves as they are.

A spreadsheet runs a cell that begins like a formula, and turns the id ``007`` into 7 and ``1-2``
into a date. Ids get a prefix that makes them plain text, and lose it when they come back.
"""

from __future__ import annotations

import csv
import io
import math
import numbers
import re
from collections.abc import Sequence
from typing import Any

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
# What spreadsheets run, also in the wide characters of East Asian keyboards, and what they skip.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

_PLAIN = re.compile(r"[+-]|[+-]?[0-9]+([.,][0-9]+)?")  # a dash and numbers run nothing


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
    if isinstance(text, str) and text.startswith(_FORMULA) and not _PLAIN.fullmatch(text):
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


def with_choices(questions: pd.DataFrame, label_set: Sequence[str]) -> pd.DataFrame:
    """Questions with one more column, the labels from which a person chooses."""
    return questions.assign(allowed_labels=" | ".join(label_set))


def csv_for_spreadsheets(table: pd.DataFrame) -> bytes:
    """A table as CSV that a spreadsheet opens and saves without a change.

    It begins with a byte order mark, without which Excel takes UTF-8 for another encoding. Every
    text is quoted: line breaks of all kinds stay in it, also a carriage return alone, which the csv
    module of Python before 3.11.9 writes without quotes. Floats have six digits.

    Parameters
    ----------
    table
        Texts, numbers and nulls; the column ``example_id``, if there is one, holds ids as texts.
    """
    columns: list[list[Any]] = [[_cell(value) for value in table[name]] for name in table.columns]
    if "example_id" in table:
        ids = [str(name) for name in table["example_id"]]
        # Where ids begin with the prefix already, it would not be known which one to take away.
        if not any(name.startswith(_PREFIX) for name in ids):
            ids = [safe_id(name) for name in ids]
        columns[list(table.columns).index("example_id")] = ids
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow([safe_text(str(name)) for name in table.columns])
    writer.writerows(zip(*columns, strict=True))
    return b"\xef\xbb\xbf" + file.getvalue().encode("utf-8", "surrogatepass")


def _cell(value: Any) -> Any:
    """A value as the csv module writes it: a safe text, a number, or an empty cell."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        rounded = float(f"{value:.6g}")
        if math.isfinite(rounded):
            return int(rounded) if rounded.is_integer() else rounded
        return "" if math.isnan(rounded) else str(rounded)
    if value is None or value is pd.NA:
        return ""
    return safe_text(str(value))
