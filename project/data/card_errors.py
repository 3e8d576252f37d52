"""One-line errors for task cards: key, rule, value, way out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from project.config.label_type import LABEL_TYPES
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
    "label_type": _Rule(
        f"one of {', '.join(LABEL_TYPES)}",
        "With ordinal the labels have the order of 'labels'; with multi a text may have several.",
    ),
    "separator": _Rule("a text of 1 to 5 characters, such as ';'"),
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
# pydantic's types of errors.
_UNKNOWN = ("extra_forbidden", "invalid_key")
_NO_MAPPING = ("dict_type", "model_type", "model_attributes_type")
_Location = tuple[int | str, ...]  # the keys from the top of the card to a value


def card_error(
    path: Path, content: Mapping[Any, Any], error: ValidationError, model: type[BaseModel]
) -> AssayError:
    """The first error of a card in one line; missing keys come first, then unknown ones.

    Parameters
    ----------
    path
        File of the card.
    content
        What the file holds.
    error
        What pydantic found.
    model
        The model of a card, which names the known keys.
    """
    first = min(error.errors(include_url=False), key=_priority)
    return AssayError(f"task card {path.name}: {_message(first, content, model)}")


def _priority(error: Any) -> int:
    """The place of an error in the order in which they are reported."""
    if error["type"] == "missing" and len(error["loc"]) == 1:
        return 0
    return 1 if error["type"] in _UNKNOWN else 2


def _message(error: Any, content: Mapping[Any, Any], model: type[BaseModel]) -> str:
    """One error of pydantic in one line, without the name of the card."""
    location: _Location = error["loc"]
    key = ".".join(map(str, location))
    if error["type"] == "missing":
        return f"the key {key!r} is missing or empty. {_required_keys(model, location)}"
    if error["type"] in _UNKNOWN:
        parent = "".join(f"{part}." for part in location[:-1])
        known = [parent + name for name in _section(model, location).model_fields]
        return str(unknown_value("a key", key, known))
    # The table of rules comes before pydantic's own messages, which do not fit a card's reader.
    rule_key = _rule_key(location)
    if rule_key:
        rule, way_out = _RULES[rule_key]
        value = abridged(_value(content, rule_key))
        return f"{rule_key!r} must be {rule}; got {value}. {way_out}".rstrip()
    if error["type"] in _NO_MAPPING:
        return f"{key!r} must be a mapping; got {abridged(error['input'])}."
    original = error.get("ctx", {}).get("error")
    if isinstance(original, AssayError):  # of a parameter under 'defaults'
        return f"{key}: {original}"
    if len(location) > 1:
        return f"{key!r} must be one value; got {abridged(error['input'])}."
    return str(original or error["msg"])


def _section(model: type[BaseModel], location: _Location) -> type[BaseModel]:
    """The model of the section in which the key at ``location`` stands."""
    for part in location[:-1]:
        model = model.model_fields[str(part)].annotation  # type: ignore[assignment]
    return model


def _required_keys(model: type[BaseModel], location: _Location) -> str:
    """A sentence with the required keys of the section in which ``location`` stands."""
    fields = _section(model, location).model_fields
    required = ", ".join(name for name, field in fields.items() if field.is_required())
    section = f" in {location[-2]!r}" if len(location) > 1 else ""
    return f"Required{section}: {required}."


def _rule_key(location: _Location) -> str:
    """The longest beginning of ``location`` that has a rule in the table, "" if none has."""
    for end in range(len(location), 0, -1):
        key = ".".join(map(str, location[:end]))
        if key in _RULES:
            return key
    return ""


def _value(content: Mapping[Any, Any], key: str) -> Any:
    """The value of a dotted key."""
    value: Any = content
    for part in key.split("."):
        value = value[part]
    return value
