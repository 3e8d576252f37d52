"""The tasks of a suite: named one by one, all cards of a folder, or listed in a file.

Such a file has the parameters of each task, and may have some for all of them::

    parameters: {max_train: 1000, encoder: linear}
    tasks:
      - {task: imdb.yaml, recorded: imdb.parquet, recorded_columns: gpt_4, group: GPT-4}
      - {task: babe.yaml, recorded: babe.parquet, recorded_columns: gpt_4, group: GPT-4}
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from project.config.config_file import safe_yaml
from project.config.entry_points import ENTRY_POINTS
from project.config.field_errors import shown
from project.config.fields import written
from project.config.label_type import MULTI
from project.config.lists import split_list
from project.config.loading import effective
from project.data.card import Card, load_card
from project.support.errors import AssayError, Refusals

_OWN = ("name", "group")
_PATHS = ("task", "data", "recorded", "human", "template", "codebook")
"""Parameters whose paths begin at the file of the suite, if they are there."""
_OF_COMMAND = ("workspace", "reuse", "dry_run", "cluster", "config", "show_config")
"""Parameters that hold for the suite as a whole, and so are given with the command."""
_RULE = (
    "tasks must be names or paths of cards, a folder of cards, or a .yaml file with the key 'tasks'"
)


class SuiteTask(NamedTuple):
    """One task of a suite.

    Attributes
    ----------
    name
        How tables call it; no two tasks of a suite have the same.
    group
        Tasks of one group are summed up together; empty: those whose LLM is the same.
    params
        Every parameter of the entry point ``main`` as text.
    """

    name: str
    group: str
    params: Mapping[str, str]


def read_suite(tasks: str, params: Mapping[str, str]) -> list[SuiteTask]:
    """The tasks that ``tasks`` names, with all parameters of each.

    Parameters
    ----------
    tasks
        The parameter of that name.
    params
        Parameters of ``main`` that hold for all tasks. They come before those that a file has for
        all tasks, and after those that it has for a single one.

    Raises
    ------
    AssayError
        If a card or a parameter cannot be used; all such errors together.
    """
    entries, common = _entries(tasks)
    if "label" in common:
        raise AssayError("label belongs to one task of a suite. Give it in an entry of 'tasks'.")
    refusals = Refusals()
    found = []
    for entry in entries:
        with refusals.part():
            card = load_card(entry["task"])
            for label in _labels(entry, card):
                with _about(entry["task"]):
                    given = {**_own_params(common), **params, **_own_params(entry), "label": label}
                    chosen = effective(ENTRY_POINTS["main"], given).texts
                name = f"{entry.get('name', card.name)} {label}".rstrip()
                found.append(SuiteTask(name, entry.get("group", ""), chosen))
    refusals.finish()
    repeated = [name for name, n in Counter(task.name for task in found).items() if n > 1]
    if repeated:
        raise AssayError(
            f"tasks must have names that differ; {', '.join(map(shown, repeated[:3]))} stands "
            "several times. Give each entry of the file a 'name' of its own."
        )
    if len(found) < 2:
        raise AssayError(
            f"tasks must name at least two tasks; got {shown(tasks)}. For one task use the entry "
            "point main."
        )
    return found


def _labels(entry: Mapping[str, Any], card: Card) -> Sequence[str]:
    """The labels of an entry's card that are tasks of their own; an empty one for other cards."""
    named = entry.get("label")
    if named is None and card.label_type == MULTI:
        return card.labels
    return ["" if named is None else written(named)]


@contextlib.contextmanager
def _about(task: str) -> Iterator[None]:
    """A context whose errors begin with the task that they are about."""
    try:
        yield
    except AssayError as error:
        named = AssayError(f"task {task}: {error}")
        named.others = tuple(AssayError(f"task {task}: {one}") for one in error.others)
        raise named from None


def _own_params(entry: Mapping[str, Any]) -> dict[str, str]:
    """The parameters of an entry as text, each by its own name."""
    aliases = ENTRY_POINTS["main"].aliases()
    given = {}
    for name, value in entry.items():
        if not isinstance(name, str):
            raise AssayError(f"parameters must have names; got {shown(name)}.")
        if name in _OF_COMMAND:
            raise AssayError(f"{name} holds for the whole suite. Give it with the command.")
        if name not in _OWN:
            given[aliases.get(name, name)] = written(value)
    return given


def _read(path: Path) -> Any:
    """The content of a YAML file; AssayError where it cannot be read."""
    try:
        return safe_yaml(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())[:200]
        raise AssayError(f"{_RULE}; {path} cannot be read: {problem}") from None


class _Entries(NamedTuple):
    """The entries of a suite, each with the key ``task``, and parameters for all of them."""

    entries: list[dict[str, Any]]
    common: Mapping[str, Any]


def _entries(tasks: str) -> _Entries:
    """What ``tasks`` names."""
    names = split_list(tasks)
    if not names:
        raise AssayError(f"{_RULE}; got ''. Set tasks=a.yaml,b.yaml.")
    if len(names) > 1:
        return _Entries([{"task": name} for name in names], {})
    path = Path(names[0]).expanduser()
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise AssayError(f"{_RULE}; got {shown(tasks)}: {error.strerror}.") from None
    if is_folder:
        return _Entries(_cards_in(path), {})
    if path.suffix not in (".yaml", ".yml"):
        raise AssayError(f"{_RULE}; got {shown(tasks)}. For one task use the entry point main.")
    content = _read(path)
    if _is_card(content) and content.get("label_type") == MULTI:
        return _Entries([{"task": str(path)}], {})
    return _listed(path, content)


def _is_card(content: Any) -> bool:
    """Whether the content of a YAML file is a task card, perhaps with mistakes."""
    return isinstance(content, Mapping) and {"labels", "columns", "description"} <= set(content)


def _cards_in(folder: Path) -> list[dict[str, Any]]:
    """The cards of a folder, in the order of their names; other YAML files are left out."""
    found = []
    for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
        content = _read(path)
        # A card with a mistake is one, too, and is refused later on.
        if isinstance(content, Mapping) and {"labels", "columns", "description"} & set(content):
            found.append(path)
    if not found:
        raise AssayError(
            f"tasks must name a folder with task cards (.yaml); {folder} has none. Name the cards."
        )
    return [{"task": str(path)} for path in found]


def _listed(path: Path, content: Any) -> _Entries:
    """The tasks and the parameters in a file."""
    if not isinstance(content, Mapping):
        raise AssayError(f"{_RULE}; {path} holds no names and values.")
    if unknown := [name for name in content if name not in ("tasks", "parameters")]:
        raise AssayError(
            f"{path} must have the keys 'tasks' and 'parameters' alone; got "
            f"{shown(unknown[0])}. {_RULE}."
        )
    listed, common = content.get("tasks"), content.get("parameters") or {}
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        raise AssayError(f"'tasks' in {path} must be a list of tasks; got {shown(listed)}.")
    if not isinstance(common, Mapping):
        raise AssayError(f"'parameters' in {path} must hold names and values; got {shown(common)}.")
    entries = []
    for number, item in enumerate(listed, start=1):
        entry = {"task": item} if isinstance(item, str) else item
        if not isinstance(entry, Mapping) or not isinstance(entry.get("task"), str):
            raise AssayError(
                f"'tasks' in {path} must be cards, or mappings with the key 'task'; entry "
                f"{number} is {shown(item)}."
            )
        for name in _OWN:
            if name in entry and (not isinstance(entry[name], str) or not entry[name].strip()):
                raise AssayError(
                    f"'{name}' of entry {number} in {path} must be text; got {shown(entry[name])}."
                )
        entries.append({name: _found(path, name, value) for name, value in entry.items()})
    return _Entries(entries, {name: _found(path, name, value) for name, value in common.items()})


def _found(path: Path, name: str, value: Any) -> Any:
    """A value; a path that exists beside the suite's file, from where the command runs."""
    if name not in _PATHS or not isinstance(value, str):
        return value
    files = [path.parent / part for part in split_list(value)]
    return ",".join(map(str, files)) if files and all(map(Path.is_file, files)) else value
