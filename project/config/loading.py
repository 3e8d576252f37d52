"""Parameters from a configuration file and the command line, and the effective configuration.

Precedence: command line, file, task card, default. A task card fills in parameters that are left
at ``auto`` (see :mod:`project.config.experiment`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from project.config.entry_points import ENTRY_POINTS, EntryPoint, every_parameter
from project.config.fields import AUTO, parameters, parse, rule_of, section_name, written
from project.support.errors import AssayError, did_you_mean

COMMAND_LINE = "command line"
FILE = "file"
DEFAULT = "default"
CARD = "task card or paper"


@dataclass(frozen=True)
class EffectiveConfig:
    """The effective parameters of an entry point.

    ``texts``: every parameter as text; ``origins``: where each value comes from; ``ignored``:
    parameters in the file that belong to other entry points; ``overruled``: parameters whose
    default the command line repeats although they have another value, with that default.
    """

    texts: dict[str, str]
    origins: dict[str, str]
    ignored: tuple[str, ...] = ()
    overruled: dict[str, str] = field(default_factory=dict)


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
    entry, external
        The entry point, and the parameters on the command line as text; aliases are accepted.
    read
        Reads the file that the parameter ``config`` names; :func:`read_file` by default.
    defaults_are_passed
        Whether the command line repeats defaults, as that of ``mlflow run`` does. A value equal to
        the default then counts as not given where the file has another one.

    Raises
    ------
    AssayError
        For an unknown parameter, with the nearest name; one that is given twice; or a value that
        breaks a rule.

    """
    fields = {item.name: item for item in parameters(*entry.all_sections)}
    default_texts = {name: written(item.default) for name, item in fields.items()}
    declared = entry.everyday() if defaults_are_passed else ()
    repeated = {
        name: text
        for name, text in external.items()
        if name in declared and text == default_texts[name]
    }
    typed = _named(
        entry,
        {name: text for name, text in external.items() if name not in repeated},
        "the command line",
    )
    address = typed.get("config", "")
    values, ignored = _file_values(entry, address, read or read_file) if address else ({}, [])
    from_file = {
        name: "" if value is None and isinstance(fields[name].default, str) else value
        for name, value in values.items()
    }
    _check(entry, {**default_texts, **from_file, **typed})
    from_file_texts = {name: written(value) for name, value in from_file.items()}
    texts = {**default_texts, **from_file_texts, **typed}
    for name, item in fields.items():
        texts[name] = rule_of(item).value_aliases.get(texts[name], texts[name])
    return EffectiveConfig(
        texts,
        origins={
            **dict.fromkeys(default_texts, DEFAULT),
            **dict.fromkeys(from_file, f"{FILE} {address}"),
            **dict.fromkeys(typed, COMMAND_LINE),
        },
        ignored=tuple(ignored),
        overruled={name: text for name, text in repeated.items() if texts[name] != text},
    )


def defaults(name: str) -> dict[str, str]:
    """The default of every parameter of the entry point ``name``, as text."""
    return effective(ENTRY_POINTS[name], {}).texts


def _check(entry: EntryPoint, values: Mapping[str, Any]) -> None:
    """Raise AssayError for the first value that breaks a rule of its section."""
    for cls in entry.all_sections:
        parse(cls, values)


def _named(entry: EntryPoint, given: Mapping[str, Any], source: str) -> dict[str, Any]:
    """``given`` under the parameters' own names.

    Raises AssayError for an unknown name, and for a name together with its alias.
    """
    aliases = entry.aliases()
    own = entry.rules().keys()
    names: dict[str, str] = {}
    for name in given:
        own_name = aliases.get(name, name)
        if own_name not in own:
            raise AssayError(f"{entry.name} has no parameter {name!r}.{did_you_mean(name, own)}")
        if own_name in names:
            raise AssayError(
                f"{own_name} is given twice in {source}, as {names[own_name]} and as {name}. Leave "
                "one of the two out."
            )
        names[own_name] = name
    return {own_name: given[name] for own_name, name in names.items()}


def _file_values(
    entry: EntryPoint, address: str, read: Callable[[str], Mapping[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """The file's values for ``entry``, and the parameters of other entry points in it."""
    own = {*entry.rules(), *entry.aliases()}
    known = every_parameter()
    values: dict[str, Any] = {}
    ignored = []
    for name, value in _flat(entry, read(address), address):
        if name not in known:
            raise AssayError(
                f"{address} has the unknown parameter {name!r}.{did_you_mean(name, own)} "
                "Correct or remove it."
            )
        if name in values:
            raise AssayError(f"{address} has {name} twice. Leave one of the two out.")
        if name in own and name not in ("config", "show_config"):
            values[name] = value
        else:
            ignored.append(name)
    return _named(entry, values, address), ignored


def _flat(entry: EntryPoint, content: Mapping[str, Any], address: str) -> Iterator[tuple[str, Any]]:
    """Parameter names and values of a file, with its sections taken apart."""
    sections = _section_names()
    own = {*entry.rules(), *entry.aliases()}
    for name, value in content.items():
        if not isinstance(name, str):
            raise AssayError(f"{address} must have names of parameters or sections; got {name!r}.")
        if isinstance(value, Mapping) and name in sections:
            yield from ((str(inner), inner_value) for inner, inner_value in value.items())
        elif isinstance(value, Mapping):
            raise AssayError(
                f"{address} has the unknown section {name!r}.{did_you_mean(name, sections)} "
                "Correct or remove it."
            )
        elif name in sections - own:
            raise AssayError(
                f"{address}: the section {name} must hold parameters, as in "
                f"'{name}: {{NAME: value}}'; got {value!r}."
            )
        else:
            yield name, value


def _section_names() -> set[str]:
    return {
        name
        for entry in ENTRY_POINTS.values()
        for own_name, cls in entry.named_sections()
        for name in (own_name, cls.__name__.removesuffix("Config").lower())
    }


def read_file(address: str) -> Mapping[str, Any]:
    """The content of a configuration file in YAML or JSON.

    Raises AssayError where it cannot be read or holds something else than names and values.
    """
    path = Path(address).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise AssayError(f"config must be a readable file; {address}: {reason}.") from None
    try:
        content = json.loads(text) if path.suffix.lower() == ".json" else _safe_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())[:200]
        raise AssayError(f"config must be a YAML or JSON file; {address}: {problem}") from None
    return stored_sections(content, address)


class _UniqueKeys(yaml.SafeLoader):
    """YAML without silent repetition: a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys differ."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"{key!r} stands twice")
        return super().construct_mapping(node, deep)


def _safe_yaml(text: str) -> Any:
    loader = _UniqueKeys(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def stored_sections(content: Any, address: str) -> Mapping[str, Any]:
    """The sections in a configuration file, or in the ``config.json`` of a run.

    A run's file has them below ``sections``; runs of older versions below ``config``.
    """
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise AssayError(f"{address} must hold parameters as 'name: value'; it holds no names.")
    for name in ("sections", "config"):
        if isinstance(content.get(name), Mapping):
            stored: Mapping[str, Any] = content[name]
            return stored
    return content


def as_yaml(
    entry: EntryPoint, chosen: EffectiveConfig, card: Mapping[str, Any] | None = None
) -> str:
    """The effective configuration as a YAML file, each value with its origin as a comment.

    ``card``: values by which the task card or the paper fills in parameters left at ``auto``.
    """
    lines = [f"# effective configuration of the entry point {entry.name}"]
    for cls in entry.sections:
        if lines[-1] != "" and len(lines) > 1:
            lines.append("")
        lines.append(f"{section_name(cls)}:")
        for item in parameters(cls):
            text, origin = chosen.texts[item.name], chosen.origins[item.name]
            value = getattr(parse(cls, chosen.texts), item.name)
            if text == AUTO and card and card.get(item.name) is not None:
                value, origin = card[item.name], CARD
            shown = json.dumps(AUTO if value is None else value, ensure_ascii=False)
            lines.append(f"  {item.name}: {shown}" + ("" if origin == DEFAULT else f"  # {origin}"))
    return "\n".join(lines) + "\n"


def sections_of(entry: EntryPoint, texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The configuration by section and parameter, ready for JSON."""
    return {
        section_name(cls): {
            item.name: getattr(parse(cls, texts), item.name) for item in parameters(cls)
        }
        for cls in entry.sections
    }
