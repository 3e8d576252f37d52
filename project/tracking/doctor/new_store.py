"""A new SQLite tracking store without the seconds that MLflow's migrations take on a disk.

MLflow makes a new store by all the migrations since its first version, and waits for the disk
after each. Here they run in memory, once for each version of MLflow. The empty store that they make
is kept in the cache folder, and a new store is a copy of it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

import mlflow
import sqlalchemy
from mlflow.store.db import utils as mlflow_db

from project.support.checksums import checksum
from project.support.files import cache_folder, write_atomically

_CHECKSUM_BYTES = 16
_FILE_DRIVERS = ("sqlite", "sqlite+pysqlite")  # others, such as sqlcipher, write files of their own


def make_sqlite_store(url: sqlalchemy.URL) -> None:
    """Make the file of a SQLite store with MLflow's tables and no experiment.

    A file that is there already is left as it is. Nothing is made where the address names no plain
    file, or the folder takes no hard links: MLflow makes the store at its first request.

    Parameters
    ----------
    url
        SQLAlchemy address of the store.
    """
    database = url.database or ""
    if url.drivername not in _FILE_DRIVERS or not database or database.startswith((":", "file:")):
        return
    path = Path(database)
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(_empty_store())
                file.flush()
                os.fsync(file)
            path.hardlink_to(temporary)  # unlike a rename, it never replaces a file
        finally:
            temporary.unlink(missing_ok=True)


def _empty_store() -> bytes:
    """The bytes of an empty store: those in the cache if they are current, else new ones."""
    # MLflow's version too: another one with the same revision may make its tables differently.
    name = f"{mlflow.__version__}-{mlflow_db._get_latest_schema_revision()}.db"
    path = cache_folder("new-store", name)
    content = _kept(path)
    if content is None:
        content = _migrated()
        with contextlib.suppress(OSError):  # without a cache it takes a second each time
            write_atomically(path, bytes.fromhex(checksum(content)) + content)
    return content


def _kept(path: Path) -> bytes | None:
    """An empty store from the cache; None if there is none that MLflow would use as it is."""
    try:
        file = memoryview(path.read_bytes())
    except OSError:
        return None
    stored, content = file[:_CHECKSUM_BYTES], bytes(file[_CHECKSUM_BYTES:])
    if stored != bytes.fromhex(checksum(content)):
        return None
    with _in_memory() as (connection, engine):
        connection.deserialize(content)
        try:
            mlflow_db._verify_schema(engine)
            return content if mlflow_db._all_tables_exist(engine) else None
        except (mlflow.MlflowException, sqlalchemy.exc.SQLAlchemyError):
            return None


def _migrated() -> bytes:
    """The bytes of an empty store, made by MLflow's migrations."""
    with _in_memory() as (connection, engine):
        mlflow_db._initialize_tables(engine)
        return connection.serialize()


@contextlib.contextmanager
def _in_memory() -> Iterator[tuple[sqlite3.Connection, sqlalchemy.Engine]]:
    """A database in memory, and an engine that uses this one connection to it."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        engine = sqlalchemy.create_engine(
            "sqlite://", creator=lambda: connection, poolclass=sqlalchemy.StaticPool
        )
        yield connection, engine
