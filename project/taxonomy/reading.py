"""Reads a list of labels out of an LLM's reply.

Models keep to a form more or less: lines, numbered or with bullets, tables and JSON are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from project.taxonomy.labels import Label, distinct

MIN_LABELS = 2
"""A reply with fewer labels is no taxonomy."""
_MAX_NAME = 60  # characters; a longer line is a sentence and no name
_MAX_NAME_WORDS = 8
_MAX_DEFINITION = 600
_BULLET = re.compile(r"^\s*(?:(?:[-*•+]|\(?\d{1,3}[.):]|#{1,6})\s+)+")
_SEPARATOR = re.compile(r"\s*：\s*|\s*:\s+|\s+[-–—]\s+|\s*:\s*$")
# Marks of Markdown, but not an underscore within a word, and quotation marks around a text.
_MARKS = re.compile(r"[*`]{1,3}|(?<![^\W_])_{1,3}|_{1,3}(?![^\W_])|^[\"'“”]+|[\"'“”]+$")
_NAME_KEYS = ("name", "label", "title", "category", "topic")
_DEFINITION_KEYS = ("definition", "description", "meaning")
# Words that models write before or in place of the name.
_WORD_BEFORE = re.compile(
    r"^(?:label|category|topic|name)\s*\d*\s*(?:[:.)]\s*|-\s+)", re.IGNORECASE
)
_DEFINED = re.compile(rf"^(?:{'|'.join(_DEFINITION_KEYS)})\s*[:：]\s*", re.IGNORECASE)
_HEADS = ("name", "label", "labels", "category", "definition", "note", "notes", "---")


def read_labels(reply: str, other: str) -> tuple[Label, ...]:
    """The labels in a reply, each name once, without the label ``other``; empty if it has none."""
    labels = _from_json(reply) or _from_table(reply) or _from_lines(reply)
    return distinct(labels, other)


def _from_json(reply: str) -> list[Label]:
    """The labels of a JSON list or mapping in the reply.

    Within a line, only a list of mappings counts: other brackets may belong to a definition.
    """
    for match in re.finditer(r"[\[{]", reply):
        try:
            value, _ = json.JSONDecoder().raw_decode(reply, match.start())
        except (ValueError, RecursionError):
            continue
        begins_line = not reply[: match.start()].rpartition("\n")[2].strip()
        is_listing = isinstance(value, list) and all(isinstance(item, dict) for item in value)
        if not (begins_line or is_listing):
            continue
        if labels := _of_value(value):
            return labels
    return []


def _of_value(value: Any) -> list[Label]:
    if isinstance(value, dict):
        for inner in value.values():  # such as {"labels": [...]}
            if isinstance(inner, list) and (labels := _of_value(inner)):
                return labels
        values = {name: _definition_in(inner) for name, inner in value.items()}
        pairs = [(name, text) for name, text in values.items() if isinstance(text, str)]
        is_label = any(key.lower() in _NAME_KEYS for key, _ in pairs)
        return [] if is_label else _labels(pairs)
    if not isinstance(value, list):
        return []
    found = []
    for item in value:
        if isinstance(item, str):
            found += _from_line(item, is_item=True)
        elif isinstance(item, dict):
            lower = {str(key).lower(): text for key, text in item.items()}
            name = next((lower[key] for key in _NAME_KEYS if key in lower), None)
            text = _definition_in(item)
            if isinstance(name, str):
                found += _labels([(name, text if isinstance(text, str) else "")])
    return found


def _definition_in(value: Any) -> Any:
    """The definition that a mapping holds under a usual key; another value as it is."""
    if not isinstance(value, dict):
        return value
    lower = {str(key).lower(): text for key, text in value.items()}
    return next((lower[key] for key in _DEFINITION_KEYS if key in lower), None)


def _from_table(reply: str) -> list[Label]:
    """The labels of a Markdown table; a first column of numbers is left out."""
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in reply.splitlines()
        if line.strip().startswith("|")
    ]
    rows = [row for row in rows if not all(set(cell) <= set("-: ") for cell in row)]
    if len(rows) < MIN_LABELS + 1:  # with its head
        return []
    skip = int(len(rows[1]) > 1 and all(row[0].isdigit() for row in rows[1:] if row))
    pairs = [
        (row[skip], row[skip + 1] if len(row) > skip + 1 else "") for row in rows[1:] if row[skip:]
    ]
    return _labels(pairs)


def _from_lines(reply: str) -> list[Label]:
    """The labels of lines; where some have bullets, the lines without are not labels."""
    lines = _with_definitions([line for line in reply.splitlines() if line.strip()])
    items = [line for line in lines if _BULLET.match(line)]
    chosen = items if len(items) >= MIN_LABELS else lines
    found: list[Label] = []
    for line in chosen:
        found += _from_line(_BULLET.sub("", line), is_item=chosen is items)
    return found


def _with_definitions(lines: Sequence[str]) -> list[str]:
    """The lines, those that hold a definition alone joined to the name on the line before."""
    found: list[str] = []
    for line in lines:
        plain = _MARKS.sub("", _BULLET.sub("", line).strip())
        if found and _DEFINED.match(plain):
            found[-1] = f"{found[-1].rstrip(' :：*')}: {_DEFINED.sub('', plain)}"
        else:
            found.append(line)
    return found


def _from_line(line: str, *, is_item: bool) -> list[Label]:
    """The label of a line, or none. A name alone is a label only in a list of items."""
    line = _WORD_BEFORE.sub("", _MARKS.sub("", line.strip()))
    name, *rest = _SEPARATOR.split(line, maxsplit=1)
    definition = rest[0] if rest else ""
    if not (definition or is_item):
        return []
    return _labels([(name, definition)])


def _labels(pairs: Sequence[tuple[str, str]]) -> list[Label]:
    """Labels of these names and definitions, tidied; names that are sentences are left out."""
    found = []
    for written, definition in pairs:
        name = _tidy(written).rstrip(".:")
        is_name = 0 < len(name) <= _MAX_NAME and len(name.split()) <= _MAX_NAME_WORDS
        if is_name and any(map(str.isalnum, name)) and name.lower() not in _HEADS:
            found.append(Label(name, _tidy(definition)[:_MAX_DEFINITION]))
    return found


def _tidy(text: str) -> str:
    """``text`` on one line, without marks of Markdown, quotes around it and control characters."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return _MARKS.sub("", " ".join(plain.split()).strip()).strip()
