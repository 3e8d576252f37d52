"""The admin and the people of a team's tracking server: names, passwords, and files with them."""

from __future__ import annotations

import os
import re
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path

from entrypoints.wiring.team_server_address import running_server
from entrypoints.wiring.terminal import print_line
from project.support.errors import AssayError

ADMIN = "admin"
ADMIN_FILE = "admin.env"
PASSWORD_VARIABLE = "MLFLOW_TRACKING_PASSWORD"  # noqa: S105  (its name, not its value)
SIGNING_KEY = "MLFLOW_FLASK_SERVER_SECRET_KEY"
"""Environment variable with the key by which the server signs its pages."""
_USER = "MLFLOW_TRACKING_USERNAME"
_PEOPLE = "people"


def admin_secrets(folder: Path) -> dict[str, str]:
    """The admin's name, password and signing key, as environment variables.

    The first start makes them; later starts read them from a file for its owner alone.
    """
    path = folder / ADMIN_FILE
    if not path.exists():
        _write_variables(
            path,
            {
                _USER: ADMIN,
                PASSWORD_VARIABLE: secrets.token_urlsafe(24),
                SIGNING_KEY: secrets.token_urlsafe(32),
            },
        )
    path.chmod(0o600)
    return dict(
        shlex.split(line)[-1].split("=", 1)
        for line in path.read_text(encoding="utf-8").splitlines()
    )


def become_admin(url: str, variables: Mapping[str, str]) -> None:
    """Set the environment by which MLflow's clients here call the server as its admin."""
    os.environ |= {
        "MLFLOW_TRACKING_URI": url,
        _USER: variables[_USER],
        PASSWORD_VARIABLE: variables[PASSWORD_VARIABLE],
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    }


def add_person(folder: Path, name: str, role: str) -> None:
    """Make a user of the running server, and a file with the variables that the person sets.

    Parameters
    ----------
    folder
        The server's folder.
    name
        The person's name.
    role
        The role that may log; empty for a person who only reads.

    Raises
    ------
    AssayError
        If no server runs, or the name cannot be used.
    """
    from project.tracking.doctor.roles import add_user

    if not re.fullmatch(r"\w[\w.@-]*", name, re.ASCII):
        raise AssayError(f"--add must be a name of letters, digits and . _ @ -; got {name!r}")
    server = running_server(folder)
    become_admin(server.url, admin_secrets(folder))
    path = folder / _PEOPLE / f"{name}.env"
    if path.exists():
        raise AssayError(f"{path} exists: {name} was added before. Give them that file.")
    password = secrets.token_urlsafe(18)
    # Before the user is made: a user whose password is lost could not be added again.
    variables = {"MLFLOW_TRACKING_URI": server.public_url, _USER: name, PASSWORD_VARIABLE: password}
    _write_variables(path, variables)
    try:
        add_user(name, password, role)
    except BaseException:
        path.unlink()
        raise
    may = "log to all experiments" if role else "read all experiments"
    print_line(f"{name} may {may}. Their password is in {path}: give it to them, then delete it.")


def _write_variables(path: Path, variables: Mapping[str, str]) -> None:
    """Write a shell script that sets ``variables``, for its owner alone.

    The file is renamed when it is complete, so that it never holds a part.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    script = "".join(f"export {name}={shlex.quote(text)}\n" for name, text in variables.items())
    # Opened with its final mode: no other user can read it at any moment.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(script)
    temporary.replace(path)
