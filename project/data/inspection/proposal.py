"""A first look at a file: its columns, its classes, its traps, and what a card of it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from project.config.init import InitConfig
from project.data.card import CardSizes
from project.data.cells import single_label
from project.data.inspection.column_facts import (
    MAX_CLASSES,
    ColumnFacts,
    column_facts,
    filled,
    written,
)
from project.data.inspection.column_traps import column_traps, label_traps
from project.data.inspection.label_set import LabelSet, find_labels
from project.data.inspection.roles import Roles, propose_roles
from project.data.inspection.source import Source, open_source, table_bytes
from project.data.inspection.text_traps import text_traps
from project.data.label_names import as_label
from project.data.split import MIN_DEMONSTRATIONS
from project.support.errors import AssayError

_NO_TEXT = {"na", "n/a", "#n/a", "nan", "<na>", "null"}
"""What programs write for a missing text."""


class Limits(NamedTuple):
    """Numbers of other stages that decide what is worth a word.

    ``max_characters``: of a text, that the classifier reads. ``min_of_class``: labels of a class,
    ``min_test``: test texts, below which there is no verdict.
    """

    max_characters: int
    min_of_class: int
    min_test: int


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What a file seems to be.

    Attributes
    ----------
    source
        The file.
    name
        Name of the task.
    facts
        The facts of every column by its name.
    roles, labels
        What the columns are, and the classes.
    human
        The class of each row that a person labelled, null for the others ``(n_rows,)``.
    has_text
        Rows with a text.
    n_labelled
        Rows with a text and a human label.
    sizes
        Sizes of the splits, where the usual ones would leave too few test texts; else empty.
    copy
        Content of the copy that other commands read, None if they can read the file itself.
    copy_name
        Its file name.
    changes
        What it changes, in a few words each.
    traps
        Sentences that the user should read.
    """

    source: Source
    name: str
    facts: Mapping[str, ColumnFacts]
    roles: Roles
    labels: LabelSet
    human: pd.Series
    has_text: pd.Series
    n_labelled: int
    sizes: Mapping[str, int]
    copy: bytes | None
    copy_name: str
    changes: tuple[str, ...]
    traps: tuple[str, ...]

    @property
    def n_rows(self) -> int:
        """Rows of the file."""
        return len(self.source.table)

    @property
    def n_texts(self) -> int:
        """Rows with a text."""
        return int(self.has_text.sum())

    @property
    def is_complete(self) -> bool:
        """Whether every text has a human label."""
        return 0 < self.n_labelled == self.n_texts

    @property
    def file_name(self) -> str:
        """The file that the card names: the copy, or the file itself."""
        return self.copy_name if self.copy is not None else self.source.path.name

    @property
    def header(self) -> tuple[str, ...]:
        """Names of columns for the card, where the file that it names has no header."""
        is_rewritten = self.copy is not None and self.copy is not self.source.content
        return () if is_rewritten else self.source.header


def inspect_file(config: InitConfig, limits: Limits) -> Proposal:
    """What the file that ``config`` names seems to be.

    Raises
    ------
    AssayError
        If the file cannot be read, a named column does not exist, or no column holds texts.
    """
    if not config.data:
        raise AssayError(
            "data must name a file. Set data=FILE, or write python -m entrypoints.init FILE."
        )
    path = Path(config.data).expanduser()
    source = open_source(path, config.encoding)
    table = source.table
    facts = {str(name): column_facts(table[name]) for name in table.columns}
    roles = propose_roles(list(facts.values()), len(table), config)
    _check_label_column(roles, facts, config)
    of_people = facts[roles.label] if roles.label else None
    labels = find_labels(of_people, [facts[name] for name in roles.recorded], config.classes)
    human = _human(table, roles.label, labels)
    emptied = _emptied(table, roles, labels)
    texts = emptied[roles.text]
    has_text = pd.Series(filled(texts), index=table.index)
    if not has_text.any():
        raise AssayError(
            f"text_column {roles.text!r} is empty in every row. Set text_column to another column."
        )
    n_labelled = int((has_text & human.notna()).sum())
    content, changes = _copy(source, emptied, roles)
    stem = path.name.split(".")[0] or "data"
    known = human if roles.label else None
    traps = (
        *source.notes,
        *(_note_on_header(source)),
        *text_traps(facts[roles.text], texts, known, limits.max_characters),
        *label_traps(roles, labels, len(table), limits.min_of_class),
        *column_traps(table, facts, roles, known, config),
    )
    return Proposal(
        source=source,
        name=config.name or stem,
        facts=facts,
        roles=roles,
        labels=labels,
        human=human,
        has_text=has_text,
        n_labelled=n_labelled,
        sizes=_sizes(n_labelled, limits.min_test),
        copy=content,
        copy_name=f"{stem}_ready{source.ending}",
        changes=changes,
        traps=traps,
    )


def _check_label_column(roles: Roles, facts: Mapping[str, ColumnFacts], config: InitConfig) -> None:
    """Raise AssayError for a named column of labels whose values cannot be classes."""
    if roles.label == roles.text:
        raise AssayError(
            f"label_column must not be the column of the texts; both are {roles.text!r}. Set "
            "text_column or label_column to another one."
        )
    if not roles.label or facts[roles.label].counts:
        return
    column = facts[roles.label]
    if not column.n_filled:
        raise AssayError(
            f"label_column {config.label_column!r} is empty in every row. Set label_column=none, "
            "or name another column."
        )
    raise AssayError(
        f"label_column {config.label_column!r} must hold classes; it has {column.n_distinct:,} "
        f"different values of {column.mean_characters:.0f} characters in the mean, and "
        f"{MAX_CLASSES} short ones are the most. Name another column."
    )


def _human(table: pd.DataFrame, column: str, labels: LabelSet) -> pd.Series:
    """The class of each row that a person labelled; null for the others."""
    if not column:
        return pd.Series(None, index=table.index, dtype=object)
    cells = table[column].map(lambda cell: single_label(cell, labels.labels).label)
    has_value = filled(cells)
    known = cells.astype(object).where(has_value, None)
    distinct = {
        cell: as_label(written(cell), labels.labels, labels.values)
        for cell in known.dropna().unique()
    }
    return known.map(distinct, na_action="ignore").astype(object)


def _emptied(table: pd.DataFrame, roles: Roles, labels: LabelSet) -> pd.DataFrame:
    """The table with empty cells where text and label hold a word for "nothing"."""
    empty = {roles.text: _NO_TEXT}
    if roles.label and labels.no_label:
        empty[roles.label] = {value.casefold() for value in labels.no_label}
    changed = {}
    for name, words in empty.items():
        is_nothing = table[name].map(
            lambda cell, words=words: isinstance(cell, str) and cell.strip().casefold() in words
        )
        if is_nothing.any():
            changed[name] = table[name].astype(object).where(~is_nothing.astype(bool), None)
    return table.assign(**changed) if changed else table


def _copy(
    source: Source, emptied: pd.DataFrame, roles: Roles
) -> tuple[bytes | None, tuple[str, ...]]:
    """The copy that other commands can read, and what it changes; None if they read the file."""
    changes = source.changes
    is_nested = bool(source.nested & roles.used)
    if is_nested:
        changes = ("fields inside of others as columns", *changes)
    if emptied is not source.table:
        changes = (*changes, "empty cells for words such as NA")
    if not is_nested and emptied is source.table:
        return source.content, changes
    return table_bytes(emptied, source.ending), changes


def _note_on_header(source: Source) -> tuple[str, ...]:
    if not source.header:
        return ()
    names = source.header
    called = f"{names[0]} to {names[-1]}" if len(names) > 1 else names[0]
    return (
        "the first row looks like data and not like names, so the columns are called "
        f"{called}. If the row holds names after all, shorten them.",
    )


def _sizes(n: int, min_test: int) -> dict[str, int]:
    """Sizes of the splits that leave enough of ``n`` labelled texts for the test; empty if usual.

    With few texts the usual sizes shrink alike, and the test split gets a quarter.
    """
    usual = CardSizes().model_dump()
    n_test = int(usual["test"] * min(1.0, n / sum(usual.values())))
    if n_test >= min_test or n < 2 * min_test:
        return {}
    sizes = {"demonstration": max(MIN_DEMONSTRATIONS, n // 12), "validation": n // 6}
    # A few texts more than needed, as copies of a text may not fit.
    sizes["test"] = min(n // 2, min_test + 10)
    sizes["train"] = n - sum(sizes.values())
    return {name: sizes[name] for name in usual}
