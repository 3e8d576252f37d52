"""Label Studio's export as JSON: who gave which label to which text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from project.data.cells import Single
from project.labels.clients import label_studio
from project.labels.clients.rows import REASON, identity_of
from project.support.errors import AssayError


def no_export(name: str, error: Exception) -> AssayError:
    """The error of a file that is no export of Label Studio."""
    return AssayError(
        f"human file {name} is no export of Label Studio with example_id and one choice "
        f"in every task ({type(error).__name__}: {error}). Export it as JSON or JSON-MIN."
    )


def rows_of_people(
    name: str, tasks: Sequence[Any], label_set: Sequence[str], *, several: bool = False
) -> pd.DataFrame:
    """The rows of a Label Studio export (JSON), one for each label of a person.

    A skipped task has one row without a label.

    Parameters
    ----------
    name
        Name of the file, for errors.
    tasks
        The entries of the export.
    label_set
        The labels to choose from; empty if they are not known.
    several
        Whether a person may have ticked several of them, or none: then a label is their list.
    """
    title = f"human file {name}"
    label_studio.check_has_choices(tasks, title)
    try:
        control = label_studio.control_of_labels(tasks, label_set, title)
        rows = [
            (task, *answer)
            for task in tasks
            for answer in _answers(task, label_set, control, several=several)
        ]
        data = pd.DataFrame([task.get("data", task) for task, _, _ in rows])
        table = identity_of(data)
        if table.empty and len(rows):
            raise KeyError("example_id")
        table["label"] = pd.Series([answer.label for _, answer, _ in rows], dtype=object)
        table[REASON] = pd.Series([answer.reason for _, answer, _ in rows], dtype=object)
        table["rater"] = pd.Series([person for _, _, person in rows], dtype=object)
        # A task that nobody labelled has no person.
        people = table.loc[table["label"].notna() | table["rater"].notna(), "rater"]
        if people.nunique() > 1 and people.notna().all():
            return table[table["rater"].notna()].reset_index(drop=True)
        # One person alone is named by the file, as in every other format.
        return table.drop(columns="rater")
    except AssayError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise no_export(name, error) from None


def _answers(
    task: Mapping[str, Any], label_set: Sequence[str], control: str, *, several: bool
) -> list[tuple[Single, str | None]]:
    """The labels that people gave to one task of an export, each with the person.

    A task that was skipped has one answer without a label.
    """
    answers: list[tuple[Single, str | None]] = []
    skipped: list[tuple[Single, str | None]] = []
    for annotation in task.get("annotations") or ():
        person = _person(annotation.get("completed_by"))
        if annotation.get("was_cancelled"):
            skipped.append((Single(None), person))
        elif several:  # ticking nothing is an answer
            ticked = label_studio.choices_of(annotation.get("result") or (), label_set, control)
            answers.append((Single(ticked), person))
        elif annotation.get("result"):
            answer = label_studio.one_choice(annotation["result"], label_set, control)
            answers.append((answer, person))
    return answers or skipped[:1] or [(Single(None), None)]


def _person(value: Any) -> str | None:
    """The person behind an annotation: Label Studio writes a number or the account's fields."""
    if isinstance(value, Mapping):
        value = value.get("email") or value.get("id")
    return None if value is None else f"annotator {value}"
