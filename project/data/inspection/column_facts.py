"""What the cells of a column look like: texts, classes, numbers, dates or ids."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from project.data.cells import is_blank, parsed, single_label
from project.data.inspection.label_sets import SetFacts, set_facts
from project.stats.types import Mask

MAX_PROFILED = 20_000  # cells of a column that are looked at one by one
MAX_CLASSES = 200
"""A column with more different values is not taken for one of classes."""
_MAX_NAME = 60  # characters of a class
_MOST = 0.9  # of the cells, that decide what a column holds
_NUMBER = re.compile(r"[+-]?\d{1,3}(?:[.,\s']\d{3})*(?:[.,]\d+)?|[+-]?\d*[.,]?\d+(?:[eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_DATE = re.compile(
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})"
    r"(?:[T ]\d{1,2}:\d{2}.*)?"
)
_ADDRESS = re.compile(r"https?://\S+|www\.\S+")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_TOKEN = re.compile(r"[\w.:/@#-]*\d[\w.:/@#-]*|[0-9a-fA-F-]{16,}")  # one word with a digit
_FORMS = (("number", _NUMBER), ("date", _DATE), ("address", _ADDRESS), ("e-mail", _EMAIL))


class ColumnFacts(NamedTuple):
    """One column.

    Attributes
    ----------
    name
        Its name.
    kind
        ``text``, ``number``, ``date``, ``address``, ``e-mail``, ``token`` (single words with a
        digit), ``list``, ``other`` or ``empty``.
    n_filled, n_distinct
        Cells that hold something, and how many different ones there are.
    mean_characters, mean_words
        Of the filled cells, as texts.
    counts
        How often each value occurs, the most frequent first; empty where there are more than 200,
        or where values are too long for names of classes.
    has_decimal_commas
        Whether numbers have a comma before their decimals.
    n_several
        Cells that hold a list of several values.
    sets
        What the cells hold as sets of labels; None where they do not look like such.
    """

    name: str
    kind: str
    n_filled: int
    n_distinct: int
    mean_characters: float
    mean_words: float
    counts: dict[str, int]
    has_decimal_commas: bool = False
    n_several: int = 0
    sets: SetFacts | None = None

    @property
    def are_sets(self) -> bool:
        """Whether the cells are taken for sets of labels."""
        return self.sets is not None and not self.sets.doubt

    @property
    def is_unique(self) -> bool:
        """Whether no value stands twice."""
        return self.n_distinct == self.n_filled > 0


def filled(column: pd.Series) -> Mask:
    """Which cells hold something ``(n,)``."""
    if pd.api.types.is_string_dtype(column.dtype) and column.dtype != object:
        return np.asarray(column.notna() & (column.str.strip() != ""), dtype=bool)
    return np.asarray(~column.map(is_blank).astype(bool), dtype=bool)


def column_facts(column: pd.Series) -> ColumnFacts:
    """The facts of one column; a large one is judged by a random part of its cells."""
    has_value = filled(column)
    values = column[has_value]
    n_filled = len(values)
    if not n_filled:
        return ColumnFacts(str(column.name), "empty", 0, 0, 0.0, 0.0, {})
    sample = values if n_filled <= MAX_PROFILED else values.sample(MAX_PROFILED, random_state=0)
    kind = _kind(sample)
    texts = sample.map(written)
    n_several = 0
    if kind == "list":
        labels = [single_label(cell) for cell in values]
        n_several = sum(bool(label.reason) for label in labels)
        all_written = pd.Series([written(label.label) for label in labels if not label.reason])
    else:
        all_written = values.map(written)
    counts = all_written.value_counts()
    may_be_class = len(counts) <= MAX_CLASSES and all(
        len(str(value)) <= _MAX_NAME and str(value).isprintable() for value in counts.index
    )
    return ColumnFacts(
        name=str(column.name),
        kind=kind,
        n_filled=n_filled,
        n_distinct=len(counts),
        mean_characters=float(texts.str.len().mean()),
        mean_words=float(texts.str.split().str.len().mean()),
        counts={str(value): int(n) for value, n in counts.items()} if may_be_class else {},
        has_decimal_commas=kind == "number"
        and bool(texts.map(lambda text: bool(_DECIMAL_COMMA.fullmatch(text))).mean() > 0.3),
        n_several=n_several,
        sets=_sets(values, kind),
    )


def _sets(values: pd.Series, kind: str) -> SetFacts | None:
    """The sets in the cells of a column; None for kinds that are no labels."""
    if kind not in ("list", "text", "token", "number") or pd.api.types.is_numeric_dtype(values):
        return None
    facts = set_facts(values, are_lists=kind == "list")
    # 1,5 may be a number.
    return None if facts and facts.separator == "," and kind == "number" else facts


def written(cell: Any) -> str:
    """A cell as text, without space around it; a whole number has no decimals."""
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    return str(cell).strip()


def _kind(sample: pd.Series) -> str:
    """What most of the filled cells hold."""
    if pd.api.types.is_bool_dtype(sample.dtype):
        return "other"
    if pd.api.types.is_numeric_dtype(sample.dtype):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(sample.dtype):
        return "date"
    is_list = sample.map(lambda cell: isinstance(parsed(cell), list | tuple | dict))
    if is_list.mean() > _MOST or _writes_lists(sample):
        return "list"
    is_text = sample.map(lambda cell: isinstance(cell, str))
    if is_text.mean() < _MOST:
        is_number = sample.map(lambda cell: isinstance(cell, int | float))
        return "number" if is_number.mean() > _MOST else "other"
    texts = sample.astype(str).str.strip()
    for kind, form in _FORMS:
        if texts.map(lambda text, form=form: bool(form.fullmatch(text))).mean() > _MOST:
            return kind
    is_token = texts.map(lambda text: bool(_TOKEN.fullmatch(text)))
    return "token" if is_token.mean() > _MOST else "text"


def _writes_lists(sample: pd.Series) -> bool:
    """Whether texts write lists, as CSV files of annotation programs do."""
    first = sample.astype(str).str.strip()
    return bool((first.str.startswith("[") & first.str.endswith("]")).mean() > _MOST)
