"""A database that is used as a tracking store without a server."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import sqlalchemy
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from filelock import FileLock
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError
from project.support.files import check_writable
from project.tracking.doctor.new_store import make_sqlite_store
from project.tracking.doctor.refusals import outdated, unavailable, unknown_schema
from project.tracking.failures import address, reason

_MAX_FIRST_USE = 60.0  # seconds in which an empty database must get its tables
_MIGRATION_STEP = 2.0  # seconds that one step of a migration takes at most
_TAKES_CONNECT_TIMEOUT = ("postgresql", "mysql")


def check_database(uri: str, timeout_seconds: int) -> None:
    """Check that MLflow can use a database; make the tables of an empty one.

    MLflow itself would try for minutes to reach a database that is away. It would also migrate a
    database that lacks a table without asking, under everyone who shares it.

    Parameters
    ----------
    uri
        SQLAlchemy address of the database.
    timeout_seconds
        How long to wait for a connection.

    Raises
    ------
    AssayError
        If a driver is missing, the user is refused, or the schema is not that of this MLflow.
    StoreUnavailable
        If the database is away.
    """
    url = sqlalchemy.make_url(uri)
    sqlite_file = _sqlite_file(url)
    if sqlite_file and not sqlite_file.is_file():
        check_writable(sqlite_file.parent)
        _make_tables(url)
        return
    if sqlite_file and _lock_file(sqlite_file).exists():
        # Another process has made the file, but perhaps not yet the experiment that MLflow puts
        # into every store. If two processes made that one, one of them would fail.
        with _locked(sqlite_file):
            pass

    migrations = Path(mlflow.__file__).parent / "store" / "db_migrations"
    script = ScriptDirectory(str(migrations))
    newest = script.get_current_head()
    revision = _schema_revision(url, newest, timeout_seconds)
    if revision is None:
        _make_tables(url)
    elif revision != newest:
        try:
            script.get_revision(revision)
        except CommandError as error:
            raise unknown_schema(revision) from error
        raise outdated(f" ({revision}; MLflow {mlflow.__version__} needs {newest})")


def _schema_revision(url: sqlalchemy.URL, newest: str | None, timeout_seconds: int) -> str | None:
    """The revision of the database's schema, None without tables; errors are explained."""
    timeout = {}
    if url.get_backend_name() in _TAKES_CONNECT_TIMEOUT:
        timeout["connect_timeout"] = timeout_seconds
    try:
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=timeout)
        return _stable_revision(engine, newest)
    except ImportError as error:
        raise AssayError(
            f"the tracking store {address()} needs the package {error.name}, which is not "
            "installed here. Install it, or name another driver in MLFLOW_TRACKING_URI, as in "
            "postgresql+psycopg2://..."
        ) from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        why = reason(getattr(error, "orig", None) or error)
        if "authentication failed" in why or "Access denied" in why:
            raise AssayError(
                f"the tracking store {address()} refuses you: {why} "
                "Correct user and password in MLFLOW_TRACKING_URI."
            ) from error
        raise unavailable(why) from error


def _stable_revision(engine: sqlalchemy.Engine, newest: str | None) -> str | None:
    """The revision of the schema, once no other process is changing it; None without tables.

    The first user of an empty database runs all migrations, which takes seconds. A second user who
    comes meanwhile sees an old revision that moves on. Only one that stands still for the time of
    a step is out of date.
    """
    previous = None
    while True:
        with engine.connect() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
        if revision in (None, newest, previous):
            return revision
        previous = revision
        time.sleep(_MIGRATION_STEP)


def _sqlite_file(url: sqlalchemy.URL) -> Path | None:
    """The file of a SQLite database, None for other databases."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def _make_tables(url: sqlalchemy.URL) -> None:
    """Make the file of a new SQLite store; let MLflow make the tables of an empty database.

    If several processes do so at once, all but one fail; they find the tables when they try again.
    A SQLite migration cannot be undone once another process has broken into it, so there only one
    process of this machine may try at a time.
    """
    end = time.monotonic() + _MAX_FIRST_USE
    sqlite_file = _sqlite_file(url)
    with _locked(sqlite_file) if sqlite_file else contextlib.nullcontext():
        if sqlite_file:
            make_sqlite_store(url)
        while True:
            try:
                # Any request makes tables that are missing, and the first experiment.
                MlflowClient().search_experiments(max_results=1)
                return
            except sqlalchemy.exc.DBAPIError as error:
                if time.monotonic() > end:
                    raise unavailable(reason(error.orig or error)) from error
                time.sleep(0.5)


@contextlib.contextmanager
def _locked(sqlite_file: Path) -> Iterator[None]:
    """Wait until no other process makes the tables of this file, and keep others waiting."""
    path = _lock_file(sqlite_file)
    with FileLock(path, fallback_to_soft=False):
        try:
            yield
        finally:
            # Removed while it is held: a process that waits for the removed file notices that, and
            # locks a new one.
            path.unlink(missing_ok=True)


def _lock_file(sqlite_file: Path) -> Path:
    return sqlite_file.with_name(f".{sqlite_file.name}.lock")
