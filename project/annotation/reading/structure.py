"""Finds JSON in a reply, and the fields in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from project.annotation.reading.words import SURE_KEY

NO_DATA = object()
"""Stands for the data of a text without JSON."""


class Field(NamedTuple):
    """A value in JSON data that is no list or object, with the nearest key above it.

    ``key`` is empty in a list outside of objects.
    """

    key: str
    value: Any

    @property
    def is_certainty(self) -> bool:
        """Whether it is a number that says how sure the model is."""
        is_number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        return is_number and SURE_KEY.search(self.key.casefold()) is not None


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON with all its keys, repeated ones too."""


def data_in(text: str) -> tuple[str, Any]:
    """The text around JSON data, and the data; ``NO_DATA`` if there are none.

    Only an object, a list or a text in quotes counts as data.
    """
    if text.startswith('"'):
        data = _parsed(text)
        if isinstance(data, str):
            return "", _Pairs([("", data)])
    starts = [place for place in map(text.find, "{[") if place >= 0]
    end = max(map(text.rfind, "}]")) + 1
    data = _parsed(text[min(starts) : end]) if starts else NO_DATA
    return (text, NO_DATA) if data is NO_DATA else (f"{text[: min(starts)]}\n{text[end:]}", data)


def _parsed(text: str) -> Any:
    """The data of a JSON text; ``NO_DATA`` if it is none."""
    try:
        return json.loads(text, object_pairs_hook=_Pairs, strict=False)
    except (ValueError, RecursionError):
        return NO_DATA


def is_several(data: Any) -> bool:
    """Whether JSON data are a list of several values."""
    return isinstance(data, list) and not isinstance(data, _Pairs) and len(data) > 1


def keys(data: Any) -> Iterator[str]:
    """All keys in JSON data."""
    if isinstance(data, _Pairs):
        yield from (name for name, _ in data)
    if isinstance(data, list):
        for value in data:
            yield from keys(value[1] if isinstance(data, _Pairs) else value)


def fields(data: Any, key: str = "") -> Iterator[Field]:
    """All values in JSON data with their keys, in their order."""
    if isinstance(data, _Pairs):
        for name, value in data:
            yield from fields(value, name)
    elif isinstance(data, list):
        for value in data:
            yield from fields(value, key)
    elif isinstance(data, str):
        yield Field(key, data)
    else:
        yield Field(key, json.dumps(data) if isinstance(data, bool) or data is None else data)
