"""The process of a team's tracking server: ``mlflow server`` with users, on SQLite."""

from __future__ import annotations

import contextlib
import http.client
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from entrypoints.wiring.repository import ROOT
from entrypoints.wiring.team_server_address import ADDRESS, ServerAddress, claimed_folder
from entrypoints.wiring.team_server_people import (
    ADMIN,
    ADMIN_FILE,
    PASSWORD_VARIABLE,
    SIGNING_KEY,
    admin_secrets,
    become_admin,
)
from entrypoints.wiring.terminal import print_line
from project.support.errors import AssayError

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOG = "server.log"
_START_SECONDS = 180  # the first start makes two databases
_END_SECONDS = 20  # for requests that are being answered
_AUTH_CONFIG = """[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/people.db
admin_username = {admin}
# Checking a password takes 0.1 s of a core or more, by design, and every request has one. A worker
# may take this long to notice a new password, or that somebody was removed.
auth_cache_ttl_seconds = 60
"""


def serve(folder: Path, address: ServerAddress, n_workers: int) -> None:
    """Serve until Ctrl-C, SIGTERM or the end of the terminal.

    Parameters
    ----------
    folder
        Folder of databases, artifacts, secrets and the log.
    address
        Where to listen.
    n_workers
        Number of processes that answer requests.
    """
    from project.tracking.doctor.roles import ensure_role

    make_private_folder(folder)
    with claimed_folder(folder, address):
        variables = admin_secrets(folder)
        print_line(f"Starting on {folder} ...")
        process = _start(folder, address, n_workers, variables)
        try:
            _wait_for_answer(process, address, folder / _LOG)
            become_admin(address.url, variables)
            ensure_role()
            _print_foreign_experiments()
            _print_welcome(folder, address)
            process.wait()
            raise AssayError(f"the server ended by itself; see {folder / _LOG}")
        finally:
            # A second Ctrl-C must not leave processes behind.
            for number in END_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            _stop(process)


def make_private_folder(folder: Path) -> None:
    """Make the folder, which its owner alone can read.

    Raises AssayError for a folder with other content.
    """
    if folder.is_dir() and not (folder / ADDRESS).exists() and any(folder.iterdir()):
        raise AssayError(
            f"--folder must be a new folder, or that of an earlier server; {folder} holds "
            "something else"
        )
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


def _print_welcome(folder: Path, address: ServerAddress) -> None:
    """Print where the server is and what its admin does next."""
    print_line(f"The tracking server is at {address.public_url}; its log is {folder / _LOG}.")
    if address.public_url.startswith("http:") and address.public_url != address.url:
        print_line(
            "Passwords are sent without encryption: on a network that others share, put TLS in "
            "front of it, and use --host 127.0.0.1."
        )
    print_line(f"The admin's name and password are in {folder / ADMIN_FILE}, for you alone.")
    print_line(
        f"Add a person: python -m entrypoints.server --folder {shlex.quote(str(folder))} "
        "--add NAME   (--reader: may only read)"
    )


def _print_foreign_experiments() -> None:
    """Name experiments from before whose files are outside the server's artifact store."""
    from project.tracking.doctor.team_app import foreign_experiments

    for experiment in foreign_experiments():
        print_line(
            f"WARNING: the files of experiment {experiment} are outside this server's artifact "
            "store. Its maker may write there: delete the experiment if you did not choose this."
        )


def _start(
    folder: Path, address: ServerAddress, n_workers: int, variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start MLflow's server in a session of its own.

    Its secrets are in its environment, which no other user can read.
    """
    from project.tracking.doctor.team_app import plugin_folder

    _check_port(address)
    config = _AUTH_CONFIG.format(folder=str(folder).replace("%", "%%"), admin=ADMIN)
    (folder / "auth.ini").write_text(config, encoding="utf-8")
    # The user's own MLflow settings are for clients and could point the server elsewhere.
    own = {name: text for name, text in os.environ.items() if not name.startswith("MLFLOW_")}
    environment = own | {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": variables[PASSWORD_VARIABLE],
        SIGNING_KEY: variables[SIGNING_KEY],
        "PYTHONPATH": os.pathsep.join(
            [str(plugin_folder(folder / "app")), str(ROOT), *filter(None, [own.get("PYTHONPATH")])]
        ),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # Assay uses none of its jobs
    }
    with (folder / _LOG).open("ab") as log:
        return subprocess.Popen(
            _command(folder, address, n_workers),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _check_port(address: ServerAddress) -> None:
    """Raise AssayError if nothing can listen on the address."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        # As the server does: closed connections of an earlier server do not occupy the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise AssayError(
                f"cannot listen on {address.host}, port {address.port}: {error.strerror}. Use "
                "another --port"
            ) from error


def _command(folder: Path, address: ServerAddress, n_workers: int) -> list[str]:
    """The words of the command that starts MLflow's server, with files below ``folder``."""
    from project.tracking.doctor.team_app import APP_NAME

    options = {
        "--app-name": APP_NAME,
        "--host": address.host,
        "--port": str(address.port),
        "--workers": str(n_workers),
        "--uvicorn-opts": "--log-level warning",
        "--allowed-hosts": ",".join(address.allowed_hosts),
        "--backend-store-uri": f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination": str(folder / "artifacts"),
    }
    if address.allowed_origins:
        options["--cors-allowed-origins"] = ",".join(address.allowed_origins)
    words = [word for option in options.items() for word in option]
    return [sys.executable, "-m", "mlflow", "server", *words]


def _wait_for_answer(process: subprocess.Popen[bytes], address: ServerAddress, log: Path) -> None:
    """Wait until the server answers; AssayError with the end of its log where it does not."""
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(address):
        if process.poll() is not None or time.monotonic() > deadline:
            last_lines = log.read_text(errors="replace").splitlines()[-15:]
            raise AssayError(
                f"the server did not start; the end of {log}:\n" + "\n".join(last_lines)
            )
        time.sleep(0.2)


def _answers(address: ServerAddress) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection(address.url.removeprefix("http://"), timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and every process that it started."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    # Workers that are still there share the session of the server.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
