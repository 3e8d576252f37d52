"""A first look at a file: its columns, its classes, its traps, and what a card of it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from project.config.init import InitConfig
from project.data.card import CardSizes
from project.data.inspection.column_facts import ColumnFacts, column_facts, filled
from project.data.inspection.column_traps import column_traps, label_traps
from project.data.inspection.human_labels import (
    check_label_column,
    classes_of_rows,
    with_empty_cells,
)
from project.data.inspection.label_set import LabelSet, find_labels
from project.data.inspection.label_sets import SetFacts
from project.data.inspection.roles import Roles, propose_roles
from project.data.inspection.several import as_text, read_several
from project.data.inspection.several_traps import several_traps
from project.data.inspection.source import Source, open_source, table_bytes
from project.data.inspection.text_traps import text_traps
from project.data.split import MIN_DEMONSTRATIONS
from project.support.errors import AssayError


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
        The class of each row that a person labelled, or its set of labels as one text; null for
        the others ``(n_rows,)``.
    answers
        Where a text may have several labels, a column for each of them: 1 where a row has it, 0
        where not, nan where this is not known; else None.
    has_text
        Rows with a text.
    n_labelled
        Rows with a text and a human label.
    n_open
        Rows with a text of which some human label is not known.
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
    answers: pd.DataFrame | None
    has_text: pd.Series
    n_labelled: int
    n_open: int
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
        return self.n_labelled > 0 and not self.n_open

    @property
    def has_several(self) -> bool:
        """Whether a text may have several labels."""
        return self.roles.form is not None

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
    check_label_column(roles, facts, config)
    found = _labels(table, facts, roles, config)
    emptied = with_empty_cells(table, found.roles, found.labels)
    has_text = pd.Series(filled(emptied[roles.text]), index=table.index)
    if not has_text.any():
        raise AssayError(
            f"text_column {roles.text!r} is empty in every row. Set text_column to another column."
        )
    n_labelled = int((has_text & found.human.notna()).sum())
    content, changes = _copy(source, emptied, found.roles)
    stem = path.name.split(".")[0] or "data"
    return Proposal(
        source=source,
        name=config.name or stem,
        facts=facts,
        roles=found.roles,
        labels=found.labels,
        human=found.human,
        answers=found.answers,
        has_text=has_text,
        n_labelled=n_labelled,
        n_open=int((has_text & found.is_open).sum()),
        sizes=_sizes(n_labelled, limits.min_test),
        copy=content,
        copy_name=f"{stem}_ready{source.ending}",
        changes=changes,
        traps=tuple(_traps(source, facts, found, emptied[roles.text], config, limits)),
    )


def _traps(
    source: Source,
    facts: Mapping[str, ColumnFacts],
    found: _Labels,
    texts: pd.Series,
    config: InitConfig,
    limits: Limits,
) -> Iterator[str]:
    """Sentences that the user should read."""
    roles, labels, human = found.roles, found.labels, found.human
    known = human if roles.label else None
    yield from source.notes
    yield from _note_on_header(source)
    yield from several_traps(roles, labels, facts, human, found.sets)
    yield from text_traps(facts[roles.text], texts, known, limits.max_characters)
    yield from label_traps(roles, labels, len(source.table), limits.min_of_class)
    yield from column_traps(source.table, facts, roles, known, config)


class _Labels(NamedTuple):
    """Roles and labels, and what people said of each row: see :class:`Proposal`.

    ``is_open`` says where some label is not known, ``sets`` what a column of sets holds.
    """

    roles: Roles
    labels: LabelSet
    human: pd.Series
    is_open: pd.Series
    answers: pd.DataFrame | None = None
    sets: SetFacts | None = None


def _labels(
    table: pd.DataFrame, facts: Mapping[str, ColumnFacts], roles: Roles, config: InitConfig
) -> _Labels:
    """The labels of the file, whether a text has one or may have several."""
    if roles.form:
        several = read_several(table, facts, roles, config)
        is_open = several.answers.isna().any(axis=1)
        human = as_text(several.answers)
        return _Labels(several.roles, several.labels, human, is_open, several.answers, several.sets)
    of_people = facts[roles.label] if roles.label else None
    llm = [facts[name] for name in roles.recorded if name in facts]
    labels = find_labels(of_people, llm, config.classes)
    human = classes_of_rows(table, roles.label, labels)
    return _Labels(roles, labels, human, human.isna())


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
