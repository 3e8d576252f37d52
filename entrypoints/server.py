"""A tracking server with users for a small team, on this machine.

It has SQLite databases, and artifacts go through it. People with the role ``annotators`` may log.

make server
python -m entrypoints.server --host 0.0.0.0 --allowed_hosts mlflow.example.org
python -m entrypoints.server --add NAME
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from pathlib import Path

from entrypoints.wiring.terminal import print_line
from project.support.errors import AssayError


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(
        prog="python -m entrypoints.server",
        description=(__doc__ or "").splitlines()[0],
        allow_abbrev=False,
    )
    options.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on [default: 127.0.0.1, this machine alone]",
    )
    options.add_argument("--port", type=_whole_number, default=5000, help="[default: 5000]")
    options.add_argument(
        "--folder",
        default="server",
        help="folder of databases, artifacts, secrets and the log [default: server]",
    )
    options.add_argument(
        "--allowed_hosts",
        default="",
        help="names by which others reach this machine, comma-separated; all others are refused",
    )
    options.add_argument(
        "--workers",
        type=_whole_number,
        default=2,
        help="processes that answer requests, 1 to 64 [default: 2]",
    )
    options.add_argument(
        "--add",
        metavar="NAME",
        default="",
        help="add a person to the running server on --folder, with the role annotators",
    )
    options.add_argument(
        "--reader",
        action="store_true",
        help="with --add: without the role, so that the person may only read",
    )
    return options


def _whole_number(text: str) -> int:
    """A number of ASCII digits; int() also reads ``1_0`` and digits of other scripts."""
    if not re.fullmatch("[0-9]{1,6}", text):
        raise argparse.ArgumentTypeError(f"must be a whole number in digits 0 to 9; got {text!r}")
    return int(text)


def _check_numbers(options: argparse.Namespace) -> None:
    """Raise AssayError for numbers that no server can have."""
    for name, least, most in (("port", 1, 65_535), ("workers", 1, 64)):
        number = getattr(options, name)
        if not least <= number <= most:
            raise AssayError(f"--{name} must be from {least} to {most}; got {number}")


def server(options: argparse.Namespace) -> None:
    """Serve until stopped or, with ``--add``, add a person to the running server."""
    from entrypoints.wiring.team_server_address import server_address
    from entrypoints.wiring.team_server_people import add_person
    from entrypoints.wiring.team_server_process import serve
    from project.tracking.doctor.roles import ANNOTATORS

    _check_numbers(options)
    folder = Path(options.folder).resolve()
    if options.add:
        add_person(folder, options.add, "" if options.reader else ANNOTATORS)
    else:
        address = server_address(options.host, options.port, options.allowed_hosts)
        serve(folder, address, options.workers)


def main() -> None:
    """Run the command. Exit codes: 0; 2 for input that cannot be used; 1 for other errors."""
    from entrypoints.wiring.team_server_process import END_SIGNALS

    options = parser().parse_args()
    os.umask(0o077)  # every file is for its owner alone
    # A signal becomes SystemExit, so that the server's processes are ended on the way out.
    for number in END_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _end)
    try:
        server(options)
    except AssayError as error:
        print_line(f"error: {error}")
        sys.exit(2)
    except OSError as error:
        where = error.filename or Path(options.folder).resolve()
        print_line(f"error: {where}: {error.strerror}")
        sys.exit(1)
    except SystemExit:
        print_line("Stopped.")


def _end(number: int, frame: object) -> None:
    raise SystemExit


if __name__ == "__main__":
    main()
