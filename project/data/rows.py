"""The usable rows of a raw table: ids, texts, gold labels, given splits and human votes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from project.config.task import TaskConfig
from project.data.card import Card, as_label
from project.data.tables import GOLD_PROBABILITY, with_class_columns
from project.stats.types import Floats, Mask
from project.support.errors import AssayError, unknown_value

GIVEN_SPLIT = "given"
"""Column with the split that the data name for a row, empty where they name none."""
_SPLIT_NAMES = {
    "": "",
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "dev": "validation",
    "test": "test",
}


class Rows(NamedTuple):
    """Usable rows, and how many rows were read and dropped.

    ``table`` has the columns ``example_id, text, gold_label, given`` and, where the data hold
    human votes, one column ``gold_probability.<label>`` for each label.
    """

    table: pd.DataFrame
    counts: dict[str, int]


def column_names(table: pd.DataFrame, card: Card, config: TaskConfig) -> dict[str, str]:
    """The columns of ``text``, ``label`` and ``id``; "" for an id column that does not exist."""
    # A file of the user's own need not have the card's id column.
    lacks_id = config.data and card.columns.id not in table.columns
    columns = {
        "text": config.text_column or card.columns.text,
        "label": config.label_column or card.columns.label,
        "id": config.id_column or ("" if lacks_id else card.columns.id),
    }
    for role, column in columns.items():
        if column and column not in table.columns:
            way_out = f"Set {role}_column to the name of the column."
            raise unknown_value(f"{role}_column", column, map(str, table.columns), way_out)
    return columns


def usable_rows(
    table: pd.DataFrame, card: Card, columns: Mapping[str, str], config: TaskConfig
) -> Rows:
    """The rows with a text and a gold label; with ``config.unlabelled`` also those without a label.

    Parameters
    ----------
    table : pd.DataFrame
        The raw table.
    card : Card
        Names the labels, and the columns of splits and votes.
    columns : mapping
        Columns of ``text``, ``label`` and ``id`` (:func:`column_names`).
    config : TaskConfig
        Decides whether incomplete rows are dropped or refused.

    Raises
    ------
    AssayError
        For an unknown label, a repeated id, fewer than two classes, or a refused row.
    """
    text = table[columns["text"]]
    label = _gold_labels(table[columns["label"]], card, blank_is_null=config.unlabelled)
    no_text = text.isna() | (text.astype(str).str.strip() == "")
    no_label = label.isna() & (not config.unlabelled)
    if config.bad_rows == "error":
        _check_complete(no_text, no_label)
    keep = ~(no_text | no_label)
    rows = pd.DataFrame({"text": text.astype(str), "gold_label": label})
    rows[GIVEN_SPLIT] = _given_splits(table, card)
    rows = rows[keep]
    _check_classes(rows["gold_label"], columns["label"])
    given_ids = table.loc[keep, columns["id"]] if columns["id"] else None
    rows.insert(0, "example_id", _ids(given_ids, rows["text"]))
    rows = rows.reset_index(drop=True)
    vote_columns = _vote_columns(table, card, config)
    if vote_columns:
        shares = _vote_shares(table[vote_columns], keep.to_numpy())
        rows = with_class_columns(rows, shares, card.labels, GOLD_PROBABILITY)
    counts = {
        "read": len(table),
        "empty_text_dropped": int(no_text.sum()),
        "null_label_dropped": int((no_label & ~no_text).sum()),
    }
    return Rows(rows, counts)


def _blank_to_null(values: pd.Series) -> pd.Series:
    """``values`` with null for blank cells, which stand for null in formats without it."""
    values = values.astype(object)
    return values.where(values.notna() & (values.astype(str).str.strip() != ""), None)


def _gold_labels(values: pd.Series, card: Card, *, blank_is_null: bool) -> pd.Series:
    """The label of every row, null where the data have none."""
    values = _blank_to_null(values) if blank_is_null else values.astype(object)
    return values.map(lambda value: _label(value, card), na_action="ignore")


def _label(value: Any, card: Card) -> str:
    label = as_label(value, card.labels, card.values)
    if label is None:
        way_out = "Map it to a label under 'values' in a task card of your own."
        raise unknown_value("label in the data", str(value).strip(), card.labels, way_out)
    return label


def _check_complete(no_text: pd.Series, no_label: pd.Series) -> None:
    """Raise AssayError if any row lacks a text or a label."""
    incomplete = (no_text | no_label).to_numpy()
    if incomplete.any():
        raise AssayError(
            f"{int(no_text.sum())} rows have an empty text and {int(no_label.sum())} a null "
            f"label, the first in row {int(incomplete.argmax()) + 1}. Correct them, or leave them "
            "out with bad_rows=drop. To train on texts that have no label yet, set "
            "unlabelled=true."
        )


def _check_classes(labels: pd.Series, column: str) -> None:
    if labels.nunique() < 2:
        classes = ", ".join(map(repr, labels.dropna().unique())) or "none"
        raise AssayError(
            f"{column} must hold at least two classes; found {classes} in {len(labels)} rows."
        )


def _ids(given: pd.Series | None, text: pd.Series) -> list[str]:
    """The given ids, which must be unique; else a hash of each text.

    A running number tells repeated texts apart.
    """
    if given is not None:
        ids = given.astype(str)
        if given.isna().any() or ids.duplicated().any():
            repeated = "a null" if given.isna().any() else repr(ids[ids.duplicated()].iloc[0])
            raise AssayError(
                f"id_column {given.name!r} must be unique; it holds {repeated} more than once or "
                "nothing. Use another column, or none."
            )
        return list(ids)
    ids = text.map(
        lambda value: hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    )
    repeats = ids.groupby(ids).cumcount()
    return [f"{key}-{n}" if n else key for key, n in zip(ids, repeats, strict=True)]


def _given_splits(table: pd.DataFrame, card: Card) -> pd.Series:
    """The split that the data name for every row, "" where they name none.

    Without a split column in the card, a column named ``split`` counts.
    """
    column = card.columns.split or "split"
    if column not in table.columns:
        if card.columns.split:
            way_out = "Name the column in the task card."
            raise unknown_value("columns.split", column, map(str, table.columns), way_out)
        return pd.Series("", index=table.index)
    names = table[column].astype(object).where(table[column].notna(), "")
    names = names.map(lambda value: str(value).strip().casefold())
    unknown = sorted(set(names) - _SPLIT_NAMES.keys())
    if unknown:
        raise AssayError(
            f"column {column!r} must name the splits train, validation and test; it holds "
            f"{unknown[0]!r}. Rename the column or its values."
        )
    return names.map(_SPLIT_NAMES)


def _vote_columns(table: pd.DataFrame, card: Card, config: TaskConfig) -> Sequence[str]:
    """The columns of human votes in the order of the labels; empty without votes.

    A file of the user's own may lack all of them, but not some.
    """
    if not card.gold_probabilities:
        return ()
    columns = [card.gold_probabilities[label] for label in card.labels]
    missing = [column for column in columns if column not in table.columns]
    if missing and not (config.data and len(missing) == len(columns)):
        way_out = "Name the columns of all labels in the task card, or leave the key out."
        raise unknown_value("gold_probabilities", missing[0], map(str, table.columns), way_out)
    return () if missing else columns


def _vote_shares(votes: pd.DataFrame, keep: Mask) -> Floats:
    """Votes of the rows to ``keep`` divided by their sum, ``(n_kept, n_classes)``.

    A null vote counts 0; a row without any vote is nan.
    """
    counts = np.empty((int(keep.sum()), votes.shape[1]))
    for index, name in enumerate(votes.columns):
        cells = _blank_to_null(votes[name])
        numbers = pd.to_numeric(cells, errors="coerce")
        values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
        wrong = keep & cells.notna().to_numpy() & ~((values >= 0) & (values < np.inf))
        if wrong.any():
            row = int(wrong.argmax())
            raise AssayError(
                f"column {name!r} must hold votes, numbers from 0 up; row {row + 1} has "
                f"{cells.iloc[row]!r}. Correct the data, or leave 'gold_probabilities' out of the "
                "task card."
            )
        counts[:, index] = np.nan_to_num(values[keep])
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
