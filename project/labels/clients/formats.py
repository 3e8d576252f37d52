"""Which program wrote a file of labels, and its rows in the house's form."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from types import ModuleType

import pandas as pd

from project.data.cells import is_blank
from project.data.task import Task
from project.data.text_forms import folded_text
from project.labels.clients import argilla, doccano, label_studio, prodigy
from project.labels.clients.rows import REASON

_FORMATS: tuple[ModuleType, ...] = (argilla, prodigy, label_studio, doccano)
"""Each has ``is_export`` and ``rows``; the first that knows a table reads it."""
_UNSURE = "are marked unsure"


def house_form(
    table: pd.DataFrame, label_set: Sequence[str], title: str, *, several: bool = False
) -> pd.DataFrame:
    """The rows of a file with ``example_id`` or ``text``, and ``label``.

    A file in the house's form is unchanged, but for the reason of texts that the page for labelling
    marks as unsure; exports of other programs are translated (:mod:`project.labels.clients.rows`).

    Parameters
    ----------
    table
        The rows of the file.
    label_set
        The task's labels.
    title
        What the file is, for errors.
    several
        Whether a text may have several labels. A table with ids and labels is then taken as it is,
        since programs write it so, and their readers look for one label.
    """
    is_ours = several and {"example_id", "label"} <= set(table.columns)
    for program in () if is_ours else _FORMATS:
        if program.is_export(table):
            made: pd.DataFrame = program.rows(table, label_set, title)
            return made
    if "unsure" in table.columns and "label" in table.columns:  # as our own page exports it
        unsure = table["label"].map(is_blank) & (table["unsure"].astype(str).str.lower() == "true")
        return table.assign(**{REASON: unsure.map({True: _UNSURE, False: ""})})
    return table


def with_ids(table: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The rows with an ``example_id``: where they have none, the task's own id, or by the text.

    A text that stands in several examples gets a row for each. A row whose text is no example's
    has an id that no example has either.

    Parameters
    ----------
    table
        Rows of a file with labels.
    task
        The task whose texts were labelled.
    """
    if "example_id" in table.columns:
        return table
    # Programs number the texts themselves, so that an export has ids that only look like ours.
    id_column = task.columns.get("id", "")
    if id_column and id_column in table.columns and REASON not in table.columns:
        return table.assign(example_id=table[id_column])
    text_column = next(
        (name for name in (task.columns["text"], "text") if name in table.columns), None
    )
    if text_column is None:
        return table
    exact = task.examples["text"].map(_key)
    folded = task.examples["text"].map(folded_text)
    # Texts of the task that differ in form alone must be written as they are.
    several = exact.groupby(folded).nunique() > 1
    alike = {"", *several.index[several]}

    def key(text: object) -> str:
        form = folded_text(str(text))
        return _key(text) if form in alike else form

    ids = task.examples[["example_id"]].assign(key=folded.where(~folded.isin(alike), exact))
    keyed = table.assign(
        key=[None if is_blank(text) else key(text) for text in table[text_column]],
        row=[f"row {number}" for number in range(1, len(table) + 1)],
    )
    joined = keyed.merge(ids, on="key", how="left")
    found = joined["example_id"].notna()
    return joined.assign(example_id=joined["example_id"].where(found, joined["row"])).drop(
        columns=["key", "row"]
    )


def _key(text: object) -> str:
    """A text without what programs change on the way: line ends, Unicode's form, outer space."""
    lines = str(text).replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", lines).strip()


def notes_on_reasons(table: pd.DataFrame, title: str) -> list[str]:
    """How many rows of a file have no label for a reason that its program gives, for each reason.

    Parameters
    ----------
    table
        Rows of a file in the house's form.
    title
        What the file is.
    """
    if REASON not in table.columns:
        return []
    counts = table[REASON][table[REASON] != ""].value_counts(sort=False)
    return [f"{n} rows of {title} {reason}; they have no label" for reason, n in counts.items()]
