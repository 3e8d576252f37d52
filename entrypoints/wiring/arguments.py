"""The words of a command line: an option with one value for every name of a parameter."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from project.config.entry_points import EntryPoint
from project.support.errors import AssayError

HELP = ("-h", "--help")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the command line, as every other error of the user's input."""
        raise AssayError(
            f"{message}. Every parameter is given as --name value; a value that begins with -- "
            "is written --name=value, or stands in a configuration file."
        )


class _Once(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Store the value; MLflow appends undeclared parameters, so a repetition is a mistake."""
        if hasattr(namespace, self.dest):
            raise AssayError(f"{self.dest} is given twice. Leave one of the two out.")
        setattr(namespace, self.dest, values)


def parser(entry: EntryPoint) -> argparse.ArgumentParser:
    """A parser with an option for every name of a parameter; values stay text."""
    options = _Parser(
        prog=f"python -m entrypoints.{entry.name}", allow_abbrev=False, add_help=False
    )
    for name in (*entry.rules(), *entry.aliases()):
        options.add_argument(f"--{name}", default=argparse.SUPPRESS, action=_Once)
    return options


def joined(entry: EntryPoint, arguments: Sequence[str]) -> list[str]:
    """``arguments`` with ``--name value`` as ``--name=value`` where the value begins with a dash.

    ``mlflow run -P where=-x=1`` gives such values, and argparse would read an option.
    """
    options = {f"--{name}" for name in (*entry.rules(), *entry.aliases())}
    words: list[str] = []
    for word in arguments:
        is_value = word.startswith("-") and not word.startswith("--") and word not in HELP
        if is_value and words and words[-1] in options:
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def asks_for_help(entry: EntryPoint, arguments: Sequence[str]) -> bool:
    """Whether a word asks for help, and is not what stands in place of a value."""
    options = {f"--{name}" for name in (*entry.rules(), *entry.aliases())}
    before = ["", *arguments]
    return any(
        word in HELP and previous not in options
        for previous, word in zip(before, arguments, strict=False)
    )


def with_named(name: str, arguments: Sequence[str]) -> list[str]:
    """``arguments`` with the first word that is neither option nor value as the option ``--name``.

    The word behind an option is its value.
    """
    words = list(arguments)
    previous = ""
    for index, word in enumerate(words):
        is_value = previous.startswith("--") and "=" not in previous
        if not is_value and not word.startswith("-"):
            return [*words[:index], f"--{name}", *words[index:]]
        previous = "" if is_value else word
    return words
