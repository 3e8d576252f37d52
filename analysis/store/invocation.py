"""The parameters that a root run was started with, for commands that go on from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.store.fetch import read_json
from project.config.next_command import command_line, shared_parameters
from project.support.errors import AssayError
from project.tracking import Record

_PROVENANCE = "provenance.json"


def parameters_of(root: Record) -> Mapping[str, str] | None:
    """Every parameter of the entry point that logged a run, as text.

    None for runs whose record is missing or incomplete, and if a parameter was masked: a command
    made from the others would mean something else.
    """
    try:
        facts: Any = read_json(root, _PROVENANCE)
    except AssayError:
        return None
    if not isinstance(facts, dict) or facts.get("parameters_masked"):
        return None
    parameters = facts.get("parameters")
    if not isinstance(parameters, dict):
        return None
    texts = {name: value for name, value in parameters.items() if isinstance(value, str)}
    return texts if len(texts) == len(parameters) else None


def again(root: Record, entry: str, change: Mapping[str, object]) -> str:
    """The command of an entry point with the parameters of a run, some of them changed.

    A change to an empty text leaves the parameter out. Empty if the parameters are not known.
    """
    params = parameters_of(root)
    if params is None:
        return ""
    changed = {**shared_parameters(params, entry), **{n: str(v) for n, v in change.items()}}
    return command_line(entry, {name: value for name, value in changed.items() if value})
