"""Errors of parameters' values in one line, name, rule, value, and the checks of odd values."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pydantic
from pydantic_core import PydanticCustomError

from project.support.errors import AssayError, together

KINDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
}
"""What errors call the types of parameters."""
# pydantic's types of errors: the key of the limit in the error, and the words before the limit.
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "above"),
}
_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "string_type": "text (put quotation marks around it)",
    "tuple_type": "a list, or values with commas between them",
}
_LONGEST = 300  # characters of a value in an error
_MAX_DIGITS = 300
_MAX_BITS = 1023  # of a whole number that a float can hold
_BEYOND = 10**_MAX_DIGITS  # stands for a whole number of more digits, above every bound
_NUMBERS: dict[type, re.Pattern[str]] = {
    int: re.compile("[-+]?[0-9]+"),
    float: re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"),
}
# Cuts a value while it is written: a nested value of YAML may be too long to be written whole.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200
_SHORT.maxlong = 40
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 20
_SHORT.maxlevel = 3


def shown(value: Any) -> str:
    """A value as an error repeats it: cut where it is very long or deeply nested."""
    try:
        text = _SHORT.repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def number_from(kind: type, value: Any) -> Any:
    """The number that a text of ASCII digits stands for; other values as they are.

    Stricter than Python, which also reads ``1_0``, digits of other scripts and spaces.
    """
    if isinstance(value, str):
        return _number_from_text(kind, value)
    if kind is float and isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise PydanticCustomError("kind", "a number below 1.8e308")  # float() would fail
    return value


def _number_from_text(kind: type, text: str) -> int | float:
    if kind is float and text in ("inf", "-inf", "nan"):
        return float(text)  # the bounds of the parameter refuse it
    if not _NUMBERS[kind].fullmatch(text):
        is_lookalike = "_" in text or any(c.isdigit() and not c.isascii() for c in text)
        hint = ", written in the digits 0 to 9 alone" if is_lookalike else ""
        hint = ", without spaces around it" if _NUMBERS[kind].fullmatch(text.strip()) else hint
        raise PydanticCustomError("kind", f"{KINDS[kind]}{hint}")
    if kind is int:
        return int(text) if len(text) <= _MAX_DIGITS else _BEYOND
    value = float(text)
    if value == 0 and re.search("[1-9]", re.split("[eE]", text)[0]):
        raise PydanticCustomError("kind", "a number that a computer can tell from 0")
    return value + 0.0  # makes -0.0 a plain 0


def check_writable(name: str, texts: Iterable[str]) -> None:
    """Refuse texts that cannot be written into a file name or a tracking store.

    A command line cannot hold them, but the escapes of YAML and JSON can.
    """
    for text in texts:
        # Encoding leaves out surrogates, which stand for no character.
        if "\0" in text or text != text.encode(errors="ignore").decode():
            raise AssayError(
                f"{name} must be text in UTF-8 without null characters; got {shown(text)}. Rename "
                "what it names."
            )
        if text.startswith("~") and "/" in text:
            check_home(name, text)


def check_home(name: str, path: str) -> None:
    """Refuse a path in the home folder of a user who does not exist."""
    try:
        Path(path).expanduser()
    except RuntimeError:
        raise AssayError(
            f"{name} must be a path; {shown(path)} is in the home folder of nobody here. Write "
            "the whole path."
        ) from None


def check_list(name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of a list, which must have at least one, and each only once."""
    got = ",".join(map(str, values))[:_LONGEST] or "nothing"
    if not values or len(set(values)) < len(values):
        raise AssayError(f"{name} must name at least one value, each once; got {got!r}.")
    # Arms and settings are named by six digits; two with the same name would be taken for one.
    names = {f"{value:g}" if isinstance(value, float) else value for value in values}
    if len(names) < len(values):
        raise AssayError(
            f"{name} must have values that differ in their first six digits; got {got!r}."
        )
    return values


def _number(value: Any) -> str:
    """A number that is out of bounds, with all its digits if six would hide why."""
    if isinstance(value, int):
        return shown(value)
    number = float(value)
    short = f"{number:g}"
    is_exact = math.isnan(number) or float(short) == number
    return short if is_exact else repr(number)


def one_line_error(error: pydantic.ValidationError) -> AssayError:
    """The errors of a section as one AssayError, the others in its ``others``."""
    return together([_one_line(item) for item in error.errors(include_url=False)])


def _one_line(item: Mapping[str, Any]) -> AssayError:
    """One error of a section: name, rule, value."""
    # A validator of ours that raised AssayError: its message is complete.
    original = item.get("ctx", {}).get("error")
    if isinstance(original, AssayError):
        return original
    name = str(item["loc"][0]) if item["loc"] else "a parameter"
    value = item["input"]
    if item["type"] in _BOUNDS:
        bound, words = _BOUNDS[item["type"]]
        limit = item["ctx"][bound]
        return AssayError(f"{name} must be {words} {limit:g}; got {_number(value)}.")
    if item["type"] == "unexpected_keyword_argument":
        return AssayError(f"{name} is no parameter of this section.")
    # The message of an error that project.config.fields raises is the rule.
    rule = _TYPES.get(item["type"], item["msg"])
    return AssayError(f"{name} must be {rule}; got {shown(value)}.")
