"""The rows of an export in the house's form: which text, which label, whose, and why there is none.

Columns: ``example_id`` where the export has it, else ``text`` and ``id`` where it has these;
``label``, None without one; ``no_label_because``, why there is none; and ``rater`` where several
people labelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from project.data.cells import Single, is_blank, parsed

REASON = "no_label_because"
"""Column that no file of the user has by chance."""
_ID = "example_id"
_EXTRAS = ("meta", "metadata", "data")
"""Columns in which programs keep what else was imported with a text."""
_TEXTS = ("fields", "inputs", "data")
"""Columns in which programs keep the texts of a record by name."""


def house_rows(
    identity: pd.DataFrame, answers: Sequence[Single], people: Sequence[Any] | None = None
) -> pd.DataFrame:
    """The rows of an export.

    Parameters
    ----------
    identity
        Columns that say which text each row is about (:func:`identity_of`), ``n`` rows.
    answers
        The label of each row.
    people
        Who gave it, null where nobody did; None where the export does not say. One person alone is
        named by the file, as in every other format.
    """
    table = identity.reset_index(drop=True).assign(
        **{
            "label": pd.Series([answer.label for answer in answers], dtype=object),
            REASON: pd.Series([answer.reason for answer in answers], dtype=object),
        }
    )
    if people is None:
        return table
    raters = pd.Series([None if is_blank(one) else str(one) for one in people], dtype=object)
    names_all = raters[table["label"].notna()].notna().all()
    if raters.nunique() < 2 or not names_all:
        return table
    return table.assign(rater=raters)[raters.notna()].reset_index(drop=True)


def identity_of(table: pd.DataFrame) -> pd.DataFrame:
    """What says which text each row of an export is about: ``example_id``, or ``text`` and ``id``.

    Programs keep the id of an imported text beside it or under ``meta``.
    """
    ids = _example_ids(table)
    if ids is not None:
        return pd.DataFrame({_ID: ids})
    found = {name: table[name] for name in ("text", "id") if name in table.columns}
    nested = next((name for name in _TEXTS if name in table.columns), None)
    if "text" not in found and nested:
        found["text"] = table[nested].map(_text_of)
    return pd.DataFrame(found, index=table.index)


def _example_ids(table: pd.DataFrame) -> pd.Series | None:
    """The ids that the house gave to the texts; None if the export lacks any."""
    for name in (_ID, *(f"{column}.{_ID}" for column in _EXTRAS)):
        if name in table.columns and not table[name].map(is_blank).any():
            return table[name]
    for column in _EXTRAS:
        if column in table.columns:
            ids = table[column].map(lambda cell: _entry(cell, _ID))
            if len(ids) and ids.notna().all():
                return ids
    return None


def _entry(cell: Any, key: str) -> Any:
    value = parsed(cell)
    return value.get(key) if isinstance(value, Mapping) else None


def _text_of(cell: Any) -> Any:
    """The text in a cell: its own, ``text`` among the named texts of a record, or the only one."""
    value = parsed(cell)
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        return None
    texts = [entry for entry in value.values() if isinstance(entry, str)]
    return value.get("text", texts[0] if len(texts) == 1 else None)
