"""MLflow's tracking server for tests, with or without users, and processes that use it."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.helpers import forked

ADMIN = ("admin", "the password of the tests' admin")

# MLflow checks a password with every request, which takes long on purpose.
_AUTH_CONFIG = """\
[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/auth.db
admin_username = {admin}
auth_cache_ttl_seconds = 60
"""


def free_port():
    """A free port of the loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def last_lines(log):
    """The last 30 lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-30:])


class Server:
    """A real ``mlflow server``; with ``auth`` it has users, and ``admin`` is a name and a password.

    Its artifacts, its log and, without a ``backend``, its database are in ``folder``.
    """

    def __init__(self, folder, *, backend="", auth=False, arguments=()):
        self.folder = Path(folder)
        self.auth = auth
        self.admin = ADMIN if auth else ("", "")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.log = self.folder / "server.log"
        self.url = f"http://127.0.0.1:{self.port}"
        self._process = None
        self._arguments = [
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--backend-store-uri",
            backend or f"sqlite:///{self.folder}/mlflow.db",
            "--artifacts-destination",
            str(self.folder / "artifacts"),
            *(() if "--workers" in arguments else ("--workers", "1")),
            *(("--app-name", "basic-auth") if auth else ()),
            *arguments,
        ]
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")
        }
        self._environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
        self._environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
        if auth:
            self._write_auth_config()

    def _write_auth_config(self):
        path = self.folder / "auth.ini"
        path.write_text(_AUTH_CONFIG.format(folder=self.folder, admin=ADMIN[0]))
        self._environment |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(path),
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "the key of the tests",
        }

    def start(self, patience=120):
        """Start, always on the same port; fails without an answer within ``patience`` seconds."""
        with self.log.open("ab") as log:
            self._process = forked.Popen(
                [sys.executable, "-m", "mlflow", "server", *self._arguments],
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + patience
        try:
            while not self._answers():
                assert self._process.poll() is None, (
                    f"the tracking server ended at its start:\n{last_lines(self.log)}"
                )
                assert time.monotonic() < until, (
                    f"the tracking server does not answer after {patience} s:\n"
                    f"{last_lines(self.log)}"
                )
                time.sleep(0.1)
        except BaseException:
            self.stop(kill=True)
            raise

    def _answers(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        return False

    def stop(self, kill=False):
        """Stop in an orderly way, or at once with ``kill``."""
        if self._process is None:
            return
        process = self._process
        self._process = None
        if not kill:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
        with contextlib.suppress(ProcessLookupError):  # the rest of its session, if any
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def user(self, name, password, role=""):
        """Add a user; with a ``role``, one that may edit all experiments and prompts."""
        from project.tracking.doctor.roles import add_user

        with client(self.url, *self.admin):
            add_user(name, password, role)


@contextlib.contextmanager
def tracking_server(folder, *, backend="", auth=False, arguments=()):
    """A running :class:`Server`."""
    server = Server(folder, backend=backend, auth=auth, arguments=arguments)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def environment(url, user="", password="", **more):
    """Environment variables of a client of the tracking server at ``url``.

    ``more``: further variables. A variable with an empty value is to be removed.
    """
    return {
        "MLFLOW_TRACKING_URI": url,
        "MLFLOW_TRACKING_USERNAME": user,
        "MLFLOW_TRACKING_PASSWORD": password,
        **more,
    }


@contextlib.contextmanager
def client(url, user="", password="", **more):
    """Make this process and its children clients of ``url``; see :func:`environment`."""
    import mlflow
    from mlflow.tracking._tracking_service import utils

    variables = environment(url, user, password, **more)
    uri = utils._tracking_uri
    before = {name: os.environ.get(name) for name in variables}
    try:
        mlflow.set_tracking_uri(url)
        _set(variables)
        yield
    finally:
        mlflow.set_tracking_uri(uri)  # type: ignore[arg-type]  # None if it was never set
        _set(before)


def _set(variables):
    for name, value in variables.items():
        if value:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)
