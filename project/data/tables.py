"""The tables between stages: their columns, one check for each, and how they are written and hashed.

A stage boundary is a pandas frame with a fixed set of columns. One log probability per class stands in
columns ``log_probability.<label>``, in the order of the task's label set. Examples whose human votes are known have, in columns
``gold_probability.<label>``, the share of the votes that each class got; all null where nobody voted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from project.stats.types import Codes, Floats
from project.support.errors import AssayError

LOG_PROBABILITY = "log_probability."
RAW_LOG_PROBABILITY = "raw_log_probability."
PROBABILITY = "probability."
GOLD_PROBABILITY = "gold_probability."
SPLITS = ("demonstration", "train", "validation", "test")
SOURCES = ("gold", "llm", "human")
MAX_LABELS = 1000  # what is counted class by class grows with their square


class SourceRun(NamedTuple):
    """A finished run that a table is taken from: its id, and whose it is."""

    run_id: str
    user: str


_COLUMNS = {
    "examples": ("example_id", "text", "gold_label", "split"),
    "annotations": ("example_id", "draw", "label", "label_mass", "log_bound", "truncated", "error"),
    "labels": ("example_id", "label", "weight", "source", "reason"),
    "predictions": ("example_id", "label"),
}
_KEYS = {
    "examples": ["example_id"],
    "annotations": ["example_id", "draw"],
    "labels": ["example_id"],
    "predictions": ["example_id"],
}
_DISTRIBUTION = {"annotations": LOG_PROBABILITY, "predictions": LOG_PROBABILITY}
_TEXTS = ("example_id", "text", "gold_label", "split", "label", "source", "reason", "error")
_NUMBERS = (
    "draw",
    "label_mass",
    "log_bound",
    "truncated",
    "weight",
    "consistency",
    "prompt_tokens",
    "requests",
    "generated_tokens",
    "seconds",
    "n_words",
)
_COMPLETE = {"examples": "text", "predictions": "label", "labels": "label"}


def check(name: str, table: pd.DataFrame, label_set: Sequence[str]) -> pd.DataFrame:
    """Return ``table`` if it is a valid ``name`` table (see module docstring), else raise AssayError.

    Checked: columns present, each once, of texts and of numbers as they must be, key unique and not null, labels inside ``label_set``, splits and
    sources known, rows of every class distribution summing to one within 1e-4, shares of human votes within 1e-6.
    """
    missing = [column for column in _COLUMNS[name] if column not in table.columns]
    if missing:
        raise AssayError(
            f"table {name} must have the columns {', '.join(_COLUMNS[name])}; missing: {', '.join(missing)}."
        )
    _check_kinds(name, table)
    _check_rows(name, table)
    column = "gold_label" if name == "examples" else "label"
    unknown = set(table[column].dropna()) - set(label_set)
    if unknown:
        raise AssayError(
            f"table {name}: {column} must be one of {', '.join(label_set)}; got {sorted(unknown)[0][:100]!r}."
        )
    for column, known in (("split", SPLITS), ("source", SOURCES)):
        if column in table.columns and not set(table[column]) <= set(known):
            raise AssayError(f"table {name}: {column} must be one of {', '.join(known)}.")
    if name in _DISTRIBUTION:
        answered = table[table["label"].notna()]
        values = class_columns(answered, label_set, _DISTRIBUTION[name])
        values = values[
            ~np.isnan(values).all(axis=1)
        ]  # a label without probabilities; single nulls are censored classes
        with np.errstate(over="ignore"):
            total = np.nansum(np.exp(values), axis=1)
        if not np.allclose(total, 1.0, atol=1e-4):
            raise AssayError(
                f"table {name}: the known class probabilities of every row must sum to 1."
            )
    if name == "examples" and any(GOLD_PROBABILITY + label in table.columns for label in label_set):
        shares = class_columns(table, label_set, GOLD_PROBABILITY)
        shares = shares[~np.isnan(shares).all(axis=1)]  # where nobody voted
        if not np.allclose(shares.sum(axis=1), 1.0, rtol=0, atol=1e-6):
            raise AssayError(f"table {name}: the shares of human votes in every row must sum to 1.")
    return table


def _check_rows(name: str, table: pd.DataFrame) -> None:
    key, complete = _KEYS[name], _COMPLETE.get(name)
    if table[key].isna().any(axis=None) or table.duplicated(key).any():
        raise AssayError(
            f"table {name} must have one row for each {' and '.join(key)}, without nulls."
        )
    if complete and table[complete].isna().any():
        raise AssayError(
            f"table {name} must have a {complete} in every row; {int(table[complete].isna().sum())} have none."
        )


def _check_kinds(name: str, table: pd.DataFrame) -> None:
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise AssayError(
            f"table {name} must have every column once; it has {str(twice[0])!r} more often."
        )
    for column in (one for one in (*_TEXTS, *_NUMBERS) if one in table):
        values = table[column]
        text = column in _TEXTS and pd.api.types.infer_dtype(values, skipna=True) in (
            "string",
            "empty",
        )
        if not (
            text
            or values.isna().all()
            or (column in _NUMBERS and pd.api.types.is_numeric_dtype(values))
        ):
            kind = "texts" if column in _TEXTS else "numbers"
            raise AssayError(
                f"table {name} must have {kind} in the column {column}; it has {values.dtype}."
            )
    for column in (one for one in ("weight", "label_mass") if one in table):
        amounts = table[column].to_numpy(dtype=np.float64)
        wrong = ~(
            (np.isfinite(amounts) & (amounts >= 0)) | (np.isnan(amounts) & (column != "weight"))
        )
        if wrong.any():
            raise AssayError(
                f"table {name} must have numbers from 0 up in the column {column}; it has {amounts[wrong][0]:g}."
            )


def class_columns(
    table: pd.DataFrame, label_set: Sequence[str], prefix: str = LOG_PROBABILITY
) -> Floats:
    """The ``(n_rows, n_classes)`` matrix in the columns ``prefix + label``, classes in the order of ``label_set``."""
    columns = [prefix + label for label in label_set]
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise AssayError(
            f"the table has no column {missing[0]!r}; its label set differs from the task's."
        )
    try:
        return table[columns].to_numpy(dtype=np.float64)
    except (ValueError, TypeError):
        raise AssayError(f"the columns {prefix}* must hold numbers, one for each label.") from None


def with_class_columns(
    table: pd.DataFrame, values: Floats, label_set: Sequence[str], prefix: str = LOG_PROBABILITY
) -> pd.DataFrame:
    """``table`` with one more column for each class, from ``values`` ``(n_rows, n_classes)``."""
    columns = pd.DataFrame(
        values, columns=[prefix + label for label in label_set], index=table.index
    )
    return pd.concat([table, columns], axis=1)


def codes(labels: pd.Series, label_set: Sequence[str]) -> Codes:
    """Class index of every label in the order of ``label_set``; -1 where the label is null."""
    return np.asarray(pd.Categorical(labels, categories=list(label_set)).codes, dtype=np.int64)
