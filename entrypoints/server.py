"""A tracking server for a small team on this machine, where everybody has a name: SQLite, artifacts through the server, one role that may log.

make server
python -m entrypoints.server --host 0.0.0.0 --allowed_hosts mlflow.example.org
python -m entrypoints.server --add NAME
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import ipaddress
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from entrypoints.wiring.command import print_line
from project.support.errors import AssayError
from project.tracking.doctor.roles import ANNOTATORS, add_user, ensure_role

ADMIN, SECRETS, ADDRESS, LOG, PEOPLE = "admin", "admin.env", "address", "server.log", "people"
_USER, _PASSWORD, _KEY = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
)
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_PATIENCE, _FAREWELL = (
    180,
    20,
)  # seconds: until the first answer, the first start makes two databases; for requests that are still answered
_AUTH = """[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/people.db
admin_username = {admin}
# Checking a password takes 0.1 s and more of a core, by design, and every request carries one. A new password, or somebody taken out, may
# take this long to be known to every worker.
auth_cache_ttl_seconds = 60
"""


class Place(NamedTuple):
    """Where a server listens, and by which names it may be called; ``url``: from this machine, ``told``: from where its people are."""

    host: str
    port: int
    url: str
    told: str
    hosts: tuple[str, ...]
    origins: tuple[str, ...]


def place(host: str, port: int, allowed_hosts: str) -> Place:
    """Where to listen, or AssayError where nobody else could say a name that is allowed."""
    given = [name.strip() for name in allowed_hosts.split(",") if name.strip()]
    try:
        at = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise AssayError(
            f"--host must be an address of this machine, like 127.0.0.1 or 0.0.0.0; got {host!r}"
        ) from error
    if not at.is_loopback and not given:
        raise AssayError(
            f"--allowed_hosts must list the names by which others reach --host {host}, as in --allowed_hosts mlflow.example.org: "
            "a request to any other name is refused"
        )
    own = (
        ("[::1]" if at.version == 6 else "127.0.0.1")
        if at.is_unspecified
        else f"[{at}]"
        if at.version == 6
        else str(at)
    )
    url = f"http://{own}:{port}"
    # Others reach a server that listens on the loopback alone through something in front of it, which should speak TLS.
    told = (
        url
        if not given
        else f"https://{given[0]}"
        if at.is_loopback
        else f"http://{given[0]}:{port}"
    )
    names = dict.fromkeys([*_LOCAL, own, *given])
    hosts = tuple(one for name in names for one in (name, f"{name}:{port}"))
    return Place(
        str(at),
        port,
        url,
        told,
        hosts,
        tuple(
            one
            for name in given
            for one in (f"http://{name}", f"http://{name}:{port}", f"https://{name}")
        ),
    )


def own(folder: Path) -> None:
    """Make the folder, and keep everybody else out of it."""
    if folder.is_dir() and not (folder / ADDRESS).exists() and any(folder.iterdir()):
        raise AssayError(
            f"--folder must be a new folder, or that of an earlier server; {folder} holds something else"
        )
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


def keep_secrets(folder: Path) -> dict[str, str]:
    """The admin's password and the key that signs pages: made on the first start, in a file of the owner's alone, and kept ever after."""
    path = folder / SECRETS
    if not path.exists():
        _write(
            path,
            {_USER: ADMIN, _PASSWORD: secrets.token_urlsafe(24), _KEY: secrets.token_urlsafe(32)},
        )
    path.chmod(0o600)
    return dict(
        shlex.split(line)[-1].split("=", 1)
        for line in path.read_text(encoding="utf-8").splitlines()
    )


def _write(path: Path, variables: Mapping[str, str]) -> None:
    """Write what a shell is to set, to a file of the owner's alone, whole or not at all."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with os.fdopen(
        os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(
            "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        )
    temporary.replace(path)


@contextlib.contextmanager
def claim(folder: Path, where: Place) -> Iterator[None]:
    """Be the one server on ``folder``, and say where."""
    lock = FileLock(folder / ADDRESS, mode=0o600, fallback_to_soft=False)
    try:
        held = lock.acquire(blocking=False)
    except Timeout:
        raise AssayError(f"a server runs on {folder} already, at {_running(folder)[0]}") from None
    with held:
        (folder / ADDRESS).write_text(f"{where.url}\n{where.told}\n", encoding="utf-8")
        yield


def _running(folder: Path) -> tuple[str, str]:
    """The address of the server on ``folder``, from this machine and from others; AssayError where none runs."""
    if (folder / ADDRESS).is_file():  # taking the lock would make the file
        try:
            with FileLock(folder / ADDRESS, mode=0o600, blocking=False, fallback_to_soft=False):
                pass
        except Timeout:
            url, told = (folder / ADDRESS).read_text(encoding="utf-8").splitlines()
            return url, told
    raise AssayError(
        f"no server runs on {folder}; start one: python -m entrypoints.server --folder {shlex.quote(str(folder))}"
    )


def start(
    folder: Path, where: Place, workers: int, known: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start MLflow's server in a session of its own; its secrets go into its environment, where no other user can read them."""
    with socket.socket(socket.AF_INET6 if ":" in where.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((where.host, where.port))
        except OSError as error:
            raise AssayError(
                f"cannot listen on {where.host}, port {where.port}: {error.strerror}. Give another with --port"
            ) from error
    (folder / "auth.ini").write_text(
        _AUTH.format(folder=str(folder).replace("%", "%%"), admin=ADMIN), encoding="utf-8"
    )
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")
    } | {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": known[_PASSWORD],
        _KEY: known[_KEY],
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # Assay asks for none of its jobs
    }
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--app-name",
        "basic-auth",
        "--host",
        where.host,
        "--port",
        str(where.port),
        "--workers",
        str(workers),
        "--uvicorn-opts",
        "--log-level warning",
        "--allowed-hosts",
        ",".join(where.hosts),
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
        *(("--cors-allowed-origins", ",".join(where.origins)) if where.origins else ()),
    ]
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def wait(process: subprocess.Popen[bytes], where: Place, log: Path) -> None:
    """Wait for the first answer."""
    until = time.monotonic() + _PATIENCE
    while not _answers(where):
        if process.poll() is not None or time.monotonic() > until:
            raise AssayError(
                f"the server did not start; the end of {log}:\n"
                + "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            )
        time.sleep(0.2)


def _answers(where: Place) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection(where.url.removeprefix("http://"), timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
    return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and all that it started."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_FAREWELL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def serve(folder: Path, where: Place, workers: int) -> None:
    """Serve until Ctrl-C, SIGTERM or the terminal's end."""
    own(folder)
    with claim(folder, where):
        known = keep_secrets(folder)
        print_line(f"Starting on {folder} ...")
        process = start(folder, where, workers, known)
        try:
            wait(process, where, folder / LOG)
            _be_admin(where.url, known)
            ensure_role()
            print_line(f"The tracking server is at {where.told}; its log is {folder / LOG}.")
            if where.told.startswith("http:") and where.told != where.url:
                print_line(
                    "Passwords travel to it as they are: on a network that others share, put TLS in front of it, and --host 127.0.0.1."
                )
            print_line(
                f"The admin's name and password are in {folder / SECRETS}, readable to you alone."
            )
            print_line(
                f"Add a person: python -m entrypoints.server --folder {shlex.quote(str(folder))} --add NAME   (--reader: may only read)"
            )
            process.wait()
            raise AssayError(f"the server ended by itself; see {folder / LOG}")
        finally:
            for number in _ENDS:
                signal.signal(
                    number, signal.SIG_IGN
                )  # nothing comes between the children and their end
            stop(process)


def add(folder: Path, name: str, role: str) -> None:
    """Make a person, and a file with what they must set, for them alone."""
    if not re.fullmatch(r"\w[\w.@-]*", name, re.ASCII):
        raise AssayError(f"--add must be a name of letters, digits and . _ @ -; got {name!r}")
    url, told = _running(folder)
    _be_admin(url, keep_secrets(folder))
    path, password = folder / PEOPLE / f"{name}.env", secrets.token_urlsafe(18)
    if path.exists():
        raise AssayError(f"there is a {path} already: {name} has been added, and is to be given it")
    _write(
        path, {"MLFLOW_TRACKING_URI": told, _USER: name, _PASSWORD: password}
    )  # first: a password that nobody knows helps nobody
    try:
        add_user(name, password, role)
    except BaseException:
        path.unlink()
        raise
    print_line(
        f"{name} may {'log to all experiments' if role else 'read all experiments'}. Their password is in {path}: give it to them, then delete it."
    )


def _be_admin(url: str, known: Mapping[str, str]) -> None:
    """Ask the server as its admin from now on; the environment is where MLflow looks."""
    os.environ |= {
        "MLFLOW_TRACKING_URI": url,
        _USER: known[_USER],
        _PASSWORD: known[_PASSWORD],
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    }


def _end(number: int, frame: object) -> None:
    raise SystemExit


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m entrypoints.server",
        description=(__doc__ or "").splitlines()[0],
        allow_abbrev=False,
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on [default: 127.0.0.1, this machine alone]",
    )
    parser.add_argument("--port", type=int, default=5000, help="[default: 5000]")
    parser.add_argument(
        "--folder",
        default="server",
        help="where everything is kept: databases, artifacts, secrets, log [default: server]",
    )
    parser.add_argument(
        "--allowed_hosts",
        default="",
        help="names by which others reach this machine, with commas between; all others are refused",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes that answer [default: 2]")
    parser.add_argument(
        "--add",
        metavar="NAME",
        default="",
        help="add a person to the running server on --folder, with the role annotators",
    )
    parser.add_argument(
        "--reader",
        action="store_true",
        help="with --add: without the role, so that they only read what others log",
    )
    given = parser.parse_args()
    folder = Path(given.folder).resolve()
    os.umask(0o077)
    for number in _ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)
    try:
        if given.add:
            add(folder, given.add, "" if given.reader else ANNOTATORS)
        else:
            serve(folder, place(given.host, given.port, given.allowed_hosts), given.workers)
    except AssayError as error:
        print_line(f"error: {error}")
        sys.exit(2)
    except OSError as error:
        print_line(f"error: {error.filename or folder}: {error.strerror}")
        sys.exit(1)
    except SystemExit:
        print_line("Stopped.")


if __name__ == "__main__":
    main()
