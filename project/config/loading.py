"""Parameters from a configuration file and the command line, and the effective configuration.

Precedence: command line, file, task card, default. A task card fills in parameters that are left
at ``auto`` (see :mod:`project.config.experiment`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field
from typing import Any, NamedTuple

from project.config.config_file import read_file
from project.config.entry_points import ENTRY_POINTS, EntryPoint, every_parameter
from project.config.field_errors import shown
from project.config.fields import (
    AUTO,
    ConfigSection,
    class_name,
    parameters,
    parse,
    section_name,
    written,
)
from project.support.errors import AssayError, did_you_mean, together

COMMAND_LINE = "command line"
FILE = "file"
DEFAULT = "default"
CARD = "task card or paper"  # like those above the origin of a value
# YAML refuses these characters, or reads them as the end of a line.
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


@dataclass(frozen=True)
class EffectiveConfig:
    """The effective parameters of an entry point.

    Attributes
    ----------
    texts
        Every parameter as text.
    origins
        Where each value comes from: the command line, the file, or its default.
    ignored
        Parameters in the file that belong to other entry points.
    overruled
        Defaults that the command line repeated and the file replaced, by parameter.
    """

    texts: dict[str, str]
    origins: dict[str, str]
    ignored: tuple[str, ...] = ()
    overruled: dict[str, str] = field(default_factory=dict)


class _FileValues(NamedTuple):
    """Values in a configuration file, and its parameters that belong to other entry points."""

    values: dict[str, Any]
    ignored: tuple[str, ...]


def effective(
    entry: EntryPoint,
    external: Mapping[str, str],
    read: Callable[[str], Mapping[str, Any]] | None = None,
    *,
    defaults_are_passed: bool = False,
) -> EffectiveConfig:
    """Every parameter of ``entry``: from the command line, a file, or its default.

    Parameters
    ----------
    entry
        The entry point.
    external
        The parameters on the command line as text; aliases are accepted.
    read
        Reads the file that the parameter ``config`` names; :func:`read_file` by default.
    defaults_are_passed
        Whether the command line repeats defaults, as that of ``mlflow run`` does. A value equal to
        the default then counts as not given where the file has another one.

    Raises
    ------
    AssayError
        For an unknown parameter, one given twice, or values that break a rule.
    """
    default_texts = {item.name: written(item.default) for item in parameters(*entry.all_sections)}
    repeated = _repeated_defaults(entry, external, default_texts) if defaults_are_passed else {}
    meant = {name: text for name, text in external.items() if name not in repeated}
    typed = _by_own_name(entry, meant, "the command line")
    address = typed.get("config", "")
    file = _FileValues({}, ())
    if address:
        file = _file_values(entry, address, read or read_file)
    # Values of the file are checked before they become texts: a list or null has a type to check.
    _check(entry, {**default_texts, **file.values, **typed})
    file_texts = {name: written(value) for name, value in file.values.items()}
    texts = _with_own_spelling(entry, {**default_texts, **file_texts, **typed})
    origins = {
        **dict.fromkeys(default_texts, DEFAULT),
        **dict.fromkeys(file.values, f"{FILE} {address}"),
        **dict.fromkeys(typed, COMMAND_LINE),
    }
    return EffectiveConfig(
        texts=texts,
        origins=origins,
        ignored=file.ignored,
        overruled={name: text for name, text in repeated.items() if texts[name] != text},
    )


def _repeated_defaults(
    entry: EntryPoint, external: Mapping[str, str], default_texts: Mapping[str, str]
) -> dict[str, str]:
    """The parameters that the command line sets to their default.

    ``mlflow run`` does so with every parameter that ``MLproject`` declares, whether or not the
    user has typed it. These are the everyday ones.
    """
    declared = entry.everyday()
    return {
        name: text
        for name, text in external.items()
        if name in declared and text == default_texts[name]
    }


def _with_own_spelling(entry: EntryPoint, texts: Mapping[str, str]) -> dict[str, str]:
    """``texts`` with each older spelling of a value replaced by the value that it stands for."""
    rules = entry.rules()
    return {name: rules[name].value_aliases.get(text, text) for name, text in texts.items()}


def defaults(name: str) -> dict[str, str]:
    """The default of every parameter of the entry point ``name``, as text."""
    return effective(ENTRY_POINTS[name], {}).texts


def _check(entry: EntryPoint, values: Mapping[str, Any]) -> None:
    """Raise AssayError for all values that break a rule of their section, together."""
    errors = []
    for cls in entry.all_sections:
        try:
            parse(cls, values)
        except AssayError as error:
            errors.append(error)
    if errors:
        raise together(errors)


def _by_own_name(entry: EntryPoint, values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """``values`` with each alias replaced by the parameter's own name.

    Raises AssayError for an unknown name, and for a name together with its alias.
    """
    aliases = entry.aliases()
    known = entry.rules().keys()
    used_names: dict[str, str] = {}
    for name in values:
        own_name = aliases.get(name, name)
        if own_name not in known:
            raise AssayError(f"{entry.name} has no parameter {name!r}.{did_you_mean(name, known)}")
        if own_name in used_names:
            raise AssayError(
                f"{own_name} is given twice in {source}, as {used_names[own_name]} and as {name}. "
                "Leave one of the two out."
            )
        used_names[own_name] = name
    return {own_name: values[name] for own_name, name in used_names.items()}


def _file_values(
    entry: EntryPoint, address: str, read: Callable[[str], Mapping[str, Any]]
) -> _FileValues:
    """The file's values for ``entry``, and the parameters of other entry points in it.

    One file may hold the parameters of several entry points, so those of others are no error.
    """
    own = entry.accepted_names()
    known = every_parameter()
    values: dict[str, Any] = {}
    ignored = []
    for name, value in _flat(entry, read(address), address):
        if name not in known:
            raise AssayError(
                f"{address} has the unknown parameter {shown(name)}.{did_you_mean(name, own)} "
                "Correct or remove it."
            )
        if name in values:
            raise AssayError(f"{address} has {name} twice. Leave one of the two out.")
        if name in own and name not in entry.not_in_files:
            values[name] = value
        else:
            ignored.append(name)
    values = _by_own_name(entry, values, address)
    for item in parameters(*entry.all_sections):
        if item.name in values and values[item.name] is None:
            values[item.name] = _value_of_null(item, address)
    return _FileValues(values, tuple(ignored))


def _value_of_null(item: Field[Any], address: str) -> Any:
    """What null, which is also YAML's empty value, stands for: ``auto``, or the empty text."""
    if item.default in (None, "", AUTO):
        return item.default
    raise AssayError(
        f"{item.name} must have a value; {address} has null. Remove it from the file for the "
        f"default, {written(item.default)}."
    )


def _flat(entry: EntryPoint, content: Mapping[str, Any], address: str) -> Iterator[tuple[str, Any]]:
    """Names and values of a file's parameters, whether or not they stand in a section."""
    sections = _section_names()
    own = entry.accepted_names()
    for name, value in content.items():
        if not isinstance(name, str):
            raise AssayError(
                f"{address} must have names of parameters or sections; got {shown(name)}."
            )
        if isinstance(value, Mapping) and name in sections:
            for inner_name, inner_value in value.items():
                yield str(inner_name), inner_value
        elif isinstance(value, Mapping) and name in every_parameter():
            raise AssayError(
                f"{name} must be a value, or a list of values; {address} has names below it."
            )
        elif isinstance(value, Mapping):
            raise AssayError(
                f"{address} has the unknown section {shown(name)}.{did_you_mean(name, sections)} "
                "Correct or remove it."
            )
        elif name in sections - own:
            raise AssayError(
                f"{address}: the section {name} must hold parameters, as in "
                f"'{name}: {{NAME: value}}'; got {shown(value)}."
            )
        else:
            yield name, value


def _section_names() -> set[str]:
    """Names of all sections. A variant such as BudgetConfig is ``label``, and also ``budget``."""
    names: set[str] = set()
    for entry in ENTRY_POINTS.values():
        for name, cls in entry.named_sections():
            names |= {name, class_name(cls)}
    return names


def as_yaml(
    entry: EntryPoint, config: EffectiveConfig, card: Mapping[str, Any] | None = None
) -> str:
    """The effective configuration as a YAML file, each value with its origin as a comment.

    Parameters
    ----------
    entry
        The entry point.
    config
        Its effective parameters.
    card
        Values from the task card or the paper for parameters that are left at ``auto``.
    """
    sections = []
    for cls in entry.sections:
        lines = [f"{section_name(cls)}:"]
        for name, value in _values(cls, config.texts).items():
            origin = config.origins[name]
            if value is None and card and card.get(name) is not None:
                value = card[name]  # noqa: PLW2901  # what auto stands for
                origin = CARD
            comment = "" if origin == DEFAULT else f"  # {on_one_line(origin)[1:-1]}"
            lines.append(f"  {name}: {on_one_line(AUTO if value is None else value)}{comment}")
        sections.append("\n".join(lines))
    header = f"# effective configuration of the entry point {entry.name}\n"
    return header + "\n\n".join(sections) + "\n"


def on_one_line(value: Any) -> str:
    """``value`` as JSON in which YAML reads the same value."""
    escaped = json.dumps(value, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", escaped)


def sections_of(entry: EntryPoint, texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The configuration by section and parameter, ready for JSON."""
    return {section_name(cls): _values(cls, texts) for cls in entry.sections}


def _values(cls: type[ConfigSection], texts: Mapping[str, str]) -> dict[str, Any]:
    """The typed values of a section's parameters, from texts."""
    section = parse(cls, texts)
    return {item.name: getattr(section, item.name) for item in parameters(cls)}
