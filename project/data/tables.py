"""The tables between stages: their columns and one check for each.

A stage boundary is a pandas frame with a fixed set of columns. A class distribution stands in one
column per class, in the order of the task's label set: natural log probabilities in
``log_probability.<label>``, and the shares of human votes, all null where nobody voted, in
``gold_probability.<label>``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from project.stats.types import Codes, Floats, Mask
from project.support.errors import AssayError

LOG_PROBABILITY = "log_probability."
RAW_LOG_PROBABILITY = "raw_log_probability."
PROBABILITY = "probability."
LIKELIHOOD = "likelihood."
"""Of a training label: in proportion to the probability that a text of a class gets it."""
GOLD_PROBABILITY = "gold_probability."
GOLD_VOTES = "gold_votes"
SPLITS = ("demonstration", "train", "validation", "test")
SOURCES = ("gold", "llm", "human")
MAX_LABELS = 1000
"""Most labels of a task; matrices of class by class grow with their square."""
_MAX_LABEL_SHOWN = 100  # characters of a label in an error
_LOG_TOLERANCE = 1e-4  # of the sum of class probabilities
_SHARE_TOLERANCE = 1e-6  # of the sum of the shares of human votes
NO_ROW = "missing: the file has no row for it"
"""Error of an annotation where recorded labels have no row: nobody answered."""


class SourceRun(NamedTuple):
    """A finished run whose table is reused: its id and its owner."""

    run_id: str
    user: str


class _Table(NamedTuple):
    """The rules of one table.

    ``key`` identifies a row; ``complete`` is a column without nulls; ``distribution`` is the
    prefix of its class columns.
    """

    columns: tuple[str, ...]
    key: tuple[str, ...]
    label: str = "label"
    complete: str = ""
    distribution: str = ""


_TABLES = {
    "examples": _Table(
        columns=("example_id", "text", "gold_label", "split"),
        key=("example_id",),
        label="gold_label",
        complete="text",
    ),
    "annotations": _Table(
        columns=(
            "example_id",
            "draw",
            "label",
            "label_mass",
            "log_bound",
            "truncated",
            "error",
        ),
        key=("example_id", "draw"),
        distribution=LOG_PROBABILITY,
    ),
    "labels": _Table(
        columns=("example_id", "label", "weight", "source", "reason"),
        key=("example_id",),
        complete="label",
    ),
    "predictions": _Table(
        columns=("example_id", "label"),
        key=("example_id",),
        complete="label",
        distribution=LOG_PROBABILITY,
    ),
}
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


def check(name: str, table: pd.DataFrame, label_set: Sequence[str]) -> pd.DataFrame:
    """Return ``table`` if it is a valid table of its kind.

    Parameters
    ----------
    name
        The kind of table: ``examples``, ``annotations``, ``labels`` or ``predictions``.
    table
        May have more columns than it must have.
    label_set
        The labels of the task.

    Raises
    ------
    AssayError
        If a column is missing, repeated or of the wrong kind, the key is null or repeated, a
        label, split or source is unknown, or a class distribution does not sum to one (within
        1e-4; shares of human votes within 1e-6).
    """
    rules = _TABLES[name]
    missing = [column for column in rules.columns if column not in table.columns]
    if missing:
        raise AssayError(
            f"table {name} must have the columns {', '.join(rules.columns)}; "
            f"missing: {', '.join(missing)}."
        )
    _check_kinds(name, table)
    _check_amounts(name, table)
    _check_rows(name, table)
    _check_names(name, table, label_set)
    if rules.distribution:
        _check_distribution(name, table, label_set)
    if name == "examples":
        _check_votes(name, table, label_set)
    return table


def _check_kinds(name: str, table: pd.DataFrame) -> None:
    """No column stands twice. Known columns hold texts or numbers, or nothing but nulls."""
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise AssayError(
            f"table {name} must have every column once; it has {str(repeated[0])!r} more often."
        )
    for column in (*_TEXTS, *_NUMBERS):
        if column not in table:
            continue
        values = table[column]
        if column in _TEXTS:
            kind = "texts"
            fits = pd.api.types.infer_dtype(values, skipna=True) in ("string", "empty")
        else:
            kind = "numbers"
            fits = pd.api.types.is_numeric_dtype(values)
        # A file format without types may give a column of nulls any type.
        if not (fits or values.isna().all()):
            raise AssayError(
                f"table {name} must have {kind} in the column {column}; it has {values.dtype}."
            )


def _check_amounts(name: str, table: pd.DataFrame) -> None:
    """Weights and label masses are finite and not negative; a label mass may be null."""
    for column in ("weight", "label_mass"):
        if column not in table:
            continue
        amounts = table[column].to_numpy(dtype=np.float64)
        valid = np.isfinite(amounts) & (amounts >= 0)
        if column == "label_mass":
            valid |= np.isnan(amounts)
        if not valid.all():
            raise AssayError(
                f"table {name} must have numbers from 0 up in the column {column}; it has "
                f"{amounts[~valid][0]:g}."
            )


def _check_rows(name: str, table: pd.DataFrame) -> None:
    """The key is unique and not null, and the column that must be complete is."""
    rules = _TABLES[name]
    key = list(rules.key)
    if table[key].isna().any(axis=None) or table.duplicated(key).any():
        raise AssayError(
            f"table {name} must have one row for each {' and '.join(key)}, without nulls."
        )
    if rules.complete and table[rules.complete].isna().any():
        missing = int(table[rules.complete].isna().sum())
        raise AssayError(
            f"table {name} must have a {rules.complete} in every row; {missing} have none."
        )


def _check_names(name: str, table: pd.DataFrame, label_set: Sequence[str]) -> None:
    """Labels, splits and sources are known ones."""
    column = _TABLES[name].label
    unknown = set(table[column].dropna().unique()) - set(label_set)
    if unknown:
        raise AssayError(
            f"table {name}: {column} must be one of {', '.join(label_set)}; "
            f"got {sorted(unknown)[0][:_MAX_LABEL_SHOWN]!r}."
        )
    for column, known in (("split", SPLITS), ("source", SOURCES)):
        if column in table.columns and not set(table[column].unique()) <= set(known):
            raise AssayError(f"table {name}: {column} must be one of {', '.join(known)}.")


def _check_distribution(name: str, table: pd.DataFrame, label_set: Sequence[str]) -> None:
    """Class probabilities of labelled rows sum to one."""
    labelled = table[table["label"].notna()]
    values = class_columns(labelled, label_set, _TABLES[name].distribution)
    # All nulls: a label without probabilities. Single nulls: censored classes.
    values = values[~np.isnan(values).all(axis=1)]
    # A log probability far above 0 is an error of the table, which the sum shows.
    with np.errstate(over="ignore"):
        total = np.nansum(np.exp(values), axis=1)
    if not np.allclose(total, 1.0, atol=_LOG_TOLERANCE):
        raise AssayError(f"table {name}: the known class probabilities of every row must sum to 1.")


def _check_votes(name: str, table: pd.DataFrame, label_set: Sequence[str]) -> None:
    """Shares of human votes, if any, sum to one in rows with votes."""
    if not any(GOLD_PROBABILITY + label in table.columns for label in label_set):
        return
    shares = class_columns(table, label_set, GOLD_PROBABILITY)
    shares = shares[~np.isnan(shares).all(axis=1)]
    if not np.allclose(shares.sum(axis=1), 1.0, rtol=0, atol=_SHARE_TOLERANCE):
        raise AssayError(f"table {name}: the shares of human votes in every row must sum to 1.")


def is_asked(annotations: pd.DataFrame) -> Mask:
    """Which rows of an annotations table hold an answer, right, wrong or unusable ``(n,)``."""
    return np.asarray(annotations["error"] != NO_ROW, dtype=bool)


def class_columns(
    table: pd.DataFrame, label_set: Sequence[str], prefix: str = LOG_PROBABILITY
) -> Floats:
    """The matrix in the columns ``prefix + label``.

    Parameters
    ----------
    table
        Has one such column for each label.
    label_set
        The labels in the order of the classes.
    prefix
        Beginning of the columns' names.

    Returns
    -------
    Floats
        Shape ``(n_rows, n_classes)``; nan for null.

    Raises
    ------
    AssayError
        If a column is missing or holds anything but numbers.
    """
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
    """``table`` with one more column ``prefix + label`` for each class.

    Parameters
    ----------
    table
        The other columns.
    values
        Values of the new ones, ``(n_rows, n_classes)``.
    label_set
        The labels in the order of the classes.
    prefix
        Beginning of the columns' names.
    """
    columns = [prefix + label for label in label_set]
    return pd.concat([table, pd.DataFrame(values, columns=columns, index=table.index)], axis=1)


def codes(labels: pd.Series, label_set: Sequence[str]) -> Codes:
    """The class index of every label in the order of ``label_set``; -1 where the label is null."""
    return np.asarray(pd.Categorical(labels, categories=list(label_set)).codes, dtype=np.int64)
