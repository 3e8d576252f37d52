"""Databases and other stores that will not do, as the preflight finds them."""

import sqlite3

import pytest
from alembic import command
from mlflow.store.db.utils import _get_alembic_config

from project.support.errors import AssayError, Incomplete
from project.tracking import preflight
from tests.helpers import postgres, servers
from tests.helpers.preflights import active_runs, preflight_error


def schema(path):
    with sqlite3.connect(path) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def test_an_out_of_date_schema_is_refused_and_not_upgraded_under_whoever_shares_it(store):
    for _ in range(
        12
    ):  # far enough for tables to be missing, which MLflow would make without asking
        command.downgrade(_get_alembic_config(f"sqlite:///{store}/mlflow.db"), "-1")
    before = schema(store / "mlflow.db")

    said = preflight_error()

    assert f"has an out-of-date schema ({before}; MLflow " in said
    assert (
        'Back it up, tell whoever shares it, and run: mlflow db upgrade "$MLFLOW_TRACKING_URI"'
        in said
    )
    assert schema(store / "mlflow.db") == before


def test_a_schema_that_nobody_here_knows_is_refused(store):
    with sqlite3.connect(store / "mlflow.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v3.2.0.a'")  # as Optuna's

    assert "has the schema v3.2.0.a, which MLflow" in (said := preflight_error())
    assert "Upgrade mlflow here, or give it a database of its own" in said


@pytest.mark.parametrize(
    ("uri", "kind", "message"),
    [
        (
            "./mlruns",
            AssayError,
            "is a folder of files, which MLflow 3.17.2 refuses. Set MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db",
        ),
        (
            "postgresql+psycopg2://me:the-secret@127.0.0.1:9/db",
            Incomplete,
            "cannot be used: connection to server at",
        ),
        ("mysql+nodriver://me:the-secret@127.0.0.1:9/db", AssayError, "mysql+nodriver"),
    ],
)
def test_other_stores_that_will_not_do_are_told_without_a_password(
    tmp_path, monkeypatch, uri, kind, message
):
    monkeypatch.chdir(tmp_path)
    with servers.client(uri):
        said = preflight_error(kind)

    assert message in said
    assert "the-secret" not in said


@pytest.mark.skipif(bool(postgres.missing()), reason=postgres.missing() or "there is one")
def test_a_database_that_takes_no_password_or_no_rows_is_told(tmp_path):
    with postgres.postgres(tmp_path) as cluster:
        uri = cluster.uri("mlflow")
        with servers.client(uri):
            assert preflight(tmp_path) == []
            assert active_runs("assay") == []
        run_sql(
            uri, "CREATE ROLE reader LOGIN", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"
        )
        with servers.client(uri.replace("postgres@", "reader:the-secret@")):
            said = preflight_error()
        assert "permission denied for table" in said
        assert "Ask whoever runs it to let you write." in said
        assert "the-secret" not in said


def run_sql(uri, *statements):
    import psycopg2

    connection = psycopg2.connect(uri.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()
