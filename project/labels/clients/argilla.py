"""Exports of Argilla: records with the responses of people.

Version 2 writes ``responses`` of every question, or flat columns ``QUESTION.responses``,
``QUESTION.responses.users`` and ``QUESTION.responses.status``. Version 1 writes a list of
``responses`` with ``values``, or a column of lists for each question; its first data sets have
``annotation`` and ``annotation_agent``. Suggestions and predictions are no answers of people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from project.data.cells import Single, is_blank, parsed, single_label
from project.data.label_names import as_label
from project.labels.clients.rows import house_rows, identity_of
from project.support.errors import AssayError

_FLAT = ".responses"
_DISCARDED = "are discarded"
_DRAFT = "are drafts"
_STATUS = {"discarded": _DISCARDED, "draft": _DRAFT}


class _Response(NamedTuple):
    """One person's response to a question of a record, as it is written."""

    question: str
    value: Any
    user: Any
    status: str


def is_export(table: pd.DataFrame) -> bool:
    """Whether a table is an export of Argilla."""
    columns = set(map(str, table.columns))
    if any(name.endswith(_FLAT) for name in columns) or {"fields", "responses"} <= columns:
        return True
    if {"annotation", "prediction", "status"} <= columns:
        return True
    return any(_holds_entries(table[name]) for name in table.columns)


def rows(table: pd.DataFrame, label_set: Sequence[str], title: str) -> pd.DataFrame:
    """The rows of an export (:mod:`project.labels.clients.rows`), one for each response.

    Discarded responses and drafts have no label, and so has a record without a response.

    Parameters
    ----------
    table
        The export.
    label_set
        The task's labels, by which the question is found where there are several.
    title
        What the file is, for errors.
    """
    records = table.to_dict("records")
    responses = [list(_responses(record)) for record in records]
    question = _question(responses, label_set, title)
    indices: list[int] = []
    answers: list[Single] = []
    people: list[Any] = []
    for index, record in enumerate(records):
        of_question = [one for one in responses[index] if one.question == question]
        # A person who discards a record answers no question of it.
        skipped = [one for one in responses[index] if not one.question]
        left = [_Response(question, None, None, str(record.get("status", "")))]
        for response in of_question or skipped or left:
            indices.append(index)
            answers.append(_answer(response, label_set))
            people.append(response.user)
    return house_rows(identity_of(table).iloc[indices], answers, people)


def _answer(response: _Response, label_set: Sequence[str]) -> Single:
    reason = _STATUS.get(response.status.strip().casefold(), "")
    return Single(None, reason) if reason else single_label(response.value, label_set)


def _responses(record: Mapping[Any, Any]) -> Iterator[_Response]:
    """All responses to a record; those to no question have the question ""."""
    nested = parsed(record.get("responses"))
    if isinstance(nested, Mapping):
        for question, entries in nested.items():
            yield from _entries(str(question), entries)
    elif isinstance(nested, list):
        yield from _by_person(nested)
    for name, cell in record.items():
        column = str(name)
        if column.endswith(_FLAT):
            yield from _flat(column, record)
        elif column not in ("responses", "suggestions") and _is_entries(cell):
            yield from _entries(column, cell)
    if "annotation" in record:
        status = str(record.get("status", ""))
        value = record["annotation"]
        is_open = is_blank(value) or status.casefold() == "default"
        user = record.get("annotation_agent")
        yield _Response("annotation", None if is_open else value, user, status)


def _by_person(responses: Sequence[Any]) -> Iterator[_Response]:
    """Responses that are listed by person, each with the values of all questions."""
    for response in responses:
        if not isinstance(response, Mapping):
            continue
        status = str(response.get("status") or "submitted")
        values = response.get("values") or {}
        for question, value in values.items():
            written = value.get("value") if isinstance(value, Mapping) else value
            yield _Response(str(question), written, response.get("user_id"), status)
        if not values:
            yield _Response("", None, response.get("user_id"), status)


def _entries(question: str, cell: Any) -> Iterator[_Response]:
    """Responses to one question that are listed with value, user and status."""
    for entry in parsed(cell) or ():
        if isinstance(entry, Mapping):
            status = str(entry.get("status") or "submitted")
            yield _Response(question, entry.get("value"), entry.get("user_id"), status)


def _flat(column: str, record: Mapping[Any, Any]) -> Iterator[_Response]:
    """Responses to one question in three columns of lists."""
    values = _as_list(record[column])
    users = _as_list(record.get(f"{column}.users"))
    status = _as_list(record.get(f"{column}.status"))
    for index, value in enumerate(values):
        yield _Response(
            column.removesuffix(_FLAT),
            value,
            users[index] if index < len(users) else None,
            str(status[index]) if index < len(status) else "submitted",
        )


def _as_list(cell: Any) -> Sequence[Any]:
    value = parsed(cell)
    if isinstance(value, list | tuple):
        return value
    return () if is_blank(value) else (value,)


def _question(
    responses: Sequence[Sequence[_Response]], label_set: Sequence[str], title: str
) -> str:
    """The question whose answers are labels of the task."""
    values: dict[str, list[Any]] = {}
    for response in (one for of_record in responses for one in of_record if one.question):
        answer = single_label(response.value, label_set)
        values.setdefault(response.question, []).append(answer.label)
    known = [
        question
        for question, given in values.items()
        if any(value is not None and as_label(value, label_set, {}) for value in given)
    ]
    for candidates in (known, list(values)):
        if len(candidates) == 1:
            return candidates[0]
        if "label" in candidates:
            return "label"
    if not values:
        return ""
    raise AssayError(
        f"{title} looks like an export of Argilla with the questions {', '.join(values)}, and "
        f"{'several have' if known else 'none has'} the labels {', '.join(label_set)} as answers. "
        "Export one question, or write example_id and label into a .csv file."
    )


def _is_entries(cell: Any) -> bool:
    """Whether a cell lists responses, each a mapping with a value and who gave it."""
    value = parsed(cell)
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(one, Mapping) and {*one} >= {"value", "user_id"} for one in value)


def _holds_entries(column: pd.Series) -> bool:
    return column.dtype == object and bool(column.map(_is_entries).any())
