"""Which column is the text, the label, the id, the group and an LLM's label, by name and content.

Every choice is a proposal: it is shown with the other columns that are possible and the parameter
that decides.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from project.config.init import NONE, InitConfig
from project.config.label_type import NOMINAL
from project.data.inspection.column_facts import ColumnFacts
from project.data.inspection.column_names import (
    GROUPS,
    IDS,
    MAIN_TEXTS,
    ROW_NUMBERS,
    SHORT_TEXTS,
    is_model,
    words_of,
)
from project.data.inspection.label_columns import (
    LabelColumns,
    LabelForm,
    grouped_columns,
    label_form,
    named_columns,
    proposed_columns,
)
from project.data.inspection.label_role import label_column, names_splits, recorded_columns
from project.data.one_label import PLACEHOLDER
from project.support.errors import AssayError, unknown_value

_MAX_UNIQUE = 0.95  # of the values of a group's column
_MAX_SHOWN = 12  # columns in an error
_MIN_GROUPS = 30
"""Groups below which whole groups cannot be resampled."""


class Roles(NamedTuple):
    """The proposed columns; "" for none.

    ``label`` has ``{label}`` in it where each label has a column. ``others`` holds, for a role,
    further columns that are as good or nearly so. ``recorded`` holds the columns with labels of
    LLMs. ``row_numbers`` are columns that only count the rows. ``form`` says how several labels of
    a text are written; None where a text has one. ``parts`` holds the columns for which a name
    stands that is no column. ``groups`` may be the labels of a text with several, too.
    """

    text: str
    label: str
    id: str
    group: str
    recorded: tuple[str, ...]
    split: str
    others: Mapping[str, tuple[str, ...]]
    row_numbers: tuple[str, ...] = ()
    form: LabelForm | None = None
    parts: Mapping[str, tuple[str, ...]] = {}
    groups: tuple[LabelColumns, ...] = ()

    @property
    def used(self) -> set[str]:
        """Every column that has a role."""
        named = (self.text, self.label, self.id, self.group, self.split, *self.recorded)
        parts = [column for columns in self.parts.values() for column in columns]
        return {name for name in (*named, *parts) if name}


def propose_roles(facts: Sequence[ColumnFacts], n_rows: int, config: InitConfig) -> Roles:
    """The columns for each role: those that the user named, else the likeliest.

    Raises
    ------
    AssayError
        If a named column does not exist, or no column looks like texts.
    """
    by_name = {column.name: column for column in facts}
    own = named_columns(by_name, config)
    _check_named(config, by_name, own)
    groups = [] if config.label_type == NOMINAL else grouped_columns(facts)
    in_groups = {name for group in groups for name in group.columns}
    recorded = recorded_columns(facts, config)
    text, other_texts = _text(facts, config, taken=recorded)
    label, other_labels = label_column(
        facts, n_rows, config, taken={text, *recorded, *in_groups}, recorded=recorded
    )
    if not label and not own:
        own = proposed_columns(groups, config)
    form = label_form("" if own else label, own, by_name, config)
    parts = {own.pattern: own.columns} if own else {}
    if own:
        label, other_labels = own.pattern, ()
    taken = {text, label, *recorded, *(own.columns if own else ())}
    split = _split(facts, taken)
    taken.add(split)
    row_numbers = tuple(
        column.name for column in facts if column.name not in taken and _counts_rows(column)
    )
    own_id, other_ids = _id(facts, n_rows, config, taken={*taken, *row_numbers})
    group, other_groups = _group(facts, n_rows, config, taken={*taken, own_id, *row_numbers})
    others = {"text": other_texts, "label": other_labels, "id": other_ids, "group": other_groups}
    return Roles(
        text=text,
        label=label,
        id=own_id,
        group=group,
        recorded=recorded,
        split=split,
        others=others,
        row_numbers=row_numbers,
        form=form,
        parts=parts,
        groups=tuple(groups),
    )


def _split(facts: Sequence[ColumnFacts], taken: Collection[str]) -> str:
    """The column that names splits; "" for none."""
    words = {"split", "set", "partition", "subset", "fold"}
    return next(
        (
            column.name
            for column in facts
            if column.name not in taken
            and words & set(words_of(column.name))
            and names_splits(column)
        ),
        "",
    )


def _check_named(config: InitConfig, known: Collection[str], own: LabelColumns | None) -> None:
    """Raise AssayError for a column that a parameter names and the file does not have."""
    named = [("text_column", config.text_column), ("id_column", config.id_column)]
    named += [("group", config.group)]
    named += [] if own else [("label_column", config.label_column)]
    named += [
        ("recorded_columns", column)
        for column in config.recorded
        if PLACEHOLDER not in column and not any(name.startswith(f"{column}.") for name in known)
    ]
    for name, column in named:
        is_none = column == NONE and name != "text_column"
        if column and column not in known and not is_none:
            raise unknown_value(name, column, known, f"Set {name} to the name of a column.")


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
