"""Parameters as fields of frozen dataclasses: their help, their rules, and how they are written on a command line.

``None`` is written ``auto``. A field's metadata holds its help, its unit and its rule.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from project.support.errors import AssayError, suggest
from project.support.redact import holds_secret

AUTO = "auto"


def parameter(
    default: Any,
    text: str,
    *,
    choices: tuple[str, ...] | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
) -> Any:
    """A dataclass field with its help text and its rule; bounds are inclusive but for ``above``."""
    rule = {"choices": choices, "at_least": at_least, "at_most": at_most, "above": above}
    return dataclasses.field(default=default, metadata={"help": text, **rule})


def _check(name: str, value: Any, rule: Mapping[str, Any]) -> None:
    values = value if isinstance(value, tuple) else (value,)
    if isinstance(value, tuple) and (not value or len(set(value)) < len(value)):
        raise AssayError(
            f"{name} must name at least one value, each once; got {','.join(map(str, value)) or 'nothing'!r}. Give others with -P {name}=..."
        )
    for one in values:
        if isinstance(one, str) and holds_secret(one):  # which is not repeated
            raise AssayError(
                f"{name} must hold no user and password, key or token: parameters are written into the tracking store. Leave it out; what is "
                "behind an address that wants one, give as a file."
            )
        if rule["choices"] and one not in rule["choices"]:
            raise suggest(name, str(one), rule["choices"])
        for bound, holds, word in (
            (rule["at_least"], lambda v, b: v >= b, "at least"),
            (rule["at_most"], lambda v, b: v <= b, "at most"),
            (rule["above"], lambda v, b: v > b, "above"),
        ):
            if bound is not None and not holds(one, bound):
                raise AssayError(
                    f"{name} must be {word} {bound:g}; got {one:g}. Give another value with -P {name}=..."
                )


@dataclass(frozen=True)
class ConfigSection:
    """A stage's configuration. Checks every field's rule when it is made."""

    def __post_init__(self) -> None:
        """Check the fields; subclasses add rules that span fields."""
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if value is not None:
                _check(item.name, value, item.metadata)


S = TypeVar("S", bound=ConfigSection)


def parse(stage: type[S], texts: Mapping[str, str]) -> S:
    """Make ``stage`` from the texts of a command line; names that are not its fields are ignored."""
    hints = typing.get_type_hints(stage)
    names = [item.name for item in dataclasses.fields(stage)]
    return stage(
        **{name: _value(name, hints[name], texts[name]) for name in names if name in texts}
    )


def _value(name: str, hint: Any, text: str) -> Any:
    if isinstance(hint, types.UnionType):
        if text.strip().lower() in (AUTO, ""):
            return None
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    if typing.get_origin(hint) is tuple:
        kind = typing.get_args(hint)[0]
        return tuple(_value(name, kind, part.strip()) for part in text.split(",") if part.strip())
    if hint is str:
        return text
    if hint is bool:
        if text.strip().lower() not in ("true", "false"):
            raise AssayError(
                f"{name} must be true or false; got {text!r}. Give another value with -P {name}=..."
            )
        return text.strip().lower() == "true"
    try:
        return hint(text)
    except ValueError:
        kind = "a whole number" if hint is int else "a number"
        raise AssayError(
            f"{name} must be {kind}; got {text!r}. Give another value with -P {name}=..."
        ) from None


def written(value: Any) -> str:
    """How a field's value is written on a command line: the inverse of parsing."""
    if value is None:
        return AUTO
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(written(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
