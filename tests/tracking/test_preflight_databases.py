"""The preflight with databases and other stores that will not do."""

import sqlite3
import threading
import time

import pytest
import sqlalchemy
from alembic import command
from mlflow.store.db.utils import _get_alembic_config

from project.support.errors import AssayError, Incomplete
from project.tracking import preflight
from project.tracking.doctor import database
from project.tracking.doctor.database import _locked
from tests.helpers import postgres, servers
from tests.helpers.preflights import active_runs, preflight_error


def schema(path):
    with sqlite3.connect(path) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def set_schema(path, revision):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))


def test_an_out_of_date_schema_is_refused_and_not_migrated(store):
    for _ in range(12):  # so far back that tables are missing, which MLflow makes without asking
        command.downgrade(_get_alembic_config(f"sqlite:///{store}/mlflow.db"), "-1")
    before = schema(store / "mlflow.db")

    message = preflight_error()

    assert f"has an out-of-date schema ({before}; MLflow " in message
    assert (
        'Back it up, tell everyone who shares it, and run: mlflow db upgrade "$MLFLOW_TRACKING_URI"'
    ) in message
    assert schema(store / "mlflow.db") == before


def test_an_old_schema_that_another_process_is_migrating_is_waited_for(store, monkeypatch):
    monkeypatch.setattr(database, "_MIGRATION_STEP", 1.0)
    path = store / "mlflow.db"
    newest = schema(path)
    set_schema(path, "on its way")
    migration = threading.Timer(0.3, set_schema, (path, newest))
    migration.start()
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=sqlalchemy.NullPool)

    assert database._stable_revision(engine, newest) == newest
    migration.join()


def test_an_unknown_schema_is_refused(store):
    set_schema(store / "mlflow.db", "v3.2.0.a")  # as Optuna's

    message = preflight_error()

    assert "has the schema v3.2.0.a, which MLflow" in message
    assert "Upgrade mlflow here, or name a database for MLflow alone" in message


def test_one_process_or_thread_at_a_time_makes_the_tables_of_a_sqlite_file(tmp_path):
    steps = []

    def make_tables(name):
        with _locked(tmp_path / "mlflow.db"):
            for step in range(5):
                steps.append((name, step))
                time.sleep(0.01)

    threads = [threading.Thread(target=make_tables, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    order = list(dict.fromkeys(name for name, _ in steps))
    assert sorted(order) == [0, 1, 2]
    assert steps == [(name, step) for name in order for step in range(5)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "kind", "expected"),
    [
        (
            "./mlruns",
            AssayError,
            "is a folder of files, which MLflow 3.17.2 refuses. "
            "Set MLFLOW_TRACKING_URI to sqlite:////absolute/path/mlflow.db",
        ),
        (
            "postgresql+psycopg2://me:the-secret@127.0.0.1:9/db",
            Incomplete,
            "cannot be used: connection to server at",
        ),
        ("mysql+nodriver://me:the-secret@127.0.0.1:9/db", AssayError, "mysql+nodriver"),
    ],
)
def test_an_unusable_store_is_named_without_its_password(
    tmp_path, monkeypatch, uri, kind, expected
):
    monkeypatch.chdir(tmp_path)
    with servers.client(uri):
        message = preflight_error(kind)

    assert expected in message
    assert "the-secret" not in message


@pytest.mark.skipif(
    bool(postgres.missing()), reason=postgres.missing() or "PostgreSQL is installed"
)
def test_a_database_user_who_may_only_read_is_refused(tmp_path):
    with postgres.postgres(tmp_path) as cluster:
        uri = cluster.uri("mlflow")
        with servers.client(uri):
            assert preflight(tmp_path) == []
            assert active_runs("assay") == []
        run_sql(
            uri, "CREATE ROLE reader LOGIN", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"
        )
        with servers.client(uri.replace("postgres@", "reader:the-secret@")):
            message = preflight_error()
        assert "permission denied for table" in message
        assert "Ask its owner for the permission to write." in message
        assert "the-secret" not in message


def run_sql(uri, *statements):
    import psycopg2

    connection = psycopg2.connect(uri.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()
