"""The command line of every entry point, and what it prints.

Options come from the sections of the configuration. Errors are one line. Only this module and
:mod:`entrypoints.wiring.arguments` say how a parameter is given on a command line.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import functools
import json
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from entrypoints.wiring.arguments import asks_for_help, joined, parser
from entrypoints.wiring.caller_folder import about_relative_paths, enter_caller_folder
from entrypoints.wiring.help_text import help_text
from entrypoints.wiring.terminal import print_line
from entrypoints.wiring.trust import check_consent
from entrypoints.wiring.unused_run import discard_run
from project.config.entry_points import ENTRY_POINTS, EntryPoint
from project.config.fields import parse
from project.config.loading import COMMAND_LINE, EffectiveConfig, as_yaml, defaults, effective
from project.config.upkeep import InvocationConfig
from project.support.errors import AssayError, Incomplete, UnusableRun, WrongSettings, did_you_mean
from project.support.output import unread_output
from project.support.privacy import is_private, owner_only

STOPPED = "Stopped. Everything finished is kept; run the same command again to continue."
_STOPPED_EARLY = "stopped by the user."
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


def given_parameters(entry: EntryPoint, arguments: Sequence[str]) -> dict[str, str]:
    """The parameters on a command line, by the name under which they are given.

    Raises AssayError for an unknown name, with the nearest one, and for a name that is repeated.
    """
    known, unknown = parser(entry).parse_known_args(joined(entry, arguments))
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
    faulthandler.enable(file=2)  # a crash in a library's native code says where it was
    arguments = sys.argv[1:]
    entry = ENTRY_POINTS[name]
    discard = functools.partial(discard_run, name, arguments)
    try:
        with unread_output():
            _run(entry, arguments, run)
        discard()
    except WrongSettings as error:
        command = corrected_command(entry, arguments, error.parameters)
        print_line(f"error: {error}\nThe whole command: {command}")
        for each in error.others:
            print_line(f"error: {with_syntax(each, entry)}")
        discard(refusal=str(error))
        sys.exit(2)
    except AssayError as error:
        for each in (error, *error.others):
            text = with_syntax(each, entry)
            print_line(f"error: {text}{about_relative_paths(text, arguments)}")
        discard(refusal=" ".join(map(str, (error, *error.others))))
        sys.exit(1 if isinstance(error, Incomplete) else 2)
    except (KeyboardInterrupt, SystemExit):
        print_line(f"\n{STOPPED}")
        discard(refusal=_STOPPED_EARLY)
        sys.exit(130)
    except OSError as error:
        if error.errno not in _USER_CAN_MEND:
            _exit_with_traceback(discard)
        where = error.filename or "the workspace or the tracking store"
        print_line(
            f"error: {error.strerror}: {where}. Everything finished is kept; correct this and run "
            "again."
        )
        discard(refusal=f"{error.strerror}: {where}.")
        sys.exit(1)
    except Exception:
        _exit_with_traceback(discard)


def _run(
    entry: EntryPoint, arguments: Sequence[str], run: Callable[[Mapping[str, str]], None]
) -> None:
    """Print the help or the configuration where these are asked for, else run."""
    if asks_for_help(entry, arguments):
        print(help_text(entry, every="all" in arguments))
        return
    in_clone = enter_caller_folder()
    chosen = chosen_parameters(entry, arguments)
    params = chosen.texts
    if in_clone and "workspace" in params:
        print_line(f"note: the workspace is {Path(params['workspace']).absolute()}.")
    if _shows_config(chosen):
        print(as_yaml(entry, chosen, _card_defaults(params)), end="")
        return
    if sys.stderr.isatty():
        print_line(f"{entry.name}: loading the libraries, which takes some seconds.")
    with owner_only(is_private(params), Path(params.get("workspace", ""))), _tagged(chosen):
        run(_with_review_answers(params))


def _with_review_answers(params: Mapping[str, str]) -> Mapping[str, str]:
    """The parameters with the answers of MLflow's review queues, where ``human`` names some."""
    if "mlflow" not in params.get("human", ""):
        return params
    from entrypoints.wiring.review_answers import with_review_answers  # it imports mlflow

    return with_review_answers(params)


def _exit_with_traceback(discard: Callable[..., None]) -> NoReturn:
    """Print the traceback as Python would, but without secrets, and exit."""
    text = traceback.format_exc().rstrip()
    print_line(text)
    discard(failure=text.rpartition("\n")[2])
    sys.exit(1)


def chosen_parameters(entry: EntryPoint, arguments: Sequence[str]) -> EffectiveConfig:
    """Every parameter as text, from the command line, a configuration file, or its default.

    Prints which values of the file are unused, and which defaults of ``mlflow run`` do not count.
    """
    given = given_parameters(entry, arguments)
    passes_defaults = set(entry.everyday()) <= given.keys()  # as the command in MLproject does
    chosen = effective(entry, given, _read_config, defaults_are_passed=passes_defaults)
    if not _shows_config(chosen):  # what is only shown does nothing
        check_consent(chosen)
    _print_notes(entry, chosen)
    return chosen


def _shows_config(chosen: EffectiveConfig) -> bool:
    return parse(InvocationConfig, chosen.texts).show_config


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
    rule = "config must be a file, or runs:/RUN_ID/config.json of a root run"
    if not run_id:
        raise AssayError(f"{rule}; got {address!r}.")
    try:
        sections = stored_sections(read_json(run_id, path or "config.json"), address)
    except UnusableRun as error:
        raise AssayError(f"{rule}; {error}") from None
    # A run of another person or machine names a folder that is not ours: the workspace is given
    # here, or has its default.
    return {
        name: _without_workspace(value) if isinstance(value, Mapping) else value
        for name, value in sections.items()
        if name != "workspace"
    }


def _without_workspace(section: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name != "workspace"}


def _card_defaults(texts: Mapping[str, str]) -> Mapping[str, Any]:
    """What the task card, else the paper, fills in; nothing for an entry point without a task."""
    if not texts.get("task"):
        return {}
    from project.config.experiment import PAPER_DEFAULTS
    from project.data.card import load_card

    return {**PAPER_DEFAULTS, **load_card(texts["task"]).defaults}


def corrected_command(
    entry: EntryPoint, arguments: Sequence[str], parameters: Mapping[str, str]
) -> str:
    """The command ``mlflow run`` with the given parameters, some of them replaced.

    Parameters that have their default are left out, as MLproject passes them all.
    """
    aliases = entry.aliases()
    given = {
        name: value
        for name, value in given_parameters(entry, arguments).items()
        if aliases.get(name, name) not in parameters
    }
    given |= parameters
    default = defaults(entry.name)
    entry_point = "" if entry.name == "main" else f" -e {entry.name}"
    settings = "".join(
        f" -P {shlex.quote(f'{name}={value}')}"
        for name, value in given.items()
        if name in parameters or value != default.get(name)
    )
    return f"mlflow run . --env-manager local{entry_point}{settings}"


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
