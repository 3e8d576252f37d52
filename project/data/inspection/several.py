"""The labels of a file whose texts may have several, and which of them people gave to each text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from project.config.init import InitConfig
from project.config.label_type import NOMINAL, USUAL_SEPARATOR
from project.data.inspection.column_facts import MAX_CLASSES, ColumnFacts, filled
from project.data.inspection.label_columns import LabelForm, holds_answers, recorded_groups
from project.data.inspection.label_set import LabelSet, find_labels, foreign_values
from project.data.inspection.label_sets import SetFacts, sets_with
from project.data.inspection.roles import Roles
from project.data.one_label import (
    NO,
    PLACEHOLDER,
    YES,
    OneLabel,
    check_labels_of_sets,
)
from project.data.set_splits import sets_of
from project.support.errors import AssayError, unknown_value

_SEPARATORS = (USUAL_SEPARATOR, "|", ";;", "||")
_MIN_LABELS = 2
_MAX_FOREIGN = 0.5  # of what an LLM's column names, that is no label of the task


class Several(NamedTuple):
    """What a file with several labels a text holds.

    Attributes
    ----------
    roles
        Its columns, with those of LLMs that can be read as sets of its labels.
    labels
        The labels; ``counts`` holds the texts with each.
    answers
        A column for each label: 1 where a text has it, 0 where not, nan where this is not known.
    sets
        The sets in the column of labels; None where there is none.
    """

    roles: Roles
    labels: LabelSet
    answers: pd.DataFrame
    sets: SetFacts | None = None


def read_several(
    table: pd.DataFrame, facts: Mapping[str, ColumnFacts], roles: Roles, config: InitConfig
) -> Several:
    """The labels and the sets of a file whose texts may have several.

    Parameters
    ----------
    table, facts
        The file, and the facts of its columns by name.
    roles
        What the columns are; ``form`` says how several labels are written.
    config
        What the user said.

    Raises
    ------
    AssayError
        If the column holds too many different labels or unusable ones, or a named column of an LLM
        cannot be read.
    """
    form = roles.form or LabelForm()
    human = None if form.own or not roles.label else _parts(table, facts[roles.label], form)
    if human and not config.classes:
        _check_number(human)
    named = form.own.labels if form.own else config.classes
    by_name = [name for name in roles.recorded if name in facts and not holds_answers(facts[name])]
    llm = [_parts(table, facts[name], form) for name in by_name]
    labels = find_labels(human, llm, named, adds_llm=not roles.label)
    if len(labels.labels) < _MIN_LABELS:
        return Several(roles._replace(recorded=()), labels, pd.DataFrame(index=table.index))
    if not config.separator and (form.are_lists or form.own or not roles.label):
        form = _with_free_separator(form, labels)
    _check_labels(form, labels)
    answers = _answers(table, roles, labels, form.separator)
    labels = labels._replace(counts={name: int(answers[name].sum()) for name in labels.labels})
    if form.own and not config.classes:
        labels = _without_constant(labels, answers)
    roles = _with_recorded(roles._replace(form=form), facts, labels, llm, config)
    foreign = {
        column.name: foreign_values(column, labels.labels, labels.values)
        for column in llm
        if column.name in roles.recorded
    }
    return Several(
        roles,
        labels._replace(foreign=foreign),
        answers[list(labels.labels)],
        human.sets if human else None,
    )


def _answers(table: pd.DataFrame, roles: Roles, labels: LabelSet, separator: str) -> pd.DataFrame:
    """What people said of each text and label; not known where a row has no text."""
    names = list(labels.labels)
    if not roles.label:
        return pd.DataFrame(np.nan, index=table.index, columns=names)
    one = OneLabel("", labels.labels, labels.values, separator, "")
    answers = sets_of(table, one, roles.label)
    return answers.where(pd.Series(filled(table[roles.text]), index=table.index), np.nan)


def as_text(answers: pd.DataFrame) -> pd.Series:
    """The set of each row as one text, null where no label is known ``(n_rows,)``."""
    names = np.array(answers.columns, dtype=object)
    has = (answers == 1).to_numpy()
    texts = [USUAL_SEPARATOR.join(names[row]) or "none" for row in has]
    known = answers.notna().any(axis=1)
    return pd.Series(texts, index=answers.index, dtype=object).where(known, None)


def _parts(table: pd.DataFrame, column: ColumnFacts, form: LabelForm) -> ColumnFacts:
    """The facts of a column with the counts of its single labels."""
    values = table[column.name]
    sets = sets_with(values[filled(values)], form.separator)
    return column._replace(counts=sets.counts, sets=sets)


def _check_number(human: ColumnFacts) -> None:
    """Raise AssayError for a column with too many different labels, or none."""
    n = len(human.counts)
    if 0 < n <= MAX_CLASSES:
        return
    holds = f"{n:,} different ones" if n else "none"
    raise AssayError(
        f"label_column {human.name!r} must hold sets of at most {MAX_CLASSES} labels; it has "
        f"{holds}. Set separator to what stands between them, or name another column."
    )


def _with_free_separator(form: LabelForm, labels: LabelSet) -> LabelForm:
    """The form with a separator that no label has; a card needs one, whatever the data need."""
    free = [mark for mark in _SEPARATORS if not any(mark in name for name in labels.labels)]
    return form._replace(separator=free[0] if free else USUAL_SEPARATOR)


def _check_labels(form: LabelForm, labels: LabelSet) -> None:
    """Raise AssayError for labels that no card takes."""
    try:
        check_labels_of_sets(labels.labels, form.separator)
    except ValueError as error:
        raise AssayError(
            f"labels: {error} Or take each cell for one class with label_type={NOMINAL}."
        ) from None


def _without_constant(labels: LabelSet, answers: pd.DataFrame) -> LabelSet:
    """The labels without those whose column says the same of all texts; at least two stay.

    Their question has one answer, so that no classifier can be trained on it.
    """
    left_out = {}
    for name in labels.labels:
        known = answers[name].dropna()
        if known.nunique() < _MIN_LABELS:
            left_out[name] = "" if known.empty else YES if known.iloc[0] else NO
    kept = tuple(name for name in labels.labels if name not in left_out)
    if len(kept) < _MIN_LABELS:
        return labels
    counts = {name: labels.counts[name] for name in kept}
    return labels._replace(labels=kept, counts=counts, left_out=left_out)


def _with_recorded(
    roles: Roles,
    facts: Mapping[str, ColumnFacts],
    labels: LabelSet,
    llm: Sequence[ColumnFacts],
    config: InitConfig,
) -> Roles:
    """The columns of LLMs that hold sets of these labels, or a column for each of them.

    Raises AssayError for a named one that does not.
    """
    groups = recorded_groups(facts, labels.labels)
    if config.recorded_columns:
        recorded = roles.recorded
        for name in recorded:
            _check_recorded(name, facts, groups)
    else:
        in_groups = {name for columns in groups.values() for name in columns}
        known = [c.name for c in llm if c.name not in in_groups and _names_labels(c, labels)]
        recorded = (*groups, *known)
    parts = {**roles.parts, **{name: groups[name] for name in recorded if name in groups}}
    return roles._replace(recorded=recorded, parts=parts)


def _names_labels(column: ColumnFacts, labels: LabelSet) -> bool:
    """Whether what an LLM's column names mostly are labels."""
    foreign = foreign_values(column, labels.labels, labels.values)
    n_named = sum(column.counts.values())
    return n_named > 0 and sum(foreign.values()) <= _MAX_FOREIGN * n_named


def _check_recorded(
    name: str, facts: Mapping[str, ColumnFacts], groups: Mapping[str, Sequence[str]]
) -> None:
    """Raise AssayError for a name of ``recorded_columns`` that holds no sets of the labels."""
    if name in groups:
        return
    if name not in facts:
        way_out = f"Name a column, or NAME{PLACEHOLDER} where every label has its own."
        raise unknown_value("recorded_columns", name, [*facts, *groups], way_out)
    if holds_answers(facts[name]):
        raise AssayError(
            f"recorded_columns must hold sets of labels; {name!r} holds yes and no, and it is not "
            f"known of which label. Write its columns as NAME{PLACEHOLDER}, or leave it out."
        )
