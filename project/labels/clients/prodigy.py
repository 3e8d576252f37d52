"""Exports of Prodigy: JSON lines in which ``answer`` says what became of a row.

``textcat`` writes the label that was shown as ``label``; ``choice`` and ``textcat.manual`` write
the ids of the chosen ``options`` as the list ``accept``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from project.data.cells import (
    DECISION,
    SEVERAL,
    Single,
    holds_decisions,
    is_blank,
    parsed,
    single_label,
    undecided,
)
from project.labels.clients.rows import house_rows, identity_of
from project.support.errors import AssayError

_PEOPLE = ("_annotator_id", "_session_id")


def is_export(table: pd.DataFrame) -> bool:
    """Whether a table is an export of Prodigy."""
    return holds_decisions(table)


def rows(table: pd.DataFrame, label_set: Sequence[str], title: str) -> pd.DataFrame:
    """The rows of an export (:mod:`project.labels.clients.rows`).

    Rejected and ignored rows have no label: that a label is wrong does not say which one is right.

    Parameters
    ----------
    table
        The export.
    label_set
        The task's labels; the ids of options need not be labels if their texts are.
    title
        What the file is, for errors.
    """
    if not {"label", "accept"} & set(table.columns):
        raise AssayError(
            f"{title} looks like an export of Prodigy, and has neither label nor accept; it has "
            f"{', '.join(map(str, table.columns[:10]))}. Export answers of textcat or choice."
        )
    answers = []
    for row, reason in zip(table.to_dict("records"), undecided(table), strict=True):
        answers.append(Single(None, reason) if reason else _label(row, label_set))
    person = next((name for name in _PEOPLE if name in table.columns), None)
    more = [name for name in ("rater",) if name in table.columns]
    people = table[person] if person else table[more[0]] if more else None
    identity = identity_of(table.drop(columns=[DECISION]))
    return house_rows(identity, answers, None if people is None else list(people))


def _label(row: Mapping[Any, Any], label_set: Sequence[str]) -> Single:
    """The label of an accepted row."""
    chosen = parsed(row.get("accept"))
    if not isinstance(chosen, list | tuple):
        return single_label(row.get("label"), label_set)
    text_of = {
        str(option.get("id")): option.get("text")
        for option in _options(row)
        if isinstance(option, Mapping)
    }
    labels = [
        item if str(item) in label_set else text_of.get(str(item), item)
        for item in chosen
        if not is_blank(item)
    ]
    if len({str(label) for label in labels}) > 1:
        return Single(None, SEVERAL)
    return Single(labels[0] if labels else None)


def _options(row: Mapping[Any, Any]) -> Sequence[Any]:
    options = parsed(row.get("options"))
    return options if isinstance(options, list | tuple) else ()
