"""New SQLite stores, which are copies of an empty store that is kept in the cache folder."""

import os
import re
import shutil
import sqlite3
import sys
from contextlib import closing
from subprocess import PIPE

import mlflow
import pytest
import sqlalchemy
from alembic import command
from mlflow.store.db.utils import _get_alembic_config

from project.support.checksums import checksum
from project.tracking.doctor.new_store import make_sqlite_store
from tests.helpers import forked


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The cache folder of a test, which does not exist yet."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cache folder after the first store."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(folder / "cache"))
        make(folder / "first.db")
    return folder / "cache"


@pytest.fixture
def filled(made, cache):
    """The kept file in the cache folder of a test, which is as after a first store."""
    shutil.copytree(made, cache)
    [path] = cache.glob("new-store/*.db")
    return path


def make(path):
    make_sqlite_store(sqlalchemy.make_url(f"sqlite:///{path}"))
    return path


def dump(path):
    """The statements that make a database. MLflow makes indexes and constraints in any order."""
    with closing(sqlite3.connect(path)) as connection:
        return sorted(sorted(re.split(r",?\s*\n\s*", line)) for line in connection.iterdump())


def test_a_new_store_is_the_one_that_mlflow_makes(tmp_path, cache, migrated_store):
    made = make(tmp_path / "folder" / "mlflow.db")

    theirs = tmp_path / "theirs.db"
    shutil.copy(migrated_store, theirs)
    with closing(sqlite3.connect(theirs)) as connection, connection:
        connection.execute("DELETE FROM experiments")  # which MLflow adds at its first request
    assert dump(made) == dump(theirs)
    assert [path.name for path in made.parent.iterdir()] == ["mlflow.db"]


def test_the_second_store_is_made_without_migrations(tmp_path, filled, monkeypatch):
    monkeypatch.delattr(mlflow.store.db.utils, "_initialize_tables")

    assert make(tmp_path / "mlflow.db").read_bytes() == filled.read_bytes()[16:]


def schema(path):
    """Names of tables and indexes, and the revision."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master").fetchall()
        return sorted(names), connection.execute("SELECT * FROM alembic_version").fetchall()


def older_schema(content, tmp_path):
    path = tmp_path / "older.db"
    path.write_bytes(content)
    command.downgrade(_get_alembic_config(f"sqlite:///{path}"), "-1")
    return path.read_bytes()


def without_a_table(content, tmp_path):
    path = tmp_path / "without.db"
    path.write_bytes(content)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE trace_tags")
    return path.read_bytes()


def not_a_database(content, tmp_path):
    return b"not a database"


@pytest.mark.parametrize("change", [older_schema, without_a_table, not_a_database])
def test_a_kept_store_that_mlflow_would_not_use_is_made_anew(
    tmp_path, filled, migrated_store, change
):
    content = change(filled.read_bytes()[16:], tmp_path)
    filled.write_bytes(bytes.fromhex(checksum(content)) + content)

    made = make(tmp_path / "mlflow.db").read_bytes()

    assert made != content
    assert schema(tmp_path / "mlflow.db") == schema(migrated_store)
    assert filled.read_bytes()[16:] == made


def test_a_kept_store_with_a_flipped_bit_is_made_anew(tmp_path, filled):
    content = bytearray(filled.read_bytes())
    content[5000] ^= 1
    filled.write_bytes(content)

    assert make(tmp_path / "mlflow.db").read_bytes() != content[16:]


def test_another_version_of_mlflow_uses_no_store_of_this_one(tmp_path, filled, monkeypatch):
    monkeypatch.setattr(mlflow, "__version__", "3.99.0")
    make(tmp_path / "mlflow.db")

    assert len(list(filled.parent.iterdir())) == 2


def test_a_file_that_exists_is_left_as_it_is(tmp_path, cache):
    (tmp_path / "mlflow.db").write_text("mine")
    (tmp_path / "empty.db").touch()

    assert make(tmp_path / "mlflow.db").read_text() == "mine"
    assert make(tmp_path / "empty.db").read_bytes() == b""
    assert not cache.exists()


def test_a_cache_that_takes_no_files_is_done_without(tmp_path, cache):
    cache.write_text("a file, so that no folder can be made here")

    assert make(tmp_path / "mlflow.db").is_file()


def test_a_folder_that_takes_no_links_is_left_to_mlflow(tmp_path, filled, monkeypatch):
    def refuse(path, target):
        raise PermissionError(path)

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)

    assert not make(tmp_path / "mlflow.db").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize(
    "address",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:mlflow.db?uri=true",
        "sqlite+pysqlcipher:///mlflow.db",
    ],
)
def test_an_address_of_no_plain_file_is_left_to_mlflow(tmp_path, monkeypatch, cache, address):
    monkeypatch.chdir(tmp_path)

    make_sqlite_store(sqlalchemy.make_url(address))

    assert list(tmp_path.iterdir()) == []


BEGIN = """
from pathlib import Path
from project.tracking import preflight
print(preflight(Path("work")))
"""


def test_processes_that_begin_at_once_share_the_new_store(tmp_path, cache):
    environment = {
        **os.environ,
        "PYTHONPATH": str(forked.ROOT),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }
    command = [sys.executable, "-c", BEGIN]
    started = [
        forked.Popen(command, cwd=tmp_path, env=environment, stdout=PIPE, stderr=PIPE)
        for _ in range(4)
    ]

    assert [process.communicate(timeout=120)[0] for process in started] == ["[]\n"] * 4
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        names = connection.execute("SELECT name FROM experiments ORDER BY name").fetchall()
    assert names == [("Default",), ("assay",)]
