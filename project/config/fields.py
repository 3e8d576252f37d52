"""Parameters as fields of frozen pydantic dataclasses: defaults, help, rules, and their text form.

A section of the configuration is a class made by :func:`section`. Each field is a parameter of the
command line, of a configuration file and of ``MLproject``. ``None`` is written ``auto``.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, TypeVar, dataclass_transform

import pydantic
import pydantic.dataclasses
from pydantic_core import PydanticCustomError

from project.config.field_errors import (
    KINDS,
    check_list,
    check_writable,
    number_from,
    one_line_error,
)
from project.support.errors import AssayError, unknown_value
from project.support.redact import holds_secret

AUTO = "auto"  # how None is written
Choices = tuple[str, ...] | Callable[[], tuple[str, ...]]
_MAX_SHOWN = 200  # characters of an unknown value in an error
_LARGEST_INT = 2**31 - 1  # where a rule has no bound of its own


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a parameter is for and which values it takes; :func:`parameter` explains the fields."""

    help: str
    choices: Choices | None = None
    ge: float | None = None
    le: float | None = None
    gt: float | None = None
    check: Callable[[Any], None] | None = None
    everyday: bool = False
    aliases: tuple[str, ...] = ()
    value_aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def allowed(self) -> tuple[str, ...] | None:
        """The values to choose from, None where every value of the type will do."""
        return self.choices() if callable(self.choices) else self.choices


def parameter(
    *,
    default: Any,
    help: str,
    choices: Choices | None = None,
    ge: float | None = None,
    le: float | None = None,
    gt: float | None = None,
    check: Callable[[Any], None] | None = None,
    everyday: bool = False,
    aliases: tuple[str, ...] = (),
    value_aliases: Mapping[str, str] | None = None,
) -> Any:
    """A field of a section, with its help text and its :class:`Rule`.

    Parameters
    ----------
    default
        Its value where nothing else is given; ``None`` stands for ``auto``.
    help
        What it does, in one sentence.
    choices
        The values to choose from, or a function that returns them. It is called when a value is
        checked, so that values which a package has registered by then are included.
    ge, le, gt
        Bounds of a number, or of every number of a list: at least, at most, above.
    check
        A function that raises AssayError for values that cannot be used. It runs first.
    everyday
        Whether ``--help`` and ``MLproject`` name the parameter.
    aliases
        Older or other names of the parameter.
    value_aliases
        Older or other spellings of a value, each with the value that it stands for.
    """
    rule = Rule(
        help,
        choices=choices,
        ge=ge,
        le=le,
        gt=gt,
        check=check,
        everyday=everyday,
        aliases=aliases,
        value_aliases=dict(value_aliases or {}),
    )
    return dataclasses.field(default=default, metadata={"rule": rule})


class ConfigSection:
    """Base of all sections, for type checks."""

    # So that type checkers accept a section in dataclasses.fields().
    if typing.TYPE_CHECKING:
        __dataclass_fields__: typing.ClassVar[dict[str, dataclasses.Field[Any]]]


SectionT = TypeVar("SectionT", bound=ConfigSection)


@dataclass_transform(
    frozen_default=True, field_specifiers=(parameter, dataclasses.field), kw_only_default=False
)
def section(cls: type[SectionT]) -> type[SectionT]:
    """Make a class of parameters a frozen pydantic dataclass whose errors are AssayErrors.

    Texts are parsed as a command line writes them: ``auto``, ``true``, ``1,2,3``.
    """
    hints = typing.get_type_hints(cls)
    # Only the annotations of the class itself: those of its bases have their rules already.
    for name in inspect.get_annotations(cls):
        rule = cls.__dict__[name].metadata["rule"]
        cls.__annotations__[name] = _checked_type(name, hints[name], rule)
    strict = pydantic.ConfigDict(extra="forbid")
    validated = pydantic.dataclasses.dataclass(frozen=True, config=strict)(cls)
    validating_init = validated.__init__

    @functools.wraps(validating_init)
    def init(self: Any, *args: Any, **values: Any) -> None:
        try:
            validating_init(self, *args, **values)
        except pydantic.ValidationError as error:
            raise one_line_error(error) from None

    validated.__init__ = init  # type: ignore[method-assign]
    return typing.cast("type[SectionT]", validated)


def _checked_type(name: str, hint: Any, rule: Rule) -> Any:
    """The type ``hint`` of the parameter ``name``, annotated with all that pydantic must check.

    A value passes from the outside to the inside: the parameter's own check, ``auto``, the list,
    then each element. The type is therefore built from the inside to the outside.
    """
    may_be_auto = type(None) in typing.get_args(hint)
    if may_be_auto:
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    is_list = typing.get_origin(hint) is tuple
    scalar = typing.get_args(hint)[0] if is_list else hint
    bounds = {key: getattr(rule, key) for key in ("ge", "le", "gt")}
    constraints = {key: value for key, value in bounds.items() if value is not None}
    if scalar is int:
        constraints.setdefault("le", _LARGEST_INT)
    if scalar is float:
        constraints["allow_inf_nan"] = False
    checked: Any = Annotated[
        scalar,
        pydantic.BeforeValidator(functools.partial(_from_text, scalar, rule)),
        pydantic.Field(**constraints),
        pydantic.AfterValidator(functools.partial(_check_choice, name, rule)),
    ]
    if is_list:
        checked = Annotated[
            tuple[checked, ...],
            pydantic.BeforeValidator(_split),
            pydantic.AfterValidator(functools.partial(check_list, name)),
        ]
    if may_be_auto:
        checked = Annotated[checked | None, pydantic.BeforeValidator(_none_for_auto)]
    return Annotated[checked, pydantic.BeforeValidator(functools.partial(_check_raw, name, rule))]


def _check_raw(name: str, rule: Rule, value: Any) -> Any:
    """``value`` as it was given, after the parameter's own check and a search for secrets."""
    if rule.check:
        rule.check(value)
    elements = value if isinstance(value, tuple | list) else (value,)
    texts = [element for element in elements if isinstance(element, str)]
    if any(map(holds_secret, texts)):
        # The error does not repeat the value: errors are logged.
        raise AssayError(
            f"{name} must hold no user and password, key or token: parameters are written into "
            "the tracking store. Leave it out; a source that needs a password can be downloaded "
            "and given as a file."
        )
    check_writable(name, texts)
    return value


def _none_for_auto(value: Any) -> Any:
    """None for ``auto``, else ``value``."""
    return None if isinstance(value, str) and value.strip() == AUTO else value


def _split(value: Any) -> Any:
    """A list out of a text with commas; a single number counts as a list of one."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return (value,) if isinstance(value, int | float) else value


def _from_text(scalar: type, rule: Rule, value: Any) -> Any:
    """The value that a text stands for; any other value must have the type already.

    Stricter than pydantic, which reads 1 and yes as true, true as 1, and 3.0 as a whole number.
    """
    if isinstance(value, str):
        value = rule.value_aliases.get(value, value)
    if scalar is str and isinstance(value, bool) and "true" in (rule.allowed() or ()):
        return str(value).lower()  # one of the choices, as a file writes it
    if scalar is bool:
        if isinstance(value, str) and value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        if not isinstance(value, bool):
            raise PydanticCustomError("truth", "true or false")
    elif isinstance(value, bool | bytes) or (scalar is int and isinstance(value, float)):
        raise PydanticCustomError("kind", KINDS[scalar])
    elif scalar in (int, float):
        return number_from(scalar, value)
    return value


def _check_choice(name: str, rule: Rule, value: Any) -> Any:
    """``value``, which must be one of the rule's choices where it has some."""
    allowed = rule.allowed()
    if allowed is not None and value not in allowed:
        raise unknown_value(name, str(value)[:_MAX_SHOWN], allowed)
    return value


def rule_of(field: dataclasses.Field[Any]) -> Rule:
    """The rule of a section's field."""
    return typing.cast(Rule, field.metadata["rule"])


def parameters(*sections: type[ConfigSection]) -> Iterator[dataclasses.Field[Any]]:
    """Every parameter of ``sections``, in order."""
    for cls in sections:
        yield from dataclasses.fields(cls)


def section_name(cls: type[ConfigSection]) -> str:
    """The name of a section in a configuration file: ``label`` for ``LabelConfig``.

    Its subclasses, which some entry points have in its place, are called ``label`` too, so that a
    file fits several entry points.
    """
    bases = [base for base in cls.__mro__ if issubclass(base, ConfigSection)]
    oldest = bases[-2]  # the last one is ConfigSection itself
    return class_name(oldest)


def class_name(cls: type[ConfigSection]) -> str:
    """The name of a section's class without ``Config``, in lower case."""
    return cls.__name__.removesuffix("Config").lower()


def kind_of(cls: type[ConfigSection], name: str) -> str:
    """The type of the parameter ``name`` in words: ``text``, ``int list``, ``float or auto``."""
    return _words(typing.get_type_hints(cls)[name])


def _words(hint: Any) -> str:
    """A type in words."""
    words = {str: "text", int: "int", float: "float", bool: "true or false"}
    arguments = typing.get_args(hint)
    if not arguments:
        return words[hint]
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return f"{_words(arguments[0])} or auto"
    return f"{_words(arguments[0])} list"


def parse(cls: type[SectionT], values: Mapping[str, Any]) -> SectionT:
    """A section from texts or values by parameter name; other names are ignored.

    Raises AssayError for the first value that breaks a rule.
    """
    names = [field.name for field in parameters(cls)]
    return cls(**{name: values[name] for name in names if name in values})


def written(value: Any) -> str:
    """A parameter's value as text: the inverse of parsing."""
    if value is None:
        return AUTO
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ",".join(written(element) for element in value)
    if isinstance(value, float):
        # 5 rather than 5.0, unless six digits would lose some of the number.
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)
