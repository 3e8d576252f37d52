"""Real servers for tests: PostgreSQL, MLflow's tracking server with or without users, and a line to one that can be cut."""

import contextlib
import http.client
import http.server
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ADMIN = ("admin", "the password of the tests' admin")
AWAY = (
    "Connection",
    "Keep-Alive",
    "Transfer-Encoding",
    "Content-Length",
)  # headers of one line, not of what is said on it


def free_port():
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _tail(log):
    return "\n".join(log.read_text(errors="replace").splitlines()[-30:])


def _programs():
    """The folder with PostgreSQL's programs; Debian keeps them out of PATH."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    known = [
        path
        for path in (*reversed(found), shutil.which("initdb"))
        if path and (Path(path).resolve().parent / "pg_ctl").exists()
    ]
    return Path(known[0]).resolve().parent if known else None


def missing():
    """Why no PostgreSQL can be started here; empty where it can."""
    if _programs() is None:
        return "PostgreSQL is not installed: neither in /usr/lib/postgresql nor on PATH is there an initdb"
    if os.geteuid() == 0 and "postgres" not in {user.pw_name for user in pwd.getpwall()}:
        return "PostgreSQL does not run as root, and there is no user postgres"
    return ""


class Postgres:
    """A PostgreSQL cluster of its own, on the loopback and on a socket in a short path; its log is in ``folder``."""

    def __init__(self, folder):
        self.port, self.log = free_port(), Path(folder) / "postgres.log"
        self._user: dict[str, Any] = (
            {"user": "postgres", "group": "postgres", "extra_groups": []}
            if os.geteuid() == 0
            else {}
        )
        # A folder of its own: nobody but root may look into pytest's, and the path of a socket has at most 107 characters.
        self.home = Path(tempfile.mkdtemp(prefix="pg-"))
        try:
            if self._user:
                shutil.chown(self.home, "postgres", "postgres")
            self._run(
                "initdb",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            )
            self.start()
        except BaseException:
            self.close()
            raise

    def _run(self, program, *arguments, check=True):
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PGDATA": str(self.home / "data")}
        with self.log.open(
            "ab"
        ) as log:  # without -l the server goes on writing where pg_ctl writes
            done = subprocess.run(
                [_programs() / program, *arguments],
                cwd=self.home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                check=False,
                **self._user,
            )
        assert not check or done.returncode == 0, f"{program} failed:\n{_tail(self.log)}"

    def start(self):
        """Listen, on the same port as ever."""
        # -F: nothing waits for a disk; what a server that was stopped at once had acknowledged is in the kernel all the same
        self._run(
            "pg_ctl",
            "start",
            "-w",
            "-t",
            "60",
            "-o",
            f"-F -p {self.port} -h 127.0.0.1 -k {self.home} -c max_connections=200",
        )

    def stop(self):
        """End at once, as in a crash: connections break, nothing is tidied up."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-w", check=False)

    def uri(self, name):
        """The SQLAlchemy URI of the database ``name``, made where it is not there; any password is taken."""
        import sqlalchemy

        address = f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}"
        engine = sqlalchemy.create_engine(
            f"{address}/postgres", isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
        )
        with engine.connect() as connection:
            if not connection.scalar(
                sqlalchemy.text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}
            ):
                connection.execute(sqlalchemy.text(f'CREATE DATABASE "{name}"'))
        engine.dispose()
        return f"{address}/{name}"

    def close(self):
        """Stop, and leave nothing."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)


@contextlib.contextmanager
def postgres(folder):
    """A running :class:`Postgres`."""
    cluster = Postgres(folder)
    try:
        yield cluster
    finally:
        cluster.close()


class Server:
    """A real ``mlflow server``; with ``auth`` its admin is ``admin``, a name and a password."""

    def __init__(self, folder, *, backend="", auth=False, arguments=()):
        self.folder, self.auth, self.admin = Path(folder), auth, ADMIN if auth else ("", "")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.log, self._process = free_port(), self.folder / "server.log", None
        self.url = f"http://127.0.0.1:{self.port}"
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
        self._environment |= {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        if auth:
            (self.folder / "auth.ini").write_text(
                f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{self.folder}/auth.db\nadmin_username = {ADMIN[0]}\n"
                "auth_cache_ttl_seconds = 60\n"  # a password is costly to check, by design, and every request carries one
            )
            self._environment |= {
                "MLFLOW_AUTH_CONFIG_PATH": str(self.folder / "auth.ini"),
                "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
                "MLFLOW_FLASK_SERVER_SECRET_KEY": "the key of the tests",
            }

    def start(self, patience=120):
        """Serve, on the same port as ever; at most ``patience`` seconds until the first answer."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *self._arguments],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + patience
        try:
            while not self._answers():
                assert self._process.poll() is None, (
                    f"the tracking server ended at its start:\n{_tail(self.log)}"
                )
                assert time.monotonic() < until, (
                    f"the tracking server does not answer after {patience} s:\n{_tail(self.log)}"
                )
                time.sleep(0.1)
        except BaseException:
            self.stop(kill=True)
            raise

    def _answers(self):
        with (
            contextlib.suppress(OSError),
            contextlib.closing(
                http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            ) as connection,
        ):
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        return False

    def stop(self, kill=False):
        """End in good order, or at once with ``kill``."""
        if self._process is None:
            return
        process, self._process = self._process, None
        if not kill:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
        with contextlib.suppress(ProcessLookupError):  # whoever is left of the session
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def user(self, name, password, role=""):
        """Make a user; with a ``role``, one that may edit all experiments and prompts."""
        from project.tracking.doctor.roles import add_person

        with client(self.url, *self.admin):
            add_person(name, password, role)


@contextlib.contextmanager
def tracking_server(folder, *, backend="", auth=False, arguments=()):
    """A running :class:`Server`; its database, where no ``backend`` is given, its artifacts and its log are in ``folder``."""
    server = Server(folder, backend=backend, auth=auth, arguments=arguments)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def environment(url, user="", password="", **more):
    """What makes a process a client of the tracking server at ``url``; an empty value takes a variable away."""
    return {
        "MLFLOW_TRACKING_URI": url,
        "MLFLOW_TRACKING_USERNAME": user,
        "MLFLOW_TRACKING_PASSWORD": password,
        **more,
    }


@contextlib.contextmanager
def client(url, user="", password="", **more):
    """Make this process, and what it starts, a client of ``url``; ``more``: environment variables."""
    import mlflow
    from mlflow.tracking._tracking_service import utils

    names = environment(url, user, password, **more)
    uri, before = utils._tracking_uri, {name: os.environ.get(name) for name in names}
    try:
        mlflow.set_tracking_uri(url)
        _set(names)
        yield
    finally:
        mlflow.set_tracking_uri(uri)  # type: ignore[arg-type]  # None: as it was before anybody set one
        _set(before)


def _set(names):
    for name, value in names.items():
        if value:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)


def _bound(port):
    """A socket that holds a port, and does not listen yet."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


class Proxy:
    """A line to the server at ``port`` of the loopback; ``requests``: method and path of all that was passed on.

    ``cut``: from then on every connection is refused, until ``mend``.
    """

    def __init__(self, port):
        self.port, self.requests = port, []
        self._left, self._answer, self._lock = float("inf"), True, threading.Lock()
        self._open, self._ended = threading.Event(), False
        self._listener = _bound(0)
        self._address = self._listener.getsockname()
        self.url = f"http://127.0.0.1:{self._address[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.mend()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended = True
        self._refuse()
        self._open.set()
        self._thread.join(10)
        self._listener.close()

    def cut(self, after=0, *, answer=False):
        """Pass ``after`` more requests on to the server and no other; without ``answer``, what the server says to the last is thrown away."""
        with self._lock:
            self._left, self._answer = after, answer
            if after == 0:
                self._refuse()

    def mend(self):
        """Let everything through."""
        with self._lock:
            self._left, self._answer = float("inf"), True
            self._listener.listen(64)
            self._open.set()

    def _refuse(self):
        """Keep the port and listen no more."""
        self._open.clear()
        with contextlib.suppress(OSError):  # it did not listen
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes up who waits in accept
        self._listener.close()
        self._listener = _bound(self._address[1])

    def _serve(self):
        while self._open.wait() and not self._ended:
            with contextlib.suppress(OSError):  # shut
                connection, peer = self._listener.accept()
                threading.Thread(target=self._handle, args=(connection, peer), daemon=True).start()

    def _handle(self, connection, peer):
        with contextlib.suppress(OSError), contextlib.closing(connection):
            _Line(connection, peer, self)  # type: ignore[arg-type]  # all the server it needs

    def admit(self, method, path):
        """Whether a request is passed on, and whether its answer is passed back."""
        with self._lock:
            if self._left < 1:
                return False, False
            self._left -= 1
            self.requests.append((method, path))
            if self._left:
                return True, True
            self._refuse()
            return True, self._answer


class _Line(http.server.BaseHTTPRequestHandler):
    """One request and its answer; a line of its own for each."""

    def handle_one_request(self):
        self.close_connection = True
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            return
        self.close_connection = True
        passed, answered = self.server.admit(self.command, self.path)  # type: ignore[attr-defined]
        if not passed:
            return
        port = self.server.port  # type: ignore[attr-defined]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        with contextlib.closing(connection) as server:
            headers = {name: value for name, value in self.headers.items() if name not in AWAY}
            server.request(self.command, self.path, self._body(), headers)
            answer = server.getresponse()
            content = answer.read()
        if answered:
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.title() not in AWAY:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    def _body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)
