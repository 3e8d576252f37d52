"""The command line of every entry point, and what it prints.

Options come from the sections of the configuration. Errors are one line. This is the only module
that says how a parameter is given on a command line.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from entrypoints.wiring.help_text import help_text
from entrypoints.wiring.trust import check_consent
from project.config.entry_points import ENTRY_POINTS, EntryPoint
from project.config.loading import COMMAND_LINE, EffectiveConfig, as_yaml, effective
from project.support.errors import AssayError, Incomplete, did_you_mean
from project.support.escape import escape_terminal
from project.support.privacy import is_private, owner_only
from project.support.redact import scrubbed

STOPPED = "Stopped. Everything finished is kept; run the same command again to continue."
_USER_CAN_MEND = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EACCES,
    errno.EROFS,
    errno.EPERM,
    errno.ENOTDIR,
    errno.ENOENT,
)
_SECONDS_BETWEEN_LOG_LINES = 20


class Progress:
    """A progress bar with an ETA: redrawn in a terminal, a new line every 20 s in a log.

    Call it with the number of steps that are finished.
    """

    def __init__(self, title: str, total: int, unit: str) -> None:
        """``total``: number of steps; ``unit``: what a step is, in the plural."""
        from tqdm import tqdm  # not needed for --help

        self._terminal = sys.stderr.isatty()
        # A log gets whole lines from __call__; the bar's own redrawing is thrown away.
        sink = sys.stderr if self._terminal else Path(os.devnull).open("w")  # noqa: SIM115
        self._sink = sink
        self._bar: Any = tqdm(
            total=total,
            desc=title,
            unit=f" {unit}",
            file=sink,
            mininterval=0.5 if self._terminal else _SECONDS_BETWEEN_LOG_LINES,
            dynamic_ncols=self._terminal,
        )
        self._last_line = time.monotonic()
        self._total = total

    def __call__(self, n_steps: int) -> None:
        """Count ``n_steps`` more as finished."""
        self._bar.update(n_steps)
        if self._terminal:
            return
        is_due = time.monotonic() - self._last_line > _SECONDS_BETWEEN_LOG_LINES
        if is_due or self._bar.n >= self._total:
            self._last_line = time.monotonic()
            print(str(self._bar), file=sys.stderr, flush=True)

    def print_line(self, text: str) -> None:
        """Print one line above the bar."""
        self._bar.clear()
        print_line(text)
        self._bar.refresh()

    def __enter__(self) -> Progress:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar."""
        self._bar.close()
        if not self._terminal:
            self._sink.close()


def print_line(text: str) -> None:
    """Print one line to standard error, without secrets and control characters."""
    print(escape_terminal(scrubbed(text)), file=sys.stderr, flush=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the command line, as every other error of the user's input."""
        raise AssayError(message)


def parser(entry: EntryPoint) -> argparse.ArgumentParser:
    """A parser with an option for every name of a parameter; values stay text."""
    options = _Parser(
        prog=f"python -m entrypoints.{entry.name}", allow_abbrev=False, add_help=False
    )
    for name in (*entry.rules(), *entry.aliases()):
        options.add_argument(f"--{name}", default=argparse.SUPPRESS, action=_Once)
    return options


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


def given_parameters(entry: EntryPoint, arguments: Sequence[str]) -> dict[str, str]:
    """The parameters on a command line, by the name under which they are given.

    Raises AssayError for an unknown name, with the nearest one, and for a name that is repeated.
    """
    known, unknown = parser(entry).parse_known_args(arguments)
    for word in unknown:
        name = word.lstrip("-").partition("=")[0]
        if word.startswith("--"):
            raise AssayError(
                f"{entry.name} has no parameter {name!r}.{did_you_mean(name, entry.rules())} "
                f"python -m entrypoints.{entry.name} --help all lists every one."
            )
        raise AssayError(
            f"{entry.name} takes parameters as --name value; got {word!r}. A value with spaces "
            "needs quotation marks."
        )
    return vars(known)


def main(name: str, run: Callable[[Mapping[str, str]], None]) -> None:
    """Run an entry point from the command line.

    Exit codes: 0; 2 for input that cannot be used; 1 for work that is incomplete; 130 when
    stopped. ``run`` gets the text of every parameter.
    """
    arguments = sys.argv[1:]
    entry = ENTRY_POINTS[name]
    if {"-h", "--help"} & set(arguments):
        print(help_text(entry, every="all" in arguments))
        return
    try:
        chosen = chosen_parameters(entry, arguments)
        params = chosen.texts
        if params["show_config"].lower() == "true":
            print(as_yaml(entry, chosen, _card_defaults(params)), end="")
            return
        with owner_only(is_private(params), Path(params.get("workspace", ""))), _tagged(chosen):
            run(params)
    except Incomplete as error:
        print_line(f"error: {with_syntax(error, entry)}")
        sys.exit(1)
    except AssayError as error:
        print_line(f"error: {with_syntax(error, entry)}")
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit):
        print_line(f"\n{STOPPED}")
        sys.exit(130)
    except OSError as error:
        if error.errno not in _USER_CAN_MEND:
            _print_traceback()
        where = error.filename or "the workspace or the tracking store"
        print_line(
            f"error: {error.strerror}: {where}. Everything finished is kept; correct this and run "
            "again."
        )
        sys.exit(1)
    except Exception:
        _print_traceback()


def _print_traceback() -> NoReturn:
    """Print the traceback as Python would, but without secrets, and exit."""
    print_line(traceback.format_exc().rstrip())
    sys.exit(1)


def chosen_parameters(entry: EntryPoint, arguments: Sequence[str]) -> EffectiveConfig:
    """Every parameter as text, from the command line, a configuration file, or its default.

    Prints which values of the file are unused, and which defaults of ``mlflow run`` do not count.
    """
    given = given_parameters(entry, arguments)
    passes_defaults = set(entry.everyday()) <= given.keys()  # as the command in MLproject does
    chosen = effective(entry, given, _read_config, defaults_are_passed=passes_defaults)
    check_consent(chosen)
    _print_notes(entry, chosen)
    return chosen


def _print_notes(entry: EntryPoint, chosen: EffectiveConfig) -> None:
    """Print which values of a configuration file are unused, or stand against a default."""
    address = chosen.texts["config"]
    if chosen.ignored:
        names = ", ".join(chosen.ignored)
        print_line(f"note: {entry.name} does not use these parameters of {address}: {names}.")
    for name, default in chosen.overruled.items():
        shown = repr(default) if default else "(empty)"
        if chosen.origins[name] == COMMAND_LINE:
            print_line(
                f"note: {name} is {chosen.texts[name]}, given under another name. mlflow run also "
                f"passes and logs its default {shown}, which does not count."
            )
            continue
        print_line(
            f"note: {name} is {chosen.texts[name]} from {address}. mlflow run passes the default "
            f"{shown} for every declared parameter, and the file has precedence over it; to use "
            f"{shown} itself, remove {name} from the file."
        )


def _tagged(chosen: EffectiveConfig) -> contextlib.AbstractContextManager[None]:
    """Tags for root runs with the values that differ from what ``mlflow run`` has logged.

    MLflow logs the default of every declared parameter before the entry point starts, and params
    cannot be changed.
    """
    if not chosen.overruled:
        return contextlib.nullcontext()
    from project.tracking import CONFIG_FILE, OVERRULED, tagged

    tags = {OVERRULED: json.dumps({name: chosen.texts[name] for name in chosen.overruled})}
    if address := chosen.texts["config"]:
        tags[CONFIG_FILE] = address
    return tagged(tags)


def _read_config(address: str) -> Mapping[str, Any]:
    """The content of a configuration file, or of a run's artifact."""
    from project.config.config_file import read_file, stored_sections

    if not address.startswith("runs:/"):
        return read_file(address)
    from project.tracking import read_json

    run_id, _, path = address.removeprefix("runs:/").partition("/")
    return stored_sections(read_json(run_id, path or "config.json"), address)


def _card_defaults(texts: Mapping[str, str]) -> Mapping[str, Any]:
    """What the task card, else the paper, fills in; nothing for an entry point without a task."""
    if not texts.get("task"):
        return {}
    from project.config.experiment import PAPER_DEFAULTS
    from project.data.card import load_card

    return {**PAPER_DEFAULTS, **load_card(texts["task"]).defaults}


def with_syntax(error: AssayError, entry: EntryPoint) -> str:
    """An error's text, and how to give the parameters that it names as ``name=...`` or first."""
    text = str(error)
    names = _named_parameters(text, entry.rules())
    if not names:
        return text
    shown = " ".join(f"-P {name}=..." for name in names)
    return f"{text} (With mlflow run: {shown}; with python -m: --{names[0]} ...)"


def _named_parameters(text: str, known: Iterable[str]) -> list[str]:
    """Parameters that an error's text names: at its start, as ``name=``, or after ``set``."""
    known = set(known)
    first = re.findall(r"^(\w+) (?:must|needs)\b", text)
    others = re.findall(r"\b(\w+)=|\bset (\w+)\b", text)
    found = [*first, *(name for pair in others for name in pair if name)]
    return list(dict.fromkeys(name for name in found if name in known))[:3]
