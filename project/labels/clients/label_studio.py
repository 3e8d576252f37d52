"""Exports of Label Studio beyond its own JSON: JSON-MIN, CSV and TSV, taxonomies, comment boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from project.data.cells import SEVERAL, Single, is_blank, parsed, single_label
from project.data.label_names import as_label
from project.labels.clients.rows import house_rows, identity_of
from project.support.errors import AssayError

_MARKS = ("annotation_id", "lead_time")
"""Columns that a table of Label Studio has beside ``annotator``."""
_OWN = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"}
_USUAL = ("label", "choice", "sentiment", "taxonomy")
_BETWEEN = ("/", " / ", " > ", ">")
"""How the steps of a taxonomy may be joined in the name of a label."""


def is_export(table: pd.DataFrame) -> bool:
    """Whether a table is Label Studio's JSON-MIN, CSV or TSV."""
    marks = {*_MARKS, "label"}
    return "annotator" in table.columns and bool(marks & set(table.columns))


def rows(table: pd.DataFrame, label_set: Sequence[str], title: str) -> pd.DataFrame:
    """The rows of an export (:mod:`project.labels.clients.rows`), one for each annotation.

    Parameters
    ----------
    table
        The export.
    label_set
        The task's labels, by which the column of the choices is found.
    title
        What the file is, for errors.
    """
    column = _choices_column(table, label_set, title)
    answers = [chosen(cell, label_set) for cell in table[column]]
    people = [None if is_blank(one) else person(one) for one in table["annotator"]]
    return house_rows(identity_of(table), answers, people)


def person(value: Any) -> str:
    """The name of the person with this number or address."""
    whole = isinstance(value, float) and value.is_integer()
    return f"annotator {int(value) if whole else value}"


def chosen(cell: Any, label_set: Sequence[str]) -> Single:
    """The label in a cell: a text, a list, ``{"choices": [...]}``, or paths of a taxonomy."""
    value = cell if isinstance(cell, str) and cell in label_set else parsed(cell)
    if isinstance(value, Mapping):
        value = value.get("choices", value.get("taxonomy", value))
    if isinstance(value, list) and value and all(isinstance(item, list) for item in value):
        labels = {_label_of_path(path, label_set) for path in value if path}
        return Single(None, SEVERAL) if len(labels) > 1 else Single(next(iter(labels), None))
    return single_label(value, label_set)


def _label_of_path(path: Sequence[Any], label_set: Sequence[str]) -> str:
    """The label at a place in a taxonomy: the whole path, or its last step that is a label."""
    steps = [str(step) for step in path]
    whole = [mark.join(steps) for mark in _BETWEEN]
    return next((name for name in (*whole, *reversed(steps)) if name in label_set), steps[-1])


def one_choice(
    results: Sequence[Mapping[str, Any]], label_set: Sequence[str], control: str = ""
) -> Single:
    """The one label that a person ticked in an annotation; several are no answer.

    Comment boxes, ratings and other controls are left aside, and so are further Choices whose
    values are no labels. A taxonomy counts as choices.

    Parameters
    ----------
    results
        The results of the annotation, of any kind.
    label_set
        The task's labels; empty if they are not known, so that all choices count.
    control
        The control that asks for the label (:func:`control_of_labels`): without an answer to it
        there is no label, whatever else was ticked. "" if it is not known.
    """
    controls = _ticked(results, label_set)
    fitting = _fitting(controls, label_set)
    own = {name: controls[name] for name in (control or "label",) if controls.get(name)}
    if control and not own:
        return Single(None)
    chosen_in = own if control and control not in fitting else fitting or own or controls
    ticked = [label for labels in chosen_in.values() for label in labels]
    if len(set(ticked)) > 1:
        return Single(None, SEVERAL)
    return Single(ticked[0] if ticked else None)


def choices_of(
    results: Sequence[Mapping[str, Any]], label_set: Sequence[str], control: str = ""
) -> list[str]:
    """All labels that a person ticked in an annotation, each once.

    Empty where nothing is ticked in the control that asks for labels. Parameters: see
    :func:`one_choice`.
    """
    controls = _ticked(results, label_set)
    own = controls.get(control or "label", [])
    chosen_in = {control: own} if own else _fitting(controls, label_set)
    return list(dict.fromkeys(label for labels in chosen_in.values() for label in labels))


def control_of_labels(tasks: Sequence[Any], label_set: Sequence[str], title: str) -> str:
    """The control whose choices are the task's labels; "" if none has such a choice.

    It is decided for the whole file: a person may leave it empty and answer another question that
    has the same choices.

    Raises
    ------
    AssayError
        If several controls have such choices and none of them is named ``label``.
    """
    names: dict[str, None] = {}  # a set in the order of the first insertions
    for task in tasks:
        for annotation in task.get("annotations") or ():
            ticked = _ticked(annotation.get("result") or (), label_set)
            names |= dict.fromkeys(_fitting(ticked, label_set))
    if "label" in names or len(names) < 2:
        return "label" if "label" in names else next(iter(names), "")
    raise AssayError(
        f"{title} is an export of Label Studio; the controls {', '.join(names)} all have the "
        f"labels {', '.join(label_set)} as choices. Export one of them, or name one 'label'."
    )


def _fitting(controls: Mapping[str, list[str]], label_set: Sequence[str]) -> dict[str, list[str]]:
    """The controls in which a label of the task is ticked."""
    return {
        name: labels
        for name, labels in controls.items()
        if any(as_label(label, label_set, {}) for label in labels)
    }


def _ticked(results: Sequence[Mapping[str, Any]], label_set: Sequence[str]) -> dict[str, list[str]]:
    """The choices that are ticked in an annotation, by the name of their control."""
    controls: dict[str, list[str]] = {}
    for result in results:
        value = result.get("value", {})
        labels = value.get("choices", [])
        if "taxonomy" in value:
            labels = [_label_of_path(path, label_set) for path in value["taxonomy"] if path]
        controls.setdefault(str(result.get("from_name")), []).extend(map(str, labels))
    return controls


def check_has_choices(tasks: Sequence[Any], title: str) -> None:
    """Raise AssayError for a JSON export with answers, none of which are choices."""
    kinds: set[str] = set()
    for task in tasks:
        for annotation in task.get("annotations") or () if isinstance(task, Mapping) else ():
            for result in annotation.get("result") or ():
                if {"choices", "taxonomy"} & set(result.get("value", {})):
                    return
                kinds.add(str(result.get("type")))
    if kinds:
        raise AssayError(
            f"{title} is an export of Label Studio without choices; its answers are of the kind "
            f"{', '.join(sorted(kinds))}. Label with the control Choices or Taxonomy."
        )


def _choices_column(table: pd.DataFrame, label_set: Sequence[str], title: str) -> str:
    """The column of the control with the choices."""
    if "label" in table.columns:
        return "label"
    others = [name for name in table.columns if name not in _OWN]
    # Where a person may answer with other words than labels, the column is still one of labels.
    fitting = [name for name in others if _holds_labels(table[name], label_set)] or [
        name for name in others if _holds_several(table[name], label_set)
    ]
    usual = [name for name in _USUAL if name in others]
    if len(fitting) == 1:
        return str(fitting[0])
    if not fitting and usual:
        return usual[0]
    raise AssayError(
        f"{title} looks like an export of Label Studio; "
        f"{'several columns hold' if fitting else 'no column holds'} the labels "
        f"{', '.join(label_set)}: {', '.join(map(str, fitting or others))}. Rename the column of "
        "the choices to label."
    )


def _holds_labels(column: pd.Series, label_set: Sequence[str]) -> bool:
    """Whether some answers of a column are labels of the task."""
    labels = [chosen(cell, label_set).label for cell in column]
    return any(label is not None and as_label(label, label_set, {}) for label in labels)


def _holds_several(column: pd.Series, label_set: Sequence[str]) -> bool:
    """Whether all answers of a column are several choices each."""
    answers = [chosen(cell, label_set) for cell in column]
    return any(one.reason for one in answers) and all(one.label is None for one in answers)
