"""Which columns hold labels, of people and of LLMs, by name and content."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from project.config.init import NONE, InitConfig
from project.data.inspection.column_facts import ColumnFacts
from project.data.inspection.column_names import (
    GROUPS,
    IDS,
    LABELS,
    NAMES_OF_PEOPLE,
    PEOPLE,
    TIMES,
    is_model,
    words_of,
)
from project.data.preset_splits import SPLIT_NAMES

_ENOUGH = 2.0  # points for a column to be taken for labels
_NEAR = 1.0  # points within which another column is as likely
_FEW_CLASSES = 50  # more need ten rows each on average to be taken for classes


def recorded_columns(facts: Sequence[ColumnFacts], config: InitConfig) -> tuple[str, ...]:
    """The columns with labels of LLMs: those that are named, else by their names."""
    if config.recorded_columns:
        return () if config.recorded == (NONE,) else config.recorded
    chosen = (config.text_column, config.label_column, config.id_column, config.group)
    return tuple(
        column.name
        for column in facts
        if column.name not in chosen
        and is_model(column.name)
        and _may_be_label(column)
        and column.n_distinct > 1
        and "," not in column.name  # recorded_columns separates names by commas
    )


def _may_be_label(column: ColumnFacts) -> bool:
    """Whether the values can be classes: few, short, each more than once on average; or sets."""
    if column.are_sets:
        return True
    if column.kind in ("date", "address", "e-mail", "empty") or column.has_decimal_commas:
        return False
    is_whole = all(re.fullmatch(r"-?\d+", value) for value in column.counts)
    if column.kind == "number" and not is_whole:
        return False
    n_each = 2 if column.n_distinct <= _FEW_CLASSES else 10
    return bool(column.counts) and column.n_distinct <= max(2, column.n_filled / n_each)


def label_column(
    facts: Sequence[ColumnFacts],
    n_rows: int,
    config: InitConfig,
    *,
    taken: Collection[str],
    recorded: Sequence[str],
) -> tuple[str, tuple[str, ...]]:
    """The column with people's labels, and others that may be meant."""
    if config.label_column:
        return ("" if config.label_column == NONE else config.label_column), ()
    of_llm = {
        value.casefold() for column in facts if column.name in recorded for value in _values(column)
    }
    points = {
        column.name: _label_points(column, n_rows, of_llm)
        for column in facts
        if column.name not in taken and _may_be_label(column) and not names_splits(column)
    }
    likely = sorted(points, key=lambda name: -points[name])
    if not likely or points[likely[0]] < _ENOUGH:
        return "", tuple(name for name in likely if points[name] > -_NEAR)
    best = points[likely[0]]
    return likely[0], tuple(
        name for name in likely[1:] if points[name] >= max(_ENOUGH, best - _NEAR)
    )


def _values(column: ColumnFacts) -> Collection[str]:
    """The labels in a column: those of its sets, else its values."""
    return column.sets.counts if column.sets and column.are_sets else column.counts


def _label_points(column: ColumnFacts, n_rows: int, of_llm: Collection[str]) -> float:
    """How much a column looks like people's labels."""
    words = set(words_of(column.name))
    # A column called coder names people; coder_a or gold_coder holds a person's labels.
    is_persons = bool(words & PEOPLE) and not words <= NAMES_OF_PEOPLE
    points = 2.5 * bool(words & LABELS) + 2.0 * is_persons
    values = {value.casefold() for value in _values(column)}
    if of_llm:
        points += 3.0 * len(values & set(of_llm)) / len(values)
    points += 0.5 * (column.n_filled < n_rows)
    points -= 0.5 * (column.kind == "number")
    points -= 2.0 * bool(words & (GROUPS | IDS | TIMES))
    points -= 3.0 * (column.n_distinct < 2)
    return points


def names_splits(column: ColumnFacts) -> bool:
    """Whether the values are the names of splits."""
    values = {value.casefold() for value in column.counts}
    return len(values) > 1 and values <= SPLIT_NAMES.keys()
