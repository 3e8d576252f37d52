"""What in labels and other columns may go wrong: rare classes, spellings, leaks, row numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from project.config.init import NONE, InitConfig
from project.data.inspection.column_facts import ColumnFacts, filled
from project.data.inspection.column_names import words_of
from project.data.inspection.label_set import LabelSet
from project.data.inspection.roles import Roles
from project.data.preset_splits import USUAL_NAME

_SHOWN = 4  # names in a sentence
_MIN_LABELLED = 30  # labelled rows by which a column can be seen to give the label away
_ALWAYS = 0.98  # of the rows whose label another column tells
_GIVES_AWAY = 3  # values for each class, of a column that may give the label away
_MIN_SHARED = 0.05  # of the rows, that share their group with another one


def label_traps(roles: Roles, labels: LabelSet, n_rows: int, min_of_class: int) -> Iterator[str]:
    """Sentences on the labels that the user should look at.

    Parameters
    ----------
    roles, labels
        The columns and the classes.
    n_rows
        Rows of the file.
    min_of_class
        Labels of a class below which nothing can be said of it.
    """
    yield from _names(roles.label, labels)
    yield from _values(roles.label, labels)
    rare = [f"{label} ({n})" for label, n in labels.counts.items() if n < min_of_class]
    if rare and sum(labels.counts.values()):
        yield (
            f"rare classes, fewer than {min_of_class} human labels: {_some(rare)}. Label more of "
            "them, or join classes."
        )
    if labels.only_llm and sum(labels.counts.values()):
        yield (
            f"no human label is {_some(labels.only_llm)}, which the LLM gives often: in the card "
            "as a class. Take it out there if it is none."
        )
    for name, values in labels.foreign.items():
        if values:
            words = [f"{value!r} ({n:,})" for value, n in values.items()]
            yield (
                f"{name} has {sum(values.values()):,} of {n_rows:,} answers that are no class: "
                f"{_some(words)}. They count as missing, unless labels names them as classes."
            )


def _names(column: str, labels: LabelSet) -> Iterator[str]:
    """Sentences on the names of the classes."""
    if labels.spellings:
        pairs = [f"{value!r} as {own!r}" for value, own in labels.spellings.items()]
        yield f"{column} has several spellings of a class. Counted: {_some(pairs)}."
    for rare, frequent in labels.similar[:_SHOWN]:
        yield (
            f"the classes {rare!r} and {frequent!r} have nearly equal names. If they are one, say "
            "so under values in the card."
        )
    if labels.are_numbers:
        yield (
            f"the classes are numbers ({', '.join(labels.labels[:8])}), and an LLM cannot know "
            "what they mean. Give them names in the card, under labels and values."
        )


def _values(column: str, labels: LabelSet) -> Iterator[str]:
    """Sentences on values of the label column that may be no label."""
    if labels.no_label:
        words = [f"{value!r} ({n:,})" for value, n in labels.no_label.items()]
        yield (
            f"{column} has {_some(words)}, taken for no label; a copy of the file has empty cells "
            "there. If one is a class, name all classes in labels."
        )
    if "none" in {label.casefold() for label in labels.labels}:
        yield f"{column or 'an LLM'} has 'none', taken for a class. Empty these cells if it is not."
    if labels.unknown:
        words = [f"{value!r} ({n:,})" for value, n in labels.unknown.items()]
        yield (
            f"{column} has {_some(words)}, none of the classes in labels. Say under values in the "
            "card which class each of them is."
        )


def column_traps(
    table: pd.DataFrame,
    facts: Mapping[str, ColumnFacts],
    roles: Roles,
    human: pd.Series | None,
    config: InitConfig,
) -> Iterator[str]:
    """Sentences on the other columns that the user should look at.

    Parameters
    ----------
    table, facts
        The file, and the facts of its columns by name.
    roles
        What the columns are.
    human
        The class of each row that a person labelled, null for the others; None without any.
    config
        What the user said.
    """
    if human is not None:
        yield from _first_rows(human)
        yield from _leaks(table, facts, roles, human)
        yield from _equal_to_llm(table, roles, human)
    yield from _ids(table, facts, roles, config)
    yield from _group(table, roles)
    if USUAL_NAME in facts and roles.split != USUAL_NAME:
        yield (
            f"the column {USUAL_NAME} does not name train, validation and test; the card leaves it "
            f"aside (split: {NONE})."
        )
    commas = [name for name, column in facts.items() if column.has_decimal_commas]
    if commas:
        yield f"{_some(commas)} has decimal commas. Where a number is needed, write points."


def _some(words: Sequence[str]) -> str:
    """The first of the words, and how many there are more."""
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def _first_rows(human: pd.Series) -> Iterator[str]:
    """A sentence if the labelled rows are the first of the file: no random sample."""
    is_labelled = human.notna().to_numpy()
    n = int(is_labelled.sum())
    if 1 < n < len(human) and is_labelled[:n].all():
        yield (
            f"the {n:,} labelled rows are the first ones of the file. They are a random sample "
            "only if the file was shuffled before."
        )


def _leaks(
    table: pd.DataFrame, facts: Mapping[str, ColumnFacts], roles: Roles, human: pd.Series
) -> Iterator[str]:
    """A sentence for columns from whose value the label follows."""
    labelled = human.dropna()
    n_classes = labelled.nunique()
    if len(labelled) < _MIN_LABELLED or n_classes < 2:
        return
    telling = []
    for name, column in facts.items():
        if name in roles.used or not 2 <= column.n_distinct <= _GIVES_AWAY * n_classes:
            continue
        values = table.loc[labelled.index, name]
        known = filled(values)
        groups = labelled[known].groupby(values[known].astype(str))
        n_most = groups.agg(lambda group: group.value_counts().iloc[0]).sum()
        if known.mean() > 0.5 and n_most >= _ALWAYS * known.sum():
            telling.append(name)
    if telling:
        yield (
            f"{_some(telling)} gives the label away: it is the same in nearly every row. Do not "
            "show it to the people who label, nor put it into the text."
        )


def _equal_to_llm(table: pd.DataFrame, roles: Roles, human: pd.Series) -> Iterator[str]:
    """A sentence for an LLM's column that is the human labels once more."""
    labelled = human.dropna()
    for name in (column for column in roles.recorded if column in table.columns):
        given = table.loc[labelled.index, name].astype(str).str.strip().str.casefold()
        is_equal = given == labelled.astype(str).str.casefold()
        if len(labelled) >= _MIN_LABELLED and is_equal.all():
            yield (
                f"{name} is {roles.label} in every labelled row. Is one a copy of the other, or "
                "did the people see it?"
            )


def _ids(
    table: pd.DataFrame, facts: Mapping[str, ColumnFacts], roles: Roles, config: InitConfig
) -> Iterator[str]:
    """Sentences on ids that repeat, and on ids that may only count the rows."""
    if roles.id:
        first = _first_of_count(table[roles.id])
        if first is not None:
            last = first + len(table) - 1
            yield (
                f"the ids in {roles.id} run from {first} to {last:,} like row numbers. A file "
                f"that counts from {1 - first if first in (0, 1) else 0} has other texts at the "
                f"same ids. id_column={NONE} makes ids from the texts."
            )
    elif roles.row_numbers:
        names = [
            name if not name.startswith("Unnamed") else "the column without a name"
            for name in roles.row_numbers
        ]
        yield (
            f"{_some(names)} only counts the rows and is not used as the id; ids are made from the "
            "texts."
        )
    for name, column in facts.items():
        words = words_of(name)
        is_id = words in (["id"], ["uuid"], ["example", "id"], ["text", "id"], ["doc", "id"])
        n_filled = column.n_filled
        if is_id and name not in roles.used and config.id_column != NONE and not column.is_unique:
            n_repeated = n_filled - column.n_distinct
            yield (
                f"{name} is no unique id: {n_repeated:,} of {n_filled:,} cells repeat another, and "
                "it is not used; ids are made from the texts."
            )


def _first_of_count(column: pd.Series) -> int | None:
    """The first number of a column that counts its rows one by one; None if it does not."""
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    if len(numbers) < 2 or np.isnan(numbers).any() or not (np.diff(numbers) == 1).all():
        return None
    return int(numbers[0])


def _group(table: pd.DataFrame, roles: Roles) -> Iterator[str]:
    """A sentence if rows share their group with others."""
    if not roles.group:
        return
    values = table[roles.group][filled(table[roles.group])].astype(str)
    n_shared = int(values.duplicated(keep=False).sum())
    if n_shared >= _MIN_SHARED * len(table):
        yield (
            f"{n_shared:,} rows share their {roles.group} with another row ({values.nunique():,} "
            f"in all). An audit takes that into account (group={roles.group}); the splits of an "
            "experiment do not, unless a column split assigns whole groups."
        )
