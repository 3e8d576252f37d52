"""A database that is a tracking store itself, with no server before it."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import sqlalchemy
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError
from project.support.files import check_writable
from project.tracking.doctor.refusals import away, outdated, unknown_schema
from project.tracking.failures import address, reason

_FIRST_USE, _STEP = (
    60.0,
    2.0,
)  # seconds until an empty database must have its tables; that one step of their making takes at most


def check_database(uri: str, patience: int) -> None:
    """Refuse a database that is away, or whose schema is not this MLflow's. ``patience``: seconds to wait for it.

    MLflow tries for minutes to reach one that is away; and it migrates one that lacks a table without asking, under everybody who shares it.
    """
    url = sqlalchemy.make_url(uri)
    file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
    if file and not file.is_file():
        check_writable(file.parent)
        _make_tables(file)
        return
    script = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    newest = script.get_current_head()
    limits = (
        {"connect_timeout": patience} if url.get_backend_name() in ("postgresql", "mysql") else {}
    )
    try:
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=limits)
        found = _settled(engine, newest)
    except ImportError as error:
        raise AssayError(
            f"the tracking store {address()} needs the package {error.name}, which is not installed here. Install it, or name another driver in "
            "MLFLOW_TRACKING_URI, as in postgresql+psycopg2://..."
        ) from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        why = reason(getattr(error, "orig", None) or error)
        if "authentication failed" in why or "Access denied" in why:
            raise AssayError(
                f"the tracking store {address()} refuses you: {why} Correct user and password in MLFLOW_TRACKING_URI."
            ) from error
        raise away(why) from error
    if found is None:
        _make_tables(file)
        return
    if found == newest:
        return
    try:
        script.get_revision(found)
    except CommandError as error:
        raise unknown_schema(str(found)) from error
    raise outdated(f" ({found}; MLflow {mlflow.__version__} needs {newest})")


def _settled(engine: sqlalchemy.Engine, newest: str | None) -> str | None:
    """The revision of the schema, None for no table yet; one that is on its way to ``newest``, as somebody else comes first, is waited for."""
    found, before = None, ""
    while found != before:
        if before:
            time.sleep(_STEP)
        before = found or ""
        with engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        if found in (None, newest):
            break
    return found


def _make_tables(file: Path | None) -> None:
    """Let MLflow make the tables of an empty database. Of several that come first at once, all but one fail, and find them when they come again.

    ``file``: of SQLite, where one takes no step back that another breaks into: there one process of this machine is let in at a time.
    """
    end = time.monotonic() + _FIRST_USE
    with contextlib.nullcontext() if file is None else _alone(file):
        while True:
            try:
                MlflowClient().search_experiments(max_results=1)
                return
            except sqlalchemy.exc.DBAPIError as error:
                if time.monotonic() > end:
                    raise away(reason(error.orig or error)) from error
                time.sleep(0.5)


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    lock = file.with_name(f".{file.name}.lock")
    try:
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield
    finally:
        lock.unlink(missing_ok=True)
