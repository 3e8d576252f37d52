"""What all entry points share: a command line made from the stages' dataclasses, errors in one line, progress with an ETA."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import os
import sys
import time
import traceback
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from project.config.fields import ConfigSection, written
from project.support.errors import AssayError, Incomplete
from project.support.escape import escape_terminal
from project.support.privacy import is_private, owner_only
from project.support.redact import scrubbed

_MENDABLE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EACCES,
    errno.EROFS,
    errno.EPERM,
    errno.ENOTDIR,
    errno.ENOENT,
)
STOPPED = "Stopped. Everything finished is kept; the same command goes on where this one stopped."


class Progress:
    """A progress bar with an ETA: redrawn in a terminal, a new line every 20 s in a log. Call it with what was done."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        """``total`` steps of ``unit``."""
        self._terminal = sys.stderr.isatty()
        sink = sys.stderr if self._terminal else Path(os.devnull).open("w")
        self._bar: Any = tqdm(
            total=total,
            desc=title,
            unit=f" {unit}",
            file=sink,
            mininterval=0.5 if self._terminal else 20,
            dynamic_ncols=self._terminal,
        )
        self._sink = sink
        self._printed, self._total = time.monotonic(), total

    def __call__(self, n: int) -> None:
        """``n`` more steps are done."""
        self._bar.update(n)
        if not self._terminal and (
            self._bar.n >= self._total or time.monotonic() - self._printed > 20
        ):
            self._printed = time.monotonic()
            print(str(self._bar), file=sys.stderr, flush=True)

    def say(self, message: str) -> None:
        """One line above the bar."""
        self._bar.clear()
        say(message)
        self._bar.refresh()

    def __enter__(self) -> Progress:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar."""
        self._bar.close()
        if not self._terminal:
            self._sink.close()


def say(message: str) -> None:
    """One line to the person at the terminal."""
    print(escape_terminal(scrubbed(message)), file=sys.stderr, flush=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """What is wrong with the command line, without repeating a key that is in it."""
        super().error(scrubbed(message))


def parser(
    name: str, description: str, stages: Sequence[type[ConfigSection]]
) -> argparse.ArgumentParser:
    """A parser with one option for every field of ``stages``; values stay text until the stages parse and check them."""
    made = _Parser(
        prog=f"python -m entrypoints.{name}", description=description, allow_abbrev=False
    )
    for stage in stages:
        group = made.add_argument_group(
            stage.__name__.removesuffix("Config").lower(), (stage.__doc__ or "").splitlines()[0]
        )
        for item, kind in fields(stage):
            default = written(item.default)
            text = f"{item.metadata['help']} [{kind}; default: {default or 'empty'}]".replace(
                "%", "%%"
            )
            group.add_argument(
                f"--{item.name}", default=default, help=text, metavar=kind.split()[0].upper()
            )
    return made


def fields(stage: type[ConfigSection]) -> list[tuple[dataclasses.Field[object], str]]:
    """Every field of ``stage`` with its type in words."""
    hints = typing.get_type_hints(stage)
    return [(item, _kind(hints[item.name])) for item in dataclasses.fields(stage)]


def _kind(hint: Any) -> str:
    words = {str: "text", int: "int", float: "float", bool: "true or false"}
    kinds = typing.get_args(hint)
    if not kinds:
        return words[hint]
    return (
        f"{words[kinds[0]]} list"
        if typing.get_origin(hint) is tuple
        else f"{_kind(kinds[0])} or auto"
    )


def main(
    name: str,
    description: str,
    stages: Sequence[type[ConfigSection]],
    run: Callable[[Mapping[str, str]], None],
) -> None:
    """Parse the command line and call ``run`` with its texts; end with one line and an exit code on anything a person must settle.

    Exit codes: 2 for input that cannot be used, 1 for work left incomplete, 130 when stopped.
    """
    params = vars(parser(name, description, stages).parse_args())
    try:
        with owner_only(is_private(params), Path(params.get("workspace", ""))):
            run(params)
    except Incomplete as error:
        say(f"error: {error}")
        sys.exit(1)
    except AssayError as error:
        say(f"error: {error}")
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit):
        say(f"\n{STOPPED}")
        sys.exit(130)
    except Exception as error:
        if not isinstance(error, OSError) or error.errno not in _MENDABLE:
            say(
                traceback.format_exc().rstrip()
            )  # as Python would show it, but for what is secret in it
            sys.exit(1)
        say(
            f"error: {error.strerror}: {error.filename or 'the workspace or the tracking store'}. Everything finished is kept; mend it and run again."
        )
        sys.exit(1)
