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

from project.errors import AssayError
from project.host import check_folder
from project.tracking.refusals import away, outdated, unknown_schema
from project.tracking.store import address, reason

_FIRST_USE = 60.0  # seconds until an empty database must have its tables


def check_database(uri: str, patience: int) -> None:
    """Refuse a database that is away, or whose schema is not this MLflow's. ``patience``: seconds to wait for it.

    MLflow tries for minutes to reach one that is away; and it migrates one that lacks a table without asking, under everybody who shares it.
    """
    url = sqlalchemy.make_url(uri)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        check_folder(Path(url.database or "").parent)
        with _alone(Path(url.database or "")):
            _make_tables()
        return
    limits = {"connect_timeout": patience} if url.get_backend_name() in ("postgresql", "mysql") else {}
    try:
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=limits)
        with engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
    except ImportError as error:
        raise AssayError(
            f"the tracking store {address()} needs the package {error.name}, which is not installed here. Install it, or name another driver in "
            "MLFLOW_TRACKING_URI, as in postgresql+psycopg2://..."
        ) from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        why = reason(getattr(error, "orig", None) or error)
        if "authentication failed" in why or "Access denied" in why:
            raise AssayError(f"the tracking store {address()} refuses you: {why} Correct user and password in MLFLOW_TRACKING_URI.") from error
        raise away(why) from error
    if found is None:
        _make_tables()
        return
    script = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    newest = script.get_current_head()
    if found == newest:
        return
    try:
        script.get_revision(found)
    except CommandError as error:
        raise unknown_schema(str(found)) from error
    raise outdated(f" ({found}; MLflow {mlflow.__version__} needs {newest})")


@contextlib.contextmanager
def _alone(database: Path) -> Iterator[None]:
    """Nobody else on this machine makes the tables of a SQLite database meanwhile: it takes no step of it back that another one breaks into."""
    lock = database.with_name(f".{database.name}.lock")
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    lock.unlink(missing_ok=True)


def _make_tables() -> None:
    """Let MLflow make the tables of an empty database. Of several that come first at once, all but one fail, and find them when they come again."""
    end = time.monotonic() + _FIRST_USE
    while True:
        try:
            MlflowClient().search_experiments(max_results=1)
            return
        except sqlalchemy.exc.DBAPIError as error:
            if time.monotonic() > end:
                raise away(reason(error.orig or error)) from error
            time.sleep(0.5)
