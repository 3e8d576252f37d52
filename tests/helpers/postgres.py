"""A real PostgreSQL cluster for tests."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.helpers.servers import free_port, last_lines

_MAX_CONNECTIONS = 200


def missing():
    """Why no PostgreSQL can be started here; empty if it can."""
    if _program_folder() is None:
        return "PostgreSQL is not installed: no initdb in /usr/lib/postgresql or on PATH"
    if os.geteuid() == 0 and "postgres" not in {user.pw_name for user in pwd.getpwall()}:
        return "PostgreSQL does not run as root, and there is no user postgres"
    return ""


def _program_folder():
    """The folder with the newest programs of PostgreSQL; Debian keeps them out of PATH."""
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    for path in (*reversed(installed), shutil.which("initdb")):
        if path and (Path(path).resolve().parent / "pg_ctl").exists():
            return Path(path).resolve().parent
    return None


class Postgres:
    """A PostgreSQL cluster on the loopback and on a socket; its log is in ``folder``."""

    def __init__(self, folder):
        self.port = free_port()
        self.log = Path(folder) / "postgres.log"
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        # Only root may read pytest's folder, and the path of a socket has at most 107 characters.
        self.home = Path(tempfile.mkdtemp(prefix="pg-"))
        try:
            if self._user:
                shutil.chown(self.home, "postgres", "postgres")
            options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
            self._run("initdb", *options, "--no-sync")
            self.start()
        except BaseException:
            self.close()
            raise

    def _run(self, program, *arguments, check=True):
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PGDATA": str(self.home / "data")}
        # Without -l the server goes on writing to the standard output of pg_ctl.
        with self.log.open("ab") as log:
            process = subprocess.run(
                [_program_folder() / program, *arguments],
                cwd=self.home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                check=False,
                **self._user,
            )
        assert not check or process.returncode == 0, f"{program} failed:\n{last_lines(self.log)}"

    def start(self):
        """Start the server, always on the same port."""
        # -F: no waiting for the disk. After a crash the kernel still has what was committed.
        options = f"-F -p {self.port} -h 127.0.0.1 -k {self.home}"
        options += f" -c max_connections={_MAX_CONNECTIONS}"
        self._run("pg_ctl", "start", "-w", "-t", "60", "-o", options)

    def stop(self):
        """Stop at once, as in a crash: connections break, nothing is cleaned up."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-w", check=False)

    def uri(self, name):
        """The SQLAlchemy URI of the database ``name``, which is created if it does not exist.

        The server accepts any password.
        """
        import sqlalchemy

        address = f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}"
        engine = sqlalchemy.create_engine(
            f"{address}/postgres", isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
        )
        query = sqlalchemy.text("SELECT 1 FROM pg_database WHERE datname = :name")
        with engine.connect() as connection:
            if not connection.scalar(query, {"name": name}):
                connection.execute(sqlalchemy.text(f'CREATE DATABASE "{name}"'))
        engine.dispose()
        return f"{address}/{name}"

    def close(self):
        """Stop and remove all files."""
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
