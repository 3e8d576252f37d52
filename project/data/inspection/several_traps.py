"""Sentences on several labels a text: what a column was taken for, and how to say otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from project.config.init import NONE
from project.config.label_type import MULTI, NOMINAL
from project.data.inspection.column_facts import ColumnFacts
from project.data.inspection.label_columns import LabelColumns, LabelForm, shown_columns
from project.data.inspection.label_set import LabelSet
from project.data.inspection.label_sets import SetFacts
from project.data.inspection.roles import Roles
from project.data.one_label import NO, YES

_DOC = "docs/several-labels.md"
_WHO = {YES: "every labelled text has", NO: "no labelled text has", "": "no text shows"}
_NONE = "none"
_MIN_LABELLED = 30  # texts by which columns can be seen to be classes


def several_traps(
    roles: Roles,
    labels: LabelSet,
    facts: Mapping[str, ColumnFacts],
    human: pd.Series,
    sets: SetFacts | None,
) -> Iterator[str]:
    """Sentences on the columns that hold several labels of a text, or may do so.

    Parameters
    ----------
    roles, labels
        The columns, and the labels.
    facts
        The facts of every column by its name.
    human
        The set of each row as one text, null where it is not known; of texts with one label their
        class.
    sets
        The sets in the column of labels; None where there is none.
    """
    if roles.form is None:
        if roles.label:
            yield from _doubtful(facts[roles.label])
        for group in roles.groups if roles.label else ():
            yield _offered(group, roles.label)
        return
    if roles.form.own:
        yield _taken_columns(roles.form.own)
        yield from _classes(roles.form.own, human)
        yield from _left_out(labels)
    elif sets:
        yield _taken_cells(roles.label, roles.form, sets)
        yield from _empty_cells(roles.label, human)
    yield from _constant(labels, human)


def _taken_cells(column: str, form: LabelForm, sets: SetFacts) -> str:
    """What a column of sets was taken for."""
    example = f", such as {sets.example!r}" if sets.n_several else ""
    written = "written as lists" if form.are_lists else f"with {form.separator!r} between them"
    way_out = f"If each cell is one class, set label_type={NOMINAL}."
    if not form.are_lists:
        way_out += " separator=TEXT names another separator."
    return (
        f"{column} is taken for sets of labels, {written}: cells with several are "
        f"{sets.n_several:,}{example}. {way_out}"
    )


def _empty_cells(column: str, human: pd.Series) -> Iterator[str]:
    """A sentence on empty cells where no other cell says that no label fits."""
    n = int(human.isna().sum())
    if n and not (human == _NONE).any():
        yield (
            f"{column} has {n:,} cells without a label, which count as not labelled. If they say "
            f"that no label fits, write {_NONE} into them."
        )


def _taken_columns(own: LabelColumns) -> str:
    """What a group of columns was taken for."""
    return (
        f"the columns {shown_columns(own.columns)} hold 1 and 0, or yes and no. Each is taken for "
        f"one label of a text that may have several (label_column={own.pattern}). If they are no "
        f"labels, name another label_column, or {NONE}."
    )


def _classes(own: LabelColumns, human: pd.Series) -> Iterator[str]:
    """A sentence if every text has exactly one of the labels."""
    known = human.dropna()
    if len(known) >= _MIN_LABELLED and known.isin(own.labels).all():
        yield (
            f"every text has exactly one of {shown_columns(own.columns)}: these may be classes. A "
            "task with one label a text needs one column with the names of the classes."
        )


def _left_out(labels: LabelSet) -> Iterator[str]:
    """A sentence on each label that is not in the card."""
    for name, answer in labels.left_out.items():
        yield (
            f"{_WHO[answer]} the label {name}, so that nothing can be learnt of it: it is not in "
            "the card. Name all labels in labels to have it there."
        )


def _constant(labels: LabelSet, human: pd.Series) -> Iterator[str]:
    """A sentence on each label of the card that all labelled texts have, or none."""
    n = int(human.notna().sum())
    for name, count in labels.counts.items():
        if n and count in (0, n):
            yield (
                f"{_WHO[YES if count else NO]} the label {name}: nothing can be learnt of it, and "
                "its task in a suite fails. The others run."
            )


def _doubtful(column: ColumnFacts) -> Iterator[str]:
    """A sentence on a column that may hold sets and is taken for one of classes."""
    if column.n_several:
        yield (
            f"{column.n_several:,} cells of {column.name} hold several labels and are left out. "
            f"For a card with several labels a text, set label_type={MULTI} ({_DOC})."
        )
    elif column.sets:
        sets = column.sets
        because = f", but {sets.doubt}" if sets.doubt else ""
        yield (
            f"{column.name} may hold several labels with {sets.separator!r} between them "
            f"({sets.n_several:,} cells, such as {sets.example!r}){because}; the card takes each "
            f"combination for a class. If they are sets, set label_type={MULTI} here; or list the "
            f"single labels in the card, with label_type: {MULTI} and separator: "
            f"{sets.separator!r} ({_DOC})."
        )


def _offered(group: LabelColumns, label: str) -> str:
    """A sentence on a group of columns that may be the labels, beside a column of labels."""
    return (
        f"the columns {shown_columns(group.columns)} hold 1 and 0, or yes and no. They are not "
        f"used, as {label} holds labels. If each of them is one label of a text that may have "
        f"several, set label_column={group.pattern}."
    )
