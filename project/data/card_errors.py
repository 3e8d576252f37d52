"""One-line errors for task cards: key, rule, value, way out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from project.data.tables import MAX_LABELS, SPLITS
from project.support.errors import AssayError, unknown_value
from project.support.escape import abridged

MAX_NAME = 200
"""Most characters of a name or label."""
QUOTE = "Quote words such as yes, no, on, off and numbers"


class _Rule(NamedTuple):
    """What a key must be, and how to correct it."""

    rule: str
    way_out: str = ""


_TEXT = _Rule("a text")
_LINE = _Rule("a text on one line")
_SIZE = _Rule("positive whole numbers")
_RULES = {
    "name": _Rule(f"a text of at most {MAX_NAME} characters on one line"),
    "title": _TEXT,
    "description": _TEXT,
    "licence": _TEXT,
    "citation": _TEXT,
    "labels": _Rule(
        f"a list of strings: 2 to {MAX_LABELS} different names of at most {MAX_NAME} characters, "
        "each on one line",
        f"{QUOTE}.",
    ),
    "source.file": _LINE,
    "source.revision": _LINE,
    "source.config": _LINE,
    "source.download": _LINE,
    "source.hub": _Rule(
        "a data set of the hub, owner/name", "To read a file instead, give data=FILE."
    ),
    "source.splits": _Rule(f"a mapping of the hub's splits to {', '.join(SPLITS)}"),
    "source.header": _Rule("a list of column names"),
    **{f"split.{split}": _Rule("a positive whole number") for split in SPLITS},
}
_UNKNOWN = ("extra_forbidden", "invalid_key")
_NO_MAPPING = ("dict_type", "model_type", "model_attributes_type")


def card_error(
    path: Path, content: Mapping[Any, Any], error: ValidationError, model: type[BaseModel]
) -> AssayError:
    """The first error of a card in one line; missing keys come first, then unknown ones.

    Parameters
    ----------
    path : Path
        File of the card.
    content : mapping
        What the file holds.
    error : ValidationError
        What pydantic found.
    model : type of pydantic model
        The model of a card, which names the known keys.
    """
    first = min(error.errors(include_url=False), key=_priority)
    location = first["loc"]
    key = ".".join(map(str, location))
    if first["type"] == "missing":
        section, required = _keys(model, location, required_only=True)
        message = f"the key {key!r} is missing or empty. Required{section}: {', '.join(required)}."
    elif first["type"] in _UNKNOWN:
        _, known = _keys(model, location)
        parent = "".join(f"{part}." for part in location[:-1])
        message = str(unknown_value("a key", key, [parent + name for name in known]))
    elif rule_key := _rule_key(location):
        rule, way_out = _RULES[rule_key]
        value = abridged(_value(content, rule_key))
        message = f"{rule_key!r} must be {rule}; got {value}. {way_out}".rstrip()
    elif first["type"] in _NO_MAPPING:
        message = f"{key!r} must be a mapping; got {abridged(first['input'])}."
    elif isinstance(reason := first.get("ctx", {}).get("error"), AssayError):
        message = f"{key}: {reason}"  # of a parameter that the card sets
    elif len(location) > 1:
        message = f"{key!r} must be one value; got {abridged(first['input'])}."
    else:
        message = str(reason or first["msg"])
    return AssayError(f"task card {path.name}: {message}")


def _priority(error: Any) -> int:
    if error["type"] == "missing" and len(error["loc"]) == 1:
        return 0
    return 1 if error["type"] in _UNKNOWN else 2


def _keys(
    model: type[BaseModel], location: tuple[int | str, ...], *, required_only: bool = False
) -> tuple[str, list[str]]:
    """The name of the section that ``location`` is in, and the keys that it may or must have."""
    section = ""
    for part in location[:-1]:
        section = f" in {part!r}"
        model = model.model_fields[str(part)].annotation  # type: ignore[assignment]
    fields = model.model_fields.items()
    return section, [name for name, field in fields if field.is_required() or not required_only]


def _rule_key(location: tuple[int | str, ...]) -> str:
    """The longest beginning of ``location`` that has a rule of its own, "" if none has."""
    keys = [".".join(map(str, location[:end])) for end in range(len(location), 0, -1)]
    return next((key for key in keys if key in _RULES), "")


def _value(content: Mapping[Any, Any], key: str) -> Any:
    """The value of a dotted key."""
    value: Any = content
    for part in key.split("."):
        value = value[part]
    return value
