"""A task card: a YAML file that says what a task is. See ``project/tasks/`` for examples.

Keys: ``name``, ``title``, ``source`` (``file`` beside the card; or ``hub`` with ``revision``, ``config`` and ``splits``; or
``download``, where a person fetches ``file``), ``columns`` (``text``, ``label``, ``id``, ``split``), ``description`` (the task
description of the prompt), ``labels`` (ordered), ``values`` (label in the data -> label), ``gold_probabilities`` (label -> column
with the human votes, counts or shares, that it got), ``split`` (most examples in each split), ``defaults`` (for parameters left
at ``auto``), ``licence``, ``citation``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from project.config.experiment import CARD_DEFAULTS as DEFAULTS
from project.config.experiment import defaults_of_card
from project.data.tables import MAX_LABELS, SPLITS
from project.support.errors import AssayError, unknown_value
from project.support.escape import abridged

CARDS = Path(__file__).parent / "tasks"
SIZES = {
    "demonstration": 100,
    "train": 5000,
    "validation": 500,
    "test": 2000,
}  # train and test: the paper, Appendix A
_REQUIRED = ("name", "source", "columns", "description", "labels")
_OPTIONAL = ("title", "values", "gold_probabilities", "split", "defaults", "licence", "citation")
_LONGEST = 200  # characters of a name
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_SOURCE = ("file", "hub", "revision", "config", "splits", "download", "header")


@dataclass(frozen=True)
class Card:
    """A checked task card. ``sizes``: most examples in each split; ``gold_probabilities``: the column of each label's votes, {} for none."""

    path: Path
    name: str
    source: dict[str, Any]
    columns: dict[str, str]
    description: str
    labels: tuple[str, ...]
    values: dict[str, str] = field(default_factory=dict)
    gold_probabilities: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=lambda: dict(SIZES))
    defaults: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    licence: str = ""
    citation: str = ""


def load_card(task: str) -> Card:
    """The card of a task known by name, or at a path ending in ``.yaml``."""
    known = sorted(path.stem for path in CARDS.glob("*.yaml"))
    path = Path(task).expanduser() if task.endswith((".yaml", ".yml")) else CARDS / f"{task}.yaml"
    if not path.is_file():
        if task not in known and not task.endswith((".yaml", ".yml")):
            raise unknown_value(
                "task", task, known, "Or give the path of your own card, ending in .yaml."
            )
        raise AssayError(
            f"task card {path} does not exist. Give the path of a card, or one of {', '.join(known)}."
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (
        yaml.YAMLError,
        ValueError,
        OverflowError,
        RecursionError,
    ) as error:  # dates and numbers that are none; depth
        raise AssayError(
            f"task card {path} is not valid YAML: {' '.join(str(error).split())[:300]}"
        ) from None
    if not isinstance(content, dict):
        raise AssayError(
            f"task card {path} must be a mapping with the keys {', '.join(_REQUIRED)}."
        )
    return _checked(path, content)


def _checked(path: Path, content: dict[str, Any]) -> Card:
    def bad(message: str) -> AssayError:
        return AssayError(f"task card {path.name}: {message}")

    for key in _REQUIRED:
        if not content.get(key):
            raise bad(f"the key {key!r} is missing or empty. Required: {', '.join(_REQUIRED)}.")
    _only_known(bad, "", content, _REQUIRED + _OPTIONAL)
    _check_texts(bad, content)
    _check_mappings(bad, content)
    _check_source(bad, content["source"])
    source, columns, labels = content["source"], content["columns"], content["labels"]
    if not {"text", "label"} <= columns.keys():
        raise bad("'columns' must name the columns of text and label.")
    _check_labels(bad, labels)
    _check_votes(bad, content, labels)
    values = {str(key): str(value) for key, value in (content.get("values") or {}).items()}
    for value in values.values():
        if value not in labels:
            raise bad(f"'values' maps to {value!r}, which is not in 'labels'.")
    sizes = {**SIZES, **content.get("split", {})}
    if not all(isinstance(size, int) and size > 0 for size in sizes.values()):
        raise bad(f"'split' must give positive whole numbers; got {abridged(content['split'])}.")
    try:  # checked by the stages' own rules; YAML reads 1e-4 as text
        defaults = defaults_of_card(content.get("defaults", {}))
    except AssayError as error:
        raise bad(f"defaults: {error}") from None
    return Card(
        path,
        str(content["name"]),
        source,
        {key: str(value) for key, value in columns.items()},
        " ".join(str(content["description"]).split()),
        tuple(labels),
        values,
        dict(content.get("gold_probabilities", {})),
        sizes,
        defaults,
        str(content.get("title", "")),
        str(content.get("licence", "")),
        str(content.get("citation", "")),
    )


def _one_line(value: Any, longest: int = _LONGEST) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= longest
        and not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in value)
    )


def _check_texts(bad: Any, content: dict[str, Any]) -> None:
    """The card's words are texts, and its name is one that runs and files can bear."""
    for key in ("description", "title", "licence", "citation"):
        if not isinstance(content.get(key, ""), (str, int, float)):
            raise bad(f"{key!r} must be a text; got {abridged(content[key])}.")
    if not _one_line(
        str(content["name"]) if isinstance(content["name"], (str, int, float)) else content["name"]
    ):
        raise bad(
            f"'name' must be a text of at most {_LONGEST} characters on one line; got {abridged(content['name'])}."
        )


def _check_source(bad: Any, source: dict[str, Any]) -> None:
    """Where the data are: a file that lies beside the card, or a data set of the hub, and nothing that leads elsewhere."""
    if not any(key in source for key in ("file", "hub", "download")):
        raise bad("'source' must have one of file, hub, download.")
    for key in ("file", "hub", "revision", "config", "download"):
        if key in source and not _one_line(source[key], 1000):
            raise bad(f"'source.{key}' must be a text on one line; got {abridged(source[key])}.")
    if "hub" in source and not _HUB.fullmatch(source["hub"]):
        raise bad(
            f"'source.hub' must be a data set of the hub, owner/name; got {abridged(source['hub'])}. Give a file with -P data=FILE."
        )
    if not (
        isinstance(source.get("splits", {}), dict)
        and all(map(_one_line, source.get("splits", {}).values()))
    ):
        raise bad(
            f"'source.splits' must map the hub's splits to {', '.join(SPLITS)}; got {abridged(source['splits'])}."
        )
    header = source.get("header", ["text"])
    if not (isinstance(header, list) and header and all(map(_one_line, header))):
        raise bad(f"'source.header' must be a list of column names; got {abridged(header)}.")


def _check_mappings(bad: Any, content: dict[str, Any]) -> None:
    for key, known in (
        ("source", _SOURCE),
        ("columns", ("text", "label", "id", "split")),
        ("split", SPLITS),
        ("defaults", DEFAULTS),
        ("values", None),
        ("gold_probabilities", None),
    ):
        value = content.get(key, {})
        if not isinstance(value, dict):
            raise bad(f"{key!r} must be a mapping; got {abridged(value)}.")
        if known:
            _only_known(bad, f"{key}.", value, known)
        for name, one in value.items() if key != "source" else ():
            if isinstance(one, (list, dict)):  # which aliases can make endless
                raise bad(f"'{key}.{name}' must be one value; got {abridged(one)}.")


def _check_labels(bad: Any, labels: Any) -> None:
    if not isinstance(labels, list) or not all(
        isinstance(label, str) and label.strip() for label in labels
    ):
        raise bad(
            f"'labels' must be a list of strings; got {abridged(labels)}. Quote words such as yes, no, on, off and numbers."
        )
    if len(set(labels)) < len(labels) or len(labels) < 2:
        raise bad(f"'labels' must be at least two different names; got {abridged(labels)}.")
    if len(labels) > MAX_LABELS or not all(map(_one_line, labels)):
        raise bad(
            f"'labels' must be at most {MAX_LABELS} names of at most {_LONGEST} characters, each on one line; got {abridged(labels)}."
        )


def _check_votes(bad: Any, content: dict[str, Any], labels: list[str]) -> None:
    if "gold_probabilities" not in content:
        return
    votes = content["gold_probabilities"]
    named = all(isinstance(column, str) and column.strip() for column in votes.values())
    if set(votes) != set(labels) or not named or len(set(votes.values())) < len(votes):
        raise bad(
            f"'gold_probabilities' must map each of the labels {', '.join(labels)}, and nothing else, to a column of its own; got {abridged(votes)}. "
            "Quote words such as yes, no, on, off and numbers, or leave the key out."
        )


def _only_known(bad: Any, where: str, mapping: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in mapping:
        if key not in known:
            raise bad(
                str(unknown_value("a key", f"{where}{key}", [where + name for name in known]))
            )


def as_label(value: Any, label_set: Sequence[str], values: Mapping[str, str]) -> str | None:
    """The label that a value in the data stands for: a label in any case, or a value that ``values`` maps to one; None for any other.

    Where nothing is mapped and no label is a number, whole numbers are indices into the label set, as on the hub.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    names = {label.casefold(): label for label in label_set}
    names.update({key.casefold(): label for key, label in values.items()})
    if text.casefold() in names:
        return names[text.casefold()]
    indices = not values and not any(label.isdecimal() for label in label_set)
    return (
        label_set[int(text)]
        if indices and text.isdecimal() and int(text) < len(label_set)
        else None
    )
