"""Columns with yes and no, or 1 and 0, that hold one label each of a text with several."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from project.config.init import NONE, InitConfig
from project.config.label_type import NOMINAL, USUAL_SEPARATOR
from project.config.lists import split_list
from project.data.inspection.column_facts import ColumnFacts
from project.data.inspection.column_names import LABELS, PEOPLE, is_model, words_of
from project.data.label_names import as_label, folded_name
from project.data.one_label import ANSWERS, IN_COLUMNS, PLACEHOLDER
from project.data.pool_labels import NO_LABEL
from project.support.errors import AssayError, unknown_value

_PREFIX = re.compile(r".*?[\W_]+", re.DOTALL)
_SHOWN = 6  # columns in a sentence
_MAX_SHOWN = 30  # characters of a cell in an error


class LabelColumns(NamedTuple):
    """Columns of which each holds one label: ``pattern`` has ``{label}`` in place of its name."""

    pattern: str
    labels: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in the order of ``labels``."""
        return tuple(self.pattern.replace(PLACEHOLDER, label) for label in self.labels)


class LabelForm(NamedTuple):
    """How a file writes the labels of a text that may have several.

    Attributes
    ----------
    separator
        What stands between the labels of a cell; a card has it in any case.
    are_lists
        Whether the cells are lists or mappings.
    own
        The columns, where each label has its own; else None.
    """

    separator: str = USUAL_SEPARATOR
    are_lists: bool = False
    own: LabelColumns | None = None


def label_form(
    label: str, own: LabelColumns | None, facts: Mapping[str, ColumnFacts], config: InitConfig
) -> LabelForm | None:
    """How the file writes several labels of a text; None where a text has one.

    Parameters
    ----------
    label
        The column of labels; "" for none.
    own
        The columns, where each label has its own.
    facts
        The facts of every column by its name.
    config
        What the user said.
    """
    if own:
        return LabelForm(own=own)
    sets = facts[label].sets if label else None
    found = sets.separator if sets else ""
    if config.has_sets:
        separator = config.separator or found or USUAL_SEPARATOR
        return LabelForm(separator, bool(label) and facts[label].kind == "list")
    is_asked_about = bool(label) and config.label_type != NOMINAL
    if not is_asked_about or not sets or sets.doubt:
        return None
    if found and any(found in name for name in config.classes):
        return None  # the user says that this is the name of a class
    return LabelForm(found or USUAL_SEPARATOR, are_lists=not found)


def holds_answers(column: ColumnFacts) -> bool:
    """Whether all cells say yes or no, or nothing; a word for "no label" says nothing."""
    answers = [value for value in column.counts if value.casefold() not in NO_LABEL]
    return bool(answers) and all(as_label(value, ANSWERS, IN_COLUMNS) for value in answers)


def grouped_columns(facts: Sequence[ColumnFacts]) -> list[LabelColumns]:
    """Groups of columns that hold yes and no and whose names begin alike, the largest first.

    Names of people and numbers behind the beginning are no labels: ``coder_a``, ``label_2``.
    """
    names = [
        column.name
        for column in facts
        if holds_answers(column) and PLACEHOLDER not in column.name and not is_model(column.name)
    ]
    found = []
    while names:
        by_prefix = defaultdict(list)
        for name in names:
            for prefix in _prefixes(name):
                by_prefix[prefix].append(name)
        if not by_prefix:
            break
        prefix = max(by_prefix, key=lambda start: (len(by_prefix[start]), len(start)))
        members = by_prefix[prefix]
        names = [name for name in names if name not in members]
        labels = tuple(name.removeprefix(prefix) for name in members)
        if len(members) > 1 and _may_be_labels(prefix, labels):
            found.append(LabelColumns(f"{prefix}{PLACEHOLDER}", labels))
    return found


def _prefixes(name: str) -> list[str]:
    """The beginnings of a name up to a character between words: ``is_``, ``is_late_``."""
    ends = [match.end() for match in _PREFIX.finditer(name)]
    return [name[:end] for end in ends if 0 < end < len(name)]


def _may_be_labels(prefix: str, labels: Sequence[str]) -> bool:
    is_peoples = bool(PEOPLE & set(words_of(prefix)[-1:]))
    are_numbers = all(re.fullmatch(r"\d+|\w", label) for label in labels)
    are_people = any(PEOPLE & set(words_of(label)) for label in labels)
    are_answers = any(label.casefold() in ANSWERS for label in labels)
    return not (is_peoples or are_numbers or are_people or are_answers)


def proposed_columns(groups: Sequence[LabelColumns], config: InitConfig) -> LabelColumns | None:
    """The group that holds the labels of a file without a column of labels; None for none.

    Raises
    ------
    AssayError
        If several groups may hold them.
    """
    if config.label_column or config.label_type == NOMINAL:
        return None
    wanted = {folded_name(label) for label in config.classes}
    likely = [group for group in groups if wanted <= {folded_name(label) for label in group.labels}]
    by_name = [
        group for group in likely if LABELS & set(words_of(group.pattern.replace(PLACEHOLDER, "")))
    ]
    likely = by_name if len(by_name) == 1 else likely
    if len(likely) < 2:
        return _with_named(likely[0], config) if likely else None
    shown = " or ".join(f"{group.pattern} ({shown_columns(group.columns)})" for group in likely)
    raise AssayError(
        f"label_column must say which columns hold the labels of a text: {shown}. Set "
        f"label_column='{likely[0].pattern}', name the columns with commas between them, or set "
        f"label_column={NONE}."
    )


def _with_named(group: LabelColumns, config: InitConfig) -> LabelColumns:
    """The group with the labels that the user names, if any."""
    wanted = {folded_name(label) for label in config.classes}
    kept = tuple(label for label in group.labels if not wanted or folded_name(label) in wanted)
    return group._replace(labels=kept)


def named_columns(facts: Mapping[str, ColumnFacts], config: InitConfig) -> LabelColumns | None:
    """The columns that ``label_column`` names where each label has its own; None for one column.

    They are named one by one, or with ``{label}`` in place of the label.

    Raises
    ------
    AssayError
        If a column does not exist or holds something else than yes and no, or is the only one.
    """
    written = config.label_column
    if not written or written in facts:
        return None
    parts = split_list(written)
    if PLACEHOLDER in written:
        group = _of_pattern(facts, config)
    elif len(parts) > 1:
        group = _of_list(parts, facts)
    else:
        return None
    if config.label_type == NOMINAL:
        raise AssayError(
            f"label_column must name one column with label_type={NOMINAL}; got {written!r}. Name "
            "one, or leave label_type out."
        )
    if len(group.labels) < 2:
        raise AssayError(
            f"label_column must name the columns of at least two labels; {written!r} names "
            f"{', '.join(group.columns) or 'none'}. Name more columns, or the one that holds sets."
        )
    for label, name in zip(group.labels, group.columns, strict=True):
        _check_answers(facts[name])
        if label.casefold() in ANSWERS:
            raise AssayError(
                f"label_column must not name {name!r} as the column of a label {label!r}, which is "
                "an answer to the question of each label. Rename the column."
            )
    return group


def _of_pattern(facts: Mapping[str, ColumnFacts], config: InitConfig) -> LabelColumns:
    """The columns of a name with ``{label}``: of the named labels, else all that exist."""
    pattern = config.label_column
    if config.classes:
        group = LabelColumns(pattern, config.classes)
        missing = next((name for name in group.columns if name not in facts), "")
        if missing:
            way_out = "Correct label_column or labels."
            raise unknown_value("label_column", missing, facts, way_out)
        return group
    start, _, end = pattern.partition(PLACEHOLDER)
    labels = [
        name[len(start) : len(name) - len(end)]
        for name, column in facts.items()
        if name.startswith(start) and name.endswith(end) and len(name) > len(start) + len(end)
        # {label} alone fits every column: those with other cells are no labels.
        if start or end or holds_answers(column)
    ]
    return LabelColumns(pattern, tuple(labels))


def _of_list(names: Sequence[str], facts: Collection[str]) -> LabelColumns:
    """Columns that are named one by one; what their names begin with is no part of the labels."""
    for name in names:
        if name not in facts:
            way_out = "Name one column, or those of all labels with commas between them."
            raise unknown_value("label_column", name, facts, way_out)
    starts = reversed(_prefixes(names[0]))
    start = next((start for start in starts if all(name.startswith(start) for name in names)), "")
    labels = tuple(name.removeprefix(start) for name in dict.fromkeys(names))
    if any(not label for label in labels):
        start, labels = "", tuple(dict.fromkeys(names))
    return LabelColumns(f"{start}{PLACEHOLDER}", labels)


def _check_answers(column: ColumnFacts) -> None:
    """Raise AssayError for a column with other cells than yes and no."""
    if holds_answers(column):
        return
    wrong = next((value for value in column.counts if not as_label(value, ANSWERS, IN_COLUMNS)), "")
    holds = (
        f"it has {wrong!r}" if 0 < len(wrong) <= _MAX_SHOWN else f"it is of the kind {column.kind}"
    )
    raise AssayError(
        f"label_column {column.name!r} must hold 1 and 0, yes and no, or true and false, as each "
        f"column of a label does; {holds}. Leave it out of label_column, or name the labels in "
        "labels."
    )


def shown_columns(names: Sequence[str]) -> str:
    """Names of columns in a sentence."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def recorded_groups(
    facts: Mapping[str, ColumnFacts], labels: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Columns in which an LLM gave every label its own, by how ``recorded_columns`` names them.

    Yes and no stand in ``NAME_{label}``, probabilities in ``NAME.<label>``, which NAME names.
    """
    first = labels[0]
    found: dict[str, tuple[str, ...]] = {}
    if any(mark in label for label in labels for mark in ",*"):  # separate and expand names there
        return found
    for name in facts:
        start = name.removesuffix(first)
        if start in ("", name) or not is_model(start):
            continue
        columns = tuple(f"{start}{label}" for label in labels)
        if not all(column in facts for column in columns):
            continue
        if all(holds_answers(facts[column]) for column in columns):
            found[f"{start}{PLACEHOLDER}"] = columns
        elif start.endswith(".") and all(facts[column].kind == "number" for column in columns):
            found[start.removesuffix(".")] = columns
    return found
