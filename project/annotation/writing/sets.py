"""The whole set of a text's labels in one reply: what a model is asked, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Sequence

from project.data.cells import parsed
from project.data.label_names import as_label

_NONE = "none"
_MARKS = re.compile(r"^[\s\"'`*\-•]+|[\s\"'`*.]+$")
_BETWEEN = re.compile(r"[,\n]")
MAX_CHARACTERS = 6000
"""What a request shows of a text, at most."""
MAX_TOKENS_A_LABEL = 12
"""Tokens of a reply for each label of the card, at most."""


def set_prompt(text: str, description: str, labels: Sequence[str], separator: str) -> str:
    """The request for all labels that fit a text."""
    listed = "\n".join(f"- {label}" for label in labels)
    return (
        f"{description}\n\nLabels:\n{listed}\n\nText:\n{text}\n\n"
        f"Write all labels that fit the text, with {separator} between them, and nothing else. "
        f"If none fits, write {_NONE}."
    )


def read_set(reply: str, labels: Sequence[str], separator: str) -> list[str] | None:
    """The labels that a reply names, each once, in the order of the card; None for no reply.

    Names that are not labels of the card come last: they show that the set is not complete.
    Lists in JSON, lines, and commas in place of the separator are read, too.
    """
    if not reply.strip():
        return None
    value = parsed(reply.strip())
    if isinstance(value, list):
        parts = [str(item) for item in value]
    else:
        parts = reply.split(separator)
        # A label may hold a comma; a reply with commas alone has none of these.
        if len(parts) == 1 and as_label(_tidy(reply), labels, {}) is None:
            parts = _BETWEEN.split(reply)
    names = [name for name in map(_tidy, parts) if name]
    if [name.casefold() for name in names] == [_NONE] and _NONE not in labels:
        return []
    found = [as_label(name, labels, {}) for name in names]
    known = [label for label in labels if label in found]
    unknown = [name for name, label in zip(names, found, strict=True) if label is None]
    return [*known, *dict.fromkeys(unknown)]


def _tidy(name: str) -> str:
    return _MARKS.sub("", name)
