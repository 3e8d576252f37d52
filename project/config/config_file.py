"""Configuration files, read as names and values: YAML or JSON in which every name stands once.

A value without quotation marks means what it means on the command line: ``010`` is ten, and
``1:30`` or a date is text. YAML 1.1 would read them as 8, as 90 and as a date.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from project.config.entry_points import every_parameter
from project.config.field_errors import shown
from project.support.errors import AssayError

# YAML names the types of its values by tags.
_YAML = "tag:yaml.org,2002:"
_MERGE = f"{_YAML}merge"
_IMPLICIT = (f"{_YAML}null", f"{_YAML}bool", _MERGE)  # recognised as PyYAML does
_JSON_TYPES = ("null", "bool", "int", "float", "str", "seq", "map")
_TAGS = (*(f"{_YAML}{kind}" for kind in _JSON_TYPES), None)  # None: refuses all other tags
# Names of facts in a run's config.json that are also names of parameters.
_FACTS = {"task", "arms", "config", "design"}


def read_file(address: str) -> Mapping[str, Any]:
    """The content of a configuration file in YAML or JSON.

    Raises AssayError where it cannot be read or holds something else than names and values.
    """
    try:
        path = Path(address).expanduser()
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError:
        raise _unreadable(address, "it is not UTF-8 text") from None
    except (OSError, ValueError, RuntimeError) as error:  # no such file, user, or file name
        raise _unreadable(address, getattr(error, "strerror", None) or str(error)) from None
    try:
        content = _json(text) if path.suffix.lower() == ".json" else safe_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())[:200]
        raise AssayError(f"config must be a YAML or JSON file; {address}: {problem}") from None
    return stored_sections(content, address)


def _unreadable(address: str, reason: str) -> AssayError:
    """The error for a file that cannot be opened or decoded."""
    return AssayError(f"config must be a readable file; {address}: {reason}.")


def _refuse_repetition(names: Iterable[Any]) -> None:
    """Raise ValueError for a repeated name: all its values but the last would be lost."""
    # YAML also allows lists and mappings as names, which PyYAML refuses by itself.
    counts = Counter(name for name in names if isinstance(name, Hashable))
    for name, count in counts.items():
        if count > 1:
            raise ValueError(f"{shown(name)} stands twice")


class _Loader(yaml.SafeLoader):
    """YAML with the types of JSON alone, and without silent repetition of a name."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (as in yaml)
        first: [(tag, pattern) for tag, pattern in resolvers if tag in _IMPLICIT]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {  # noqa: RUF012
        tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag in _TAGS
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys differ. Keys that a merge (``<<``) adds may be set again."""
        own = [key for key, _ in node.value if key.tag != _MERGE]
        _refuse_repetition(self.construct_object(key, deep=True) for key in own)
        return super().construct_mapping(node, deep)


# Numbers as Python and JSON write them. YAML 1.1 also has octal, binary and sexagesimal ones.
_Loader.add_implicit_resolver(
    f"{_YAML}int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    f"{_YAML}float",
    re.compile(
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?$"
        r"|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)


def safe_yaml(text: str) -> Any:
    """The content of a YAML text; no tag in it can make Python objects."""
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _json(text: str) -> Any:
    """The content of a JSON text."""
    return json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The mapping of names to values, whose names must differ."""
    _refuse_repetition(name for name, _ in pairs)
    return dict(pairs)


def stored_sections(content: Any, address: str) -> Mapping[str, Any]:
    """The sections in a configuration file, or in the ``config.json`` of a run.

    A run's file has them below ``sections``; runs of older versions below ``config``. A parameter
    beside them would be without effect and is refused.
    """
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise AssayError(f"{address} must hold parameters as 'name: value'; it holds no names.")
    for name in ("sections", "config"):
        if isinstance(content.get(name), Mapping):
            stored: Mapping[str, Any] = content[name]
            if beside := sorted((content.keys() & every_parameter()) - _FACTS):
                raise AssayError(
                    f"{address} has {', '.join(beside)} beside {name!r}, which holds the "
                    f"parameters. Move what you set there below {name!r}."
                )
            return stored
    return content
