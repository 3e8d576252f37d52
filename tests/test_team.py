"""A team on one tracking server with users, on PostgreSQL: who is refused, two who log at once, four who come first, and thousands of runs."""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import sqlalchemy
from mlflow.entities import ViewType
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun, SqlTag
from mlflow.tracking import MlflowClient
from sqlalchemy.orm import Session

from project.tracking import KIND, STUDY, children, every_child, newest_first, of_study, read_run
from project.tracking.store import PARENT
from tests import servers

ROOT = Path(__file__).parents[1]
PASSWORDS = {name: f"the password of {name}" for name in ("ann", "cara", "ben")}
pytestmark = [pytest.mark.timeout(280), pytest.mark.skipif(bool(servers.missing()), reason=servers.missing())]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with servers.postgres(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture(scope="module")
def team(cluster, tmp_path_factory):
    """A server with ann and cara, who may log, and ben, who may only read what they log."""
    with servers.tracking_server(tmp_path_factory.mktemp("team"), backend=cluster.uri("mlflow"), auth=True) as server:
        for name, password in PASSWORDS.items():
            server.user(name, password, "" if name == "ben" else "annotators")
        yield server


def begin(server, name, experiment, params):
    """Somebody's experiment, in a process of its own."""
    arguments = [word for key, value in params.items() for word in (f"--{key}", value)]
    more = servers.environment(server.url, name, PASSWORDS[name], MLFLOW_EXPERIMENT_NAME=experiment)
    return subprocess.Popen(
        [sys.executable, "-m", "entrypoints.main", *arguments],
        cwd=ROOT, env={**os.environ, **more}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def held(server):
    """All that the server holds: every run of every experiment, deleted ones too."""
    with servers.client(server.url, *server.admin):
        found = MlflowClient().search_experiments(ViewType.ALL)
        return {one.name: {run.info.run_id for run in MlflowClient().search_runs([one.experiment_id], run_view_type=ViewType.ALL)} for one in found}


def test_two_who_log_at_once_complete_and_who_may_not_log_leaves_nothing(team, params, store):
    at_once = [begin(team, name, "letters", params(arms="gold,llm", workspace=str(store / name))) for name in ("ann", "cara")]
    for process in at_once:
        said, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        assert "gold" in said

    with servers.client(team.url, "ben", PASSWORDS["ben"]):
        letters = MlflowClient().get_experiment_by_name("letters").experiment_id  # type: ignore[union-attr]
        roots = [run for run in next(newest_first("experiment", page=10)) if run.experiment_id == letters]
        assert len(roots) == 2
        for root in roots:
            assert read_run(root.run_id).status == "FINISHED"
            assert {(run.params["arm"], run.params["seed"]) for run in children(root, "seed")} == {
                (a, s) for a in ("gold", "llm") for s in ("0", "1")
            }
            assert {run.name for run in every_child(root, "annotation")} >= {"annotate test draw 00", "annotate train draw 00"}
            assert {run.status for kind in ("seed", "annotation") for run in every_child(root, kind)} == {"FINISHED"}

    before = held(team)
    refused = begin(team, "ben", "letters", params(arms="gold,llm", workspace=str(store / "ben")))
    _, errors = refused.communicate(timeout=100)

    assert refused.returncode != 0
    assert "Traceback" not in errors
    assert "error: " in errors.strip().splitlines()[-1]
    assert held(team) == before


FIRST = """
import sys, time
from pathlib import Path
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking import MlflowClient

def go(word, name):
    print(word, flush=True)
    while not Path(sys.argv[2], name).exists():
        time.sleep(0.001)

def make():
    client = MlflowClient(sys.argv[1])
    client.log_metric(client.create_run(client.create_experiment(sys.argv[3])).info.run_id, "macro_f1", 0.5)

go("here", "first")
try:
    make()
    go("made", "second")
except Exception as error:
    go(type(error).__name__, "second")
    make()
print("done")
"""


def test_four_who_come_first_to_an_empty_database_leave_it_whole(cluster, tmp_path):
    uri, names = cluster.uri("empty"), {"a", "b", "c", "d"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST, uri, str(tmp_path), name], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name in sorted(names)
    ]
    assert [one.stdout.readline() for one in started] == ["here\n"] * 4  # type: ignore[union-attr]
    (tmp_path / "first").touch()
    first = [one.stdout.readline().strip() for one in started]  # type: ignore[union-attr]
    (tmp_path / "second").touch()
    ended = [one.communicate(timeout=100) for one in started]

    # MLflow makes the tables without a lock: whoever comes while another is at it fails, and finds them when it comes again
    assert "made" in first
    assert set(first) <= {"made", "IntegrityError", "ProgrammingError", "OperationalError"}
    assert [(one.returncode, said) for one, (said, _) in zip(started, ended, strict=True)] == [(0, "done\n")] * 4, ended
    with servers.client(uri):
        assert {one.name for one in MlflowClient().search_experiments()} == {"Default", *names}
        assert len(MlflowClient().search_runs([one.experiment_id for one in MlflowClient().search_experiments()])) == 4


def test_all_of_thousands_of_runs_are_found_though_many_began_in_the_same_moment(team, cluster):
    n, now, names = 2000, int(time.time() * 1000), [uuid.uuid4().hex for _ in range(2001)]
    with servers.client(team.url, "ann", PASSWORDS["ann"]):
        experiment = MlflowClient().create_experiment("many")
    engine = sqlalchemy.create_engine(cluster.uri("mlflow"), poolclass=sqlalchemy.NullPool)
    with Session(engine) as session:
        place = session.get(SqlExperiment, int(experiment)).artifact_location  # type: ignore[union-attr]
        for index, name in enumerate(names):
            kind = {PARENT: names[0], KIND: "seed", STUDY: "a study"} if index else {KIND: "experiment"}
            session.add(
                SqlRun(
                    run_uuid=name, name=name, experiment_id=int(experiment), user_id="ann", status="FINISHED", start_time=now + index // 1500,
                    end_time=now + 10, lifecycle_stage="active", artifact_uri=f"{place}/{name}/artifacts", source_type="LOCAL", source_name="",
                    entry_point_name="", source_version="", tags=[SqlTag(key=key, value=value) for key, value in kind.items()],
                )
            )  # fmt: skip
        session.commit()
    engine.dispose()

    with servers.client(team.url, "ben", PASSWORDS["ben"]):
        root = read_run(names[0])
        for found in (
            children(root, "seed"),
            every_child(root, "seed"),
            of_study("a study", "seed"),
            [r for p in newest_first("seed", page=300) for r in p],
        ):
            ours = [run.run_id for run in found if run.experiment_id == experiment]
            assert len(ours) == n
            assert set(ours) == set(names[1:])
