"""Where a run comes from: code, parameters, inputs, models, machine and packages."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from analysis.store.taxonomies import LABELS
from entrypoints.wiring.invocation import (
    CODE,
    COMMIT,
    DIRTY,
    ENTRY_POINT,
    FORM,
    Invocation,
)
from entrypoints.wiring.repository import Repository, code_version
from project.config.fields import parse
from project.config.lists import split_list
from project.config.task import TaskConfig
from project.data.card import load_card
from project.data.task import Task
from project.support.machine import cpu_cores, cpu_model, driver_and_gpus, memory
from project.support.redact import MASK, relevant_variables, scrubbed, scrubbed_json
from project.taxonomy.file import MADE

_INPUTS = ("data", "template", "human", "recorded", "labels", "codebook", "taxonomy")
"""Parameters that name a file."""
_DATA = "the task's data"
NOT_ASKED = "log_diff=false"
"""Why the store has no diff where nobody asked for it."""


def inputs(
    params: Mapping[str, str], hash_of_stored: Callable[[str], str], task: Task | None = None
) -> dict[str, dict[str, str | None]]:
    """Every input that the parameters name: its place, and its SHA-256, None if it is missing.

    Parameters
    ----------
    params
        Parameters by name, as text.
    hash_of_stored
        Returns the hash of a table in the tracking store, given its address.
    task
        The task, for the hash of data that come from the hub.
    """
    places = _places(params)
    hashes = {
        name: hash_of_stored(place) if place.startswith("runs:/") else file_hash(Path(place))
        for name, place in places.items()
    }
    task_name = parse(TaskConfig, params).task
    if not task_name:  # a file without a card
        return {name: {"place": place, "sha256": hashes[name]} for name, place in places.items()}
    card = task.card if task else load_card(task_name)
    places["task"] = task_name
    hashes["task"] = file_hash(card.path)
    if not params.get("data"):
        if card.source.hub:
            places[_DATA] = f"hub {card.source.hub}"
            hashes[_DATA] = task.data_hash if task else None
        else:
            places[_DATA] = card.source.file
            hashes[_DATA] = file_hash(card.path.parent / card.source.file)
    return {name: {"place": place, "sha256": hashes[name]} for name, place in places.items()}


def _places(params: Mapping[str, str]) -> dict[str, str]:
    """The files that parameters name, by parameter; several files of ``human`` are numbered."""
    # The parameter labels may say "gold" in place of a file.
    places = {name: params[name] for name in _INPUTS if params.get(name, "") not in ("", "gold")}
    if "human_column" in params:  # labels are then names of classes
        places.pop("labels", None)
    files = split_list(places.get("human", ""))
    if "human_column" in params or len(files) > 1:
        places.pop("human", None)
        places |= {f"human {number}": file for number, file in enumerate(files, start=1)}
    if "taxonomy" in places:  # an edit starts from the labels beside it
        folder = Path(places["taxonomy"]).parent
        places |= {f"taxonomy {name}": str(folder / name) for name in (MADE, LABELS)}
    return places


def from_hub(params: Mapping[str, str]) -> bool:
    """Whether the task's data come from the hub."""
    if params.get("data"):
        return False
    return bool(load_card(parse(TaskConfig, params).task).source.hub)


def file_hash(path: Path) -> str | None:
    """SHA-256 of a file, None where it cannot be read."""
    try:
        with path.expanduser().open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def packages() -> dict[str, str]:
    """All installed packages and their versions, in alphabetical order.

    Two fields are read with a pattern, since parsing whole metadata takes ten times as long.
    """
    versions: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
        name = re.search(r"^Name: *(\S+)", text, re.MULTILINE)
        version = re.search(r"^Version: *(\S+)", text, re.MULTILINE)
        if name and version:
            versions.setdefault(name[1], version[1])  # the first one found is the one imported
    return dict(sorted(versions.items(), key=lambda pair: pair[0].lower()))


def machine() -> dict[str, Any]:
    """The machine that runs the code."""
    driver, gpu_names = driver_and_gpus()
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": cpu_cores(),
        "memory_bytes": memory()[0],
        "gpus": gpu_names,
        "gpu_driver": driver,
    }


def provenance(
    invocation: Invocation,
    code: Repository,
    hashes: Mapping[str, Any],
    models: Mapping[str, str],
) -> dict[str, Any]:
    """The origin of a run as JSON, without secrets.

    Parameters
    ----------
    invocation
        The entry point and its parameters.
    code
        State of the repository.
    hashes
        Inputs, see :func:`inputs`.
    models
        Identity of every model, by its parameter.
    """
    params = invocation.params
    facts = {
        "form": FORM,
        "entry_point": invocation.entry_point,
        "parameters": dict(params),
        "parameters_masked": [name for name, text in params.items() if scrubbed(text) != text],
        "command": shlex.join(sys.orig_argv),
        "folder": str(Path.cwd()),
        "git": _git_facts(code, logs_diff=params.get("log_diff") == "true"),
        "code_version": code_version(),
        "inputs": dict(hashes),
        "models": dict(models),
        "machine": machine(),
        "packages": packages(),
        "variables_set": relevant_variables(),
    }
    # A command line or an address may hold a password.
    clean: dict[str, Any] = scrubbed_json(facts)
    return clean


def _git_facts(code: Repository, *, logs_diff: bool) -> dict[str, Any]:
    left_out = code.left_out
    if code.diff and not logs_diff:
        left_out = NOT_ASKED
    return {
        "commit": code.commit,
        "dirty": code.dirty,
        "changed": code.changed,
        "untracked": code.untracked,
        "diff_sha256": code.diff_sha256,
        "diff_left_out": left_out,
        "diff_masked": MASK in code.diff,
        "no_repository": code.why,
    }


def tags(facts: Mapping[str, Any]) -> dict[str, str]:
    """Tags of a root run, by which a filter of the store finds its origin."""
    origin = {ENTRY_POINT: facts["entry_point"], CODE: facts["code_version"]}
    git = facts["git"]
    if git["commit"]:
        origin |= {COMMIT: git["commit"], DIRTY: str(git["dirty"]).lower()}
    return origin
