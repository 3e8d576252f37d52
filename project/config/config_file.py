"""A configuration file in YAML or JSON, read as names and values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from project.support.errors import AssayError


def read_file(address: str) -> Mapping[str, Any]:
    """The content of a configuration file in YAML or JSON.

    Raises AssayError where it cannot be read or holds something else than names and values.
    """
    path = Path(address).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
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
    """YAML in which a repeated key is an error; PyYAML itself would keep the last value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys differ."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"{key!r} stands twice")
        return super().construct_mapping(node, deep)


def _safe_yaml(text: str) -> Any:
    """``yaml.safe_load`` that refuses repeated keys."""
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
