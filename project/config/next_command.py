"""The command that a person types next, complete."""

from __future__ import annotations

from collections.abc import Mapping

from project.config.loading import defaults
from project.support.command_line import options

FILE = "FILE"
"""Stands for a file that does not exist yet."""


def shared_parameters(params: Mapping[str, str], entry: str) -> dict[str, str]:
    """The parameters that another entry point must be given to mean the same.

    Parameters
    ----------
    params
        Every parameter of the entry point that runs, as text.
    entry
        The entry point of the next command.
    """
    known = defaults(entry)
    return {name: value for name, value in params.items() if value != known.get(name, value)}


def command_line(entry: str, params: Mapping[str, str]) -> str:
    """The command line of an entry point with these parameters."""
    words = ["mlflow", "run", ".", "--env-manager", "local"]
    words += [] if entry == "main" else ["-e", entry]
    return " ".join([*words, *([options(params)] if params else [])])


def command_with_answers(params: Mapping[str, str], entry: str, answers: str = FILE) -> str:
    """The command that goes on with the answers to new questions, beside those known before.

    Parameters
    ----------
    params
        Every parameter of the entry point ``ask``, as text.
    entry
        The entry point that reads the answers.
    answers
        What ``human`` is to name.
    """
    given = {**shared_parameters(params, entry), "human": answers}
    if params.get("human"):
        given["human"] = f"{params['human']},{answers}"
    return command_line(entry, given)
