"""Which column is the text, the label, the id, the group and an LLM's label, by name and content.

Every choice is a proposal: it is shown with the other columns that are possible and the parameter
that decides.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from project.config.init import NONE, InitConfig
from project.data.inspection.column_facts import ColumnFacts
from project.data.inspection.column_names import (
    GROUPS,
    IDS,
    LABELS,
    MAIN_TEXTS,
    NAMES_OF_PEOPLE,
    PEOPLE,
    ROW_NUMBERS,
    SHORT_TEXTS,
    TIMES,
    is_model,
    words_of,
)
from project.data.preset_splits import SPLIT_NAMES
from project.support.errors import AssayError, unknown_value

_ENOUGH = 2.0  # points for a column to be taken for labels
_NEAR = 1.0  # points within which another column is as likely
_MAX_UNIQUE = 0.95  # of the values of a group's column
_MAX_SHOWN = 12  # columns in an error
_FEW_CLASSES = 50  # more need ten rows each on average to be taken for classes
_MIN_GROUPS = 30
"""Groups below which whole groups cannot be resampled."""


class Roles(NamedTuple):
    """The proposed columns; "" for none.

    ``others`` holds, for a role, further columns that are as good or nearly so. ``recorded`` holds
    the columns with labels of LLMs. ``row_numbers`` are columns that only count the rows.
    """

    text: str
    label: str
    id: str
    group: str
    recorded: tuple[str, ...]
    split: str
    others: Mapping[str, tuple[str, ...]]
    row_numbers: tuple[str, ...] = ()

    @property
    def used(self) -> set[str]:
        """Every column that has a role."""
        named = (self.text, self.label, self.id, self.group, self.split, *self.recorded)
        return {name for name in named if name}


def propose_roles(facts: Sequence[ColumnFacts], n_rows: int, config: InitConfig) -> Roles:
    """The columns for each role: those that the user named, else the likeliest.

    Raises
    ------
    AssayError
        If a named column does not exist, or no column looks like texts.
    """
    by_name = {column.name: column for column in facts}
    _check_named(config, by_name)
    recorded = _recorded(facts, config)
    text, other_texts = _text(facts, config, taken=recorded)
    label, other_labels = _label(facts, n_rows, config, taken={text, *recorded}, recorded=recorded)
    taken = {text, label, *recorded}
    split = next(
        (
            column.name
            for column in facts
            if column.name not in taken
            and {"split", "set", "partition", "subset", "fold"} & set(words_of(column.name))
            and _names_splits(column)
        ),
        "",
    )
    taken.add(split)
    row_numbers = tuple(
        column.name for column in facts if column.name not in taken and _counts_rows(column)
    )
    own_id, other_ids = _id(facts, n_rows, config, taken={*taken, *row_numbers})
    group, other_groups = _group(facts, n_rows, config, taken={*taken, own_id, *row_numbers})
    others = {"text": other_texts, "label": other_labels, "id": other_ids, "group": other_groups}
    return Roles(text, label, own_id, group, recorded, split, others, row_numbers)


def _check_named(config: InitConfig, known: Collection[str]) -> None:
    """Raise AssayError for a column that a parameter names and the file does not have."""
    named = [(name, getattr(config, name)) for name in ("text_column", "label_column")]
    named += [("id_column", config.id_column), ("group", config.group)]
    named += [("recorded_columns", column) for column in config.recorded]
    for name, column in named:
        is_none = column == NONE and name != "text_column"
        if column and column not in known and not is_none:
            raise unknown_value(name, column, known, f"Set {name} to the name of a column.")


def _recorded(facts: Sequence[ColumnFacts], config: InitConfig) -> tuple[str, ...]:
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
    """Whether the values can be classes: few, short, each more than once on average."""
    if column.kind in ("date", "address", "e-mail", "empty") or column.has_decimal_commas:
        return False
    is_whole = all(re.fullmatch(r"-?\d+", value) for value in column.counts)
    if column.kind == "number" and not is_whole:
        return False
    n_each = 2 if column.n_distinct <= _FEW_CLASSES else 10
    return bool(column.counts) and column.n_distinct <= max(2, column.n_filled / n_each)


def _text(
    facts: Sequence[ColumnFacts], config: InitConfig, taken: Collection[str]
) -> tuple[str, tuple[str, ...]]:
    """The column of texts, and others that may be meant."""
    if config.text_column:
        return config.text_column, ()
    points = {
        column.name: _text_points(column)
        for column in facts
        if column.name not in taken and column.name not in (config.label_column, config.id_column)
    }
    likely = sorted((name for name in points if points[name] > 0), key=lambda name: -points[name])
    if not likely:
        columns = ", ".join(f"{column.name} ({column.kind})" for column in facts[:_MAX_SHOWN])
        columns += ", ..." if len(facts) > _MAX_SHOWN else ""
        raise AssayError(
            f"no column of the file looks like texts; it has {columns}. Set text_column to the "
            "column with the texts."
        )
    return likely[0], tuple(name for name in likely[1:4] if points[name] > points[likely[0]] - 3)


def _text_points(column: ColumnFacts) -> float:
    """How much a column looks like texts; 0 for one that does not."""
    if column.kind != "text":
        return 0.0
    words = set(words_of(column.name))
    is_main = bool(words & MAIN_TEXTS)
    is_short = bool(words & SHORT_TEXTS)
    differs = column.n_distinct / column.n_filled
    if differs < 0.2 and column.n_distinct < 50:
        return 0.0
    if not is_main and not is_short and (column.mean_words < 2.5 or differs < 0.2):
        return 0.0
    length = min(column.mean_characters, 1000) ** 0.25  # 100 characters: 3.2; 1,000: 5.6
    # What a model wrote beside its label, such as a reason, is not the text that it read.
    return length + 2.5 * is_main + 0.5 * is_short + differs - 5 * is_model(column.name)


def _label(
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
        value.casefold() for column in facts if column.name in recorded for value in column.counts
    }
    points = {
        column.name: _label_points(column, n_rows, of_llm)
        for column in facts
        if column.name not in taken and _may_be_label(column) and not _names_splits(column)
    }
    likely = sorted(points, key=lambda name: -points[name])
    if not likely or points[likely[0]] < _ENOUGH:
        return "", tuple(name for name in likely if points[name] > -_NEAR)
    best = points[likely[0]]
    return likely[0], tuple(
        name for name in likely[1:] if points[name] >= max(_ENOUGH, best - _NEAR)
    )


def _label_points(column: ColumnFacts, n_rows: int, of_llm: Collection[str]) -> float:
    """How much a column looks like people's labels."""
    words = set(words_of(column.name))
    # A column called coder names people; coder_a or gold_coder holds a person's labels.
    is_persons = bool(words & PEOPLE) and not words <= NAMES_OF_PEOPLE
    points = 2.5 * bool(words & LABELS) + 2.0 * is_persons
    values = {value.casefold() for value in column.counts}
    if of_llm:
        points += 3.0 * len(values & set(of_llm)) / len(values)
    points += 0.5 * (column.n_filled < n_rows)
    points -= 0.5 * (column.kind == "number")
    points -= 2.0 * bool(words & (GROUPS | IDS | TIMES))
    points -= 3.0 * (column.n_distinct < 2)
    return points


def _names_splits(column: ColumnFacts) -> bool:
    values = {value.casefold() for value in column.counts}
    return len(values) > 1 and values <= SPLIT_NAMES.keys()


def _counts_rows(column: ColumnFacts) -> bool:
    """Whether the name says that a column only counts the rows."""
    words = words_of(column.name)
    return column.is_unique and bool(words) and words[0] in ROW_NUMBERS


def _id(
    facts: Sequence[ColumnFacts], n_rows: int, config: InitConfig, *, taken: Collection[str]
) -> tuple[str, tuple[str, ...]]:
    """The column with ids, each of them once, and others that may be meant."""
    if config.id_column:
        return ("" if config.id_column == NONE else config.id_column), ()
    known = [
        column.name
        for column in facts
        if column.name not in taken
        and column.is_unique
        and column.n_filled == n_rows
        and column.kind in ("number", "token", "text", "other")
        and not column.has_decimal_commas
        and set(words_of(column.name)) & IDS
    ]
    known.sort(key=lambda name: len(words_of(name)))
    return (known[0], tuple(known[1:])) if known else ("", ())


def _group(
    facts: Sequence[ColumnFacts], n_rows: int, config: InitConfig, *, taken: Collection[str]
) -> tuple[str, tuple[str, ...]]:
    """The column that several texts share, such as their author, and others that may be meant."""
    if config.group:
        return ("" if config.group == NONE else config.group), ()
    known = [
        column
        for column in facts
        if column.name not in taken
        and set(words_of(column.name)) & GROUPS
        and column.kind not in ("date", "list")
        and column.n_filled >= n_rows / 2
        and _MIN_GROUPS <= column.n_distinct <= _MAX_UNIQUE * column.n_filled
    ]
    # The finest grouping first: it is the one whose texts are most alike.
    known.sort(key=lambda column: -column.n_distinct)
    names = [column.name for column in known]
    return (names[0], tuple(names[1:])) if names else ("", ())
