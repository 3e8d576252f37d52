"""The usable rows of a raw table: ids, texts, gold labels, preset splits and human votes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from project.config.task import TaskConfig
from project.data.card import Card
from project.data.class_indices import are_indices
from project.data.label_names import as_label
from project.data.preset_splits import preset_splits, split_column
from project.data.tables import GOLD_PROBABILITY, GOLD_VOTES, with_class_columns
from project.stats.types import Floats, Mask
from project.support.errors import AssayError, unknown_value

PRESET_SPLIT = "preset_split"
"""Column with the split to which the data assign a row, empty where they assign none."""


class Rows(NamedTuple):
    """Usable rows, and how many rows were read and dropped.

    ``table`` has the columns ``example_id, text, gold_label, preset_split`` and, where the data
    hold human votes, one column ``gold_probability.<label>`` for each label.
    """

    table: pd.DataFrame
    counts: dict[str, int]


def column_names(table: pd.DataFrame, card: Card, config: TaskConfig) -> dict[str, str]:
    """The columns of ``text``, ``label`` and ``id``; "" for an id column that does not exist.

    Parameters
    ----------
    table
        The raw table.
    card
        Names the columns of its own data.
    config
        Names columns that replace those of the card.

    Raises
    ------
    AssayError
        If the table lacks one of the columns.
    """
    cards_id = card.columns.id
    # A file of the user need not have the card's id column.
    if config.data and cards_id not in table.columns:
        cards_id = ""
    columns = {
        "text": config.text_column or card.columns.text,
        "label": _label_column(card, config),
        "id": config.id_column or cards_id,
    }
    for role, column in columns.items():
        if column and column not in table.columns:
            way_out = f"Set {role}_column to the name of the column."
            raise unknown_value(f"{role}_column", column, map(str, table.columns), way_out)
    return columns


def _label_column(card: Card, config: TaskConfig) -> str:
    """The column with the gold labels; of a card of one label, with the label in its name."""
    name = config.label_column or card.columns.label
    return card.one_label.column(name) if card.one_label else name


def usable_rows(
    table: pd.DataFrame, card: Card, columns: Mapping[str, str], config: TaskConfig
) -> Rows:
    """The rows with a text and a gold label; with ``config.unlabelled`` also those without a label.

    Parameters
    ----------
    table
        The raw table.
    card
        Names the labels, and the columns of splits and votes.
    columns
        Columns of ``text``, ``label`` and ``id`` (:func:`column_names`).
    config
        Decides whether incomplete rows are dropped or refused.

    Raises
    ------
    AssayError
        For an unknown label, a repeated id, fewer than two classes, or a refused row.
    """
    text = checked_texts(table[columns["text"]])
    label = _gold_labels(table[columns["label"]], card, blank_is_null=config.unlabelled)
    no_text = text.isna() | (text.astype(str).str.strip() == "")
    # With unlabelled=true no row counts as incomplete for want of a label.
    no_label = label.isna() & (not config.unlabelled)
    if config.bad_rows == "error":
        _check_complete(no_text, no_label)
    usable = ~(no_text | no_label)
    rows = pd.DataFrame({"text": text.astype(str), "gold_label": label})
    rows[PRESET_SPLIT] = preset_splits(table, split_column(table, card, config))
    rows = rows[usable]
    _check_classes(rows["gold_label"], columns["label"])
    # Ids and votes are checked in usable rows only: what else a dropped row holds does not matter.
    if columns["id"]:
        ids = checked_ids(table.loc[usable, columns["id"]])
    else:
        ids = text_ids(rows["text"])
    rows.insert(0, "example_id", ids)
    rows = rows.reset_index(drop=True)
    vote_columns = _vote_columns(table, card, config)
    if vote_columns:
        votes = _votes(table[vote_columns], usable.to_numpy())
        total = votes.sum(axis=1, keepdims=True)
        shares = np.divide(votes, total, out=np.full_like(votes, np.nan), where=total > 0)
        rows = with_class_columns(rows, shares, card.labels, GOLD_PROBABILITY)
        # Shares in the data do not tell how many people voted.
        if (votes == np.round(votes)).all():
            rows[GOLD_VOTES] = total[:, 0]
    counts = {
        "read": len(table),
        "empty_text_dropped": int(no_text.sum()),
        "null_label_dropped": int((no_label & ~no_text).sum()),
    }
    return Rows(rows, counts)


def checked_texts(column: pd.Series) -> pd.Series:
    """The column of texts; AssayError for a cell that is neither a text nor null.

    A list of tokens or a number, written as a text, would be another text than the one meant.
    """
    is_wrong = column.notna() & ~column.map(lambda cell: isinstance(cell, str))
    if is_wrong.any():
        row = int(is_wrong.to_numpy().argmax())
        cell = column.iloc[row]
        raise AssayError(
            f"text_column {column.name!r} must hold texts; {int(is_wrong.sum())} of {len(column)} "
            f"cells do not, the first, in row {row + 1}, is a {type(cell).__name__}: "
            f"{str(cell)[:40]!r}. Name the column with the texts, or write them as texts."
        )
    return column


def _blank_to_null(values: pd.Series) -> pd.Series:
    """``values`` with null for blank cells, which stand for null in formats without it."""
    values = values.astype(object)
    return values.where(values.notna() & (values.astype(str).str.strip() != ""), None)


def _gold_labels(values: pd.Series, card: Card, *, blank_is_null: bool) -> pd.Series:
    """The label of every row, null where the data have none."""
    values = _blank_to_null(values) if blank_is_null else values.astype(object)
    indices = gold_has_indices(values, card)
    return values.map(lambda value: _label(value, card, indices=indices), na_action="ignore")


def gold_has_indices(values: pd.Series, card: Card) -> bool:
    """Whether the column of gold labels holds indices into the label set; blank cells are null."""
    title = f"the label column {values.name!r}"
    return are_indices(_blank_to_null(values), card.labels, card.values, title)


def _label(value: Any, card: Card, *, indices: bool) -> str:
    """The label that a value stands for; AssayError if it is not known."""
    label = as_label(value, card.labels, card.values, indices=indices)
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
    """Raise AssayError if the labels are all of one class: no classifier could be trained."""
    if labels.nunique() < 2:
        classes = ", ".join(map(repr, labels.dropna().unique())) or "none"
        raise AssayError(
            f"{column} must hold at least two classes; found {classes} in {len(labels)} rows."
        )


def checked_ids(column: pd.Series) -> list[str]:
    """The ids in a column of the data, which must be unique and not null."""
    ids = column.astype(str)
    if column.isna().any():
        raise AssayError(
            f"id_column {column.name!r} must be unique; {int(column.isna().sum())} rows have a "
            "null. Use another column, or none."
        )
    if ids.duplicated().any():
        raise AssayError(
            f"id_column {column.name!r} must be unique; it holds {ids[ids.duplicated()].iloc[0]!r} "
            "more than once. Use another column, or none."
        )
    return list(ids)


def text_ids(text: pd.Series) -> list[str]:
    """A hash of each text; from its second copy on, a text has the number of the copy behind it."""
    hashes = text.map(
        lambda value: hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    )
    copies = hashes.groupby(hashes).cumcount()
    return [f"{key}-{copy}" if copy else key for key, copy in zip(hashes, copies, strict=True)]


def _vote_columns(table: pd.DataFrame, card: Card, config: TaskConfig) -> Sequence[str]:
    """The columns of human votes in the order of the labels; empty without votes.

    A file of the user may lack all of them, since the card describes other data. It must not lack
    some of them.
    """
    if not card.gold_probabilities:
        return ()
    columns = [card.gold_probabilities[label] for label in card.labels]
    missing = [column for column in columns if column not in table.columns]
    if config.data and len(missing) == len(columns):
        return ()
    if missing:
        way_out = "Name the columns of all labels in the task card, or leave the key out."
        raise unknown_value("gold_probabilities", missing[0], map(str, table.columns), way_out)
    return columns


def _votes(votes: pd.DataFrame, usable: Mask) -> Floats:
    """Votes of the ``usable`` rows, or their shares, ``(n_usable, n_classes)``; a null counts 0."""
    counts = np.empty((int(usable.sum()), votes.shape[1]))
    for index, name in enumerate(votes.columns):
        cells = _blank_to_null(votes[name])
        # What is not a number becomes nan, which is neither >= 0 nor < inf.
        numbers = pd.to_numeric(cells, errors="coerce")
        values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
        wrong = usable & cells.notna().to_numpy() & ~((values >= 0) & (values < np.inf))
        if wrong.any():
            row = int(wrong.argmax())
            raise AssayError(
                f"column {name!r} must hold votes, numbers from 0 up; row {row + 1} has "
                f"{cells.iloc[row]!r}. Correct the data, or leave 'gold_probabilities' out of the "
                "task card."
            )
        counts[:, index] = np.nan_to_num(values[usable])
    return counts
