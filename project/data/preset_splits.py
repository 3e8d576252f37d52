"""The column of the data that assigns rows to splits, and the note about it."""

from __future__ import annotations

import pandas as pd

from project.config.task import TaskConfig
from project.data.card import Card
from project.support.errors import AssayError, unknown_value

NONE = "none"
"""In place of a column's name: no column assigns splits."""
USUAL_NAME = "split"
_SPLITS = ("train", "validation", "test")
# The names that data sets use, and the split that each stands for.
SPLIT_NAMES = {
    "": "",
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}


def split_column(table: pd.DataFrame, card: Card, config: TaskConfig) -> str:
    """The column that assigns splits: the configured one, the card's, or ``split``; "" for none.

    Raises AssayError if a column that is named does not exist.
    """
    for parameter, column in (
        ("split_column", config.split_column),
        ("columns.split", card.columns.split),
    ):
        if column == NONE:
            return ""
        if column and column not in table.columns:
            way_out = "Name the column, or none."
            raise unknown_value(parameter, column, map(str, table.columns), way_out)
        if column:
            return column
    return USUAL_NAME if USUAL_NAME in table.columns else ""


def preset_splits(table: pd.DataFrame, column: str) -> pd.Series:
    """The split to which the data assign every row, "" where they assign none.

    Parameters
    ----------
    table
        The raw table.
    column
        The column that assigns splits; "" for none.

    Raises
    ------
    AssayError
        If a cell is neither empty nor the name of a split.
    """
    if not column:
        return pd.Series("", index=table.index)
    names = table[column].astype(object).where(table[column].notna(), "")
    names = names.map(lambda value: str(value).strip().casefold())
    unknown = sorted(set(names) - SPLIT_NAMES.keys())
    if unknown:
        raise AssayError(
            f"column {column!r} must name the splits train, validation and test; it holds "
            f"{unknown[0]!r}. Rename the values, or set split_column=none to split at random."
        )
    return names.map(SPLIT_NAMES)


def note_on_preset_splits(
    presets: pd.Series, table: pd.DataFrame, card: Card, config: TaskConfig
) -> tuple[str, ...]:
    """A note that a column assigns splits although nobody named it; it counts the rows.

    Parameters
    ----------
    presets
        The split of every usable row (:func:`preset_splits`).
    table, card, config
        The raw table, the card and the configuration, which may name the column.
    """
    # The splits of a data set of the hub are those that its card lists.
    is_asked = config.split_column or card.columns.split or (card.source.hub and not config.data)
    column = split_column(table, card, config)
    if is_asked or not column:
        return ()
    counts = presets.value_counts()
    named = [f"{split} {counts[split]}" for split in _SPLITS if split in counts]
    free = f", no split {counts['']}" if "" in counts else ""
    return (
        f"the column {column!r} of the data assigns rows to splits: {', '.join(named)}{free}. "
        f"Set split_column={column} to say that this is meant, or split_column=none to split at "
        "random.",
    )
