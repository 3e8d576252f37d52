"""A team on one tracking server with users, on PostgreSQL: rights, concurrency, restarts, size."""

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

from analysis.store.experiment import read_experiment
from project.tracking import KIND, STUDY, all_children, children, newest_runs, read_run, study_runs
from project.tracking.names import PARENT
from tests.helpers import forked, postgres, servers

ROOT = Path(__file__).parents[2]
PASSWORDS = {name: f"the password of {name}" for name in ("ann", "cara", "ben")}
pytestmark = [
    pytest.mark.xdist_group("team"),
    pytest.mark.timeout(280),
    pytest.mark.skipif(bool(postgres.missing()), reason=postgres.missing()),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A running PostgreSQL server."""
    with postgres.postgres(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture(scope="module")
def team(cluster, tmp_path_factory):
    """A tracking server with ann and cara, who may log, and ben, who may only read."""
    folder = tmp_path_factory.mktemp("team")
    with servers.tracking_server(folder, backend=cluster.uri("mlflow"), auth=True) as server:
        for name, password in PASSWORDS.items():
            server.user(name, password, "" if name == "ben" else "annotators")
        yield server


def start(server, name, experiment, params, *, by_mlflow=False):
    """Start the entry point main as a user of the server; ``by_mlflow``: with ``mlflow run``."""
    module = "entrypoints.main"
    words = [word for key, value in params.items() for word in (f"--{key}", value)]
    if by_mlflow:
        module = "mlflow"
        given = [word for key, value in params.items() for word in ("-P", f"{key}={value}")]
        options = ["--env-manager", "local", "--experiment-name", experiment]
        words = ["run", str(ROOT), *options, *given]
    settings = servers.environment(
        server.url, name, PASSWORDS[name], MLFLOW_EXPERIMENT_NAME=experiment
    )
    settings["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return forked.Popen(
        [sys.executable, "-m", module, *words],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def all_runs(server):
    """The ids of all runs of the server by experiment, deleted ones too."""
    with servers.client(server.url, *server.admin):
        runs = {}
        for experiment in MlflowClient().search_experiments(ViewType.ALL):
            found = MlflowClient().search_runs(
                [experiment.experiment_id], run_view_type=ViewType.ALL
            )
            runs[experiment.name] = {run.info.run_id for run in found}
        return runs


def experiment_id(name):
    experiment = MlflowClient().get_experiment_by_name(name)
    assert experiment is not None
    return experiment.experiment_id


def experiments_in(name):
    """The root runs of kind ``experiment`` in an experiment of MLflow."""
    newest = next(newest_runs("experiment", page_size=10))
    return [run for run in newest if run.experiment_id == experiment_id(name)]


def test_two_users_log_at_once_and_one_without_the_right_leaves_nothing(team, params, store):
    small = {"arms": "gold,llm", "seeds": "1", "epochs": "1", "ensemble_size": "1"}
    processes = [
        start(
            team,
            name,
            "letters",
            params(**small, workspace=str(store / name)),
            by_mlflow=name == "cara",
        )
        for name in ("ann", "cara")
    ]
    for process in processes:
        output, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        assert "gold" in output

    with servers.client(team.url, "ben", PASSWORDS["ben"]):
        roots = experiments_in("letters")
        assert len(roots) == 2
        for root in roots:
            _check_experiment(root)

    before = all_runs(team)
    values = params(**small, workspace=str(store / "ben"))
    refused = start(team, "ben", "letters", values)
    _, errors = refused.communicate(timeout=100)

    assert refused.returncode != 0
    assert "Traceback" not in errors
    assert "error: " in errors.strip().splitlines()[-1]
    assert all_runs(team) == before


def _check_experiment(root):
    assert read_run(root.run_id).status == "FINISHED"
    seeds = {(run.params["arm"], run.params["seed"]) for run in children(root, "seed")}
    assert seeds == {("gold", "0"), ("llm", "0")}
    draws = all_children(root, "annotation")
    names = {"annotate test draw 00", "annotate train draw 00"}
    assert names <= {run.name for run in draws}
    assert {run.status for run in (*draws, *all_children(root, "seed"))} == {"FINISHED"}


FIRST_USE = """
import sys, time
from pathlib import Path
from project.tracking import root_run
from project.tracking.doctor.preflight import preflight

print("ready", flush=True)
while not Path(sys.argv[1], "go").exists():
    time.sleep(0.001)
preflight(Path(sys.argv[1], "work"))
with root_run("experiment", sys.argv[2], {}, str(Path(sys.argv[1], "work"))):
    pass
"""


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_three_processes_that_use_an_empty_database_first_and_at_once_all_log(
    cluster, tmp_path, kind
):
    uri = cluster.uri("empty") if kind == "postgresql" else f"sqlite:///{tmp_path}/mlflow.db"
    names = ["a", "b", "c"]
    settings = {**os.environ, **servers.environment(uri), "PYTHONPATH": str(ROOT)}
    processes = [
        forked.Popen(
            [sys.executable, "-c", FIRST_USE, str(tmp_path), name],
            cwd=tmp_path,
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for name in names
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    outputs = [process.communicate(timeout=200) for process in processes]

    assert [process.returncode for process in processes] == [0] * 3, outputs
    with servers.client(uri):
        experiments = MlflowClient().search_experiments()
        assert {experiment.name for experiment in experiments} == {"Default", "assay"}
        runs = MlflowClient().search_runs([experiment_id("assay")])
        statuses = sorted((run.info.run_name, run.info.status) for run in runs)
        assert statuses == [(name, "FINISHED") for name in names]


LOG_SEEDS = """
import sys
from pathlib import Path
from project.tracking import Child, root_run

folder, name = sys.argv[1:]
with root_run("experiment", name, {}, str(Path(folder, name))) as tracker:
    for seed in range(10):
        child = Child(
            f"seed {seed:02d}",
            "seed",
            f"{name}{seed}",
            {"seed": seed},
            metrics={"score": seed / 10},
            files={},
            description="",
        )
        tracker.log_child(child)
"""


def test_three_processes_log_their_seeds_at_once_into_one_sqlite_file(store):
    settings = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        forked.Popen(
            [sys.executable, "-c", LOG_SEEDS, str(store), name],
            cwd=store,
            env=settings,
            stderr=subprocess.PIPE,
        )
        for name in "abc"
    ]
    errors = [process.communicate(timeout=200)[1] for process in processes]

    assert [process.returncode for process in processes] == [0] * 3, errors
    assert not any("does not accept" in text for text in errors)
    roots = next(newest_runs("experiment", page_size=10))
    assert sorted(root.name for root in roots) == list("abc")
    scores = [seed / 10 for seed in range(10)]
    for root in roots:
        assert sorted(run.metrics["score"] for run in children(root, "seed")) == scores


def test_an_experiment_lacks_nothing_after_database_and_server_were_started_again(
    team, cluster, params, store
):
    workspace = store / "cara"
    values = params(arms="gold,llm", seeds="3", reuse="none", workspace=str(workspace))
    process = start(team, "cara", "restarted", values)
    _wait_for(process, workspace / "spool", "*/root.json")
    cluster.stop()
    time.sleep(1)
    cluster.start()
    _wait_for(process, workspace / "seeds", "*/result.json")
    team.stop(kill=True)
    team.start()
    _, errors = process.communicate(timeout=200)

    assert process.returncode == 0, errors
    with servers.client(team.url, "cara", PASSWORDS["cara"]):
        (root,) = experiments_in("restarted")
        assert len(children(root, "seed")) == 6
        assert read_experiment(root.run_id).incomplete == ()
        assert "assay.verdict" in root.tags
    assert not (workspace / "spool").exists()


def _wait_for(process, folder, pattern):
    """Wait until the process has written such a file."""
    while not list(folder.glob(pattern)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def insert_runs(uri, mlflow_experiment, run_ids):
    """Write runs into the database: a root run and its children, many with one start time."""
    now = int(time.time() * 1000)
    root_tags = {KIND: "experiment"}
    child_tags = {PARENT: run_ids[0], KIND: "seed", STUDY: "a study"}
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with Session(engine) as session:
        experiment = session.get(SqlExperiment, int(mlflow_experiment))
        assert experiment is not None
        for index, run_id in enumerate(run_ids):
            tags = child_tags if index else root_tags
            session.add(
                SqlRun(
                    run_uuid=run_id,
                    name=run_id,
                    experiment_id=int(mlflow_experiment),
                    user_id="ann",
                    status="FINISHED",
                    start_time=now + index // 1500,
                    end_time=now + 10,
                    lifecycle_stage="active",
                    artifact_uri=f"{experiment.artifact_location}/{run_id}/artifacts",
                    source_type="LOCAL",
                    source_name="",
                    entry_point_name="",
                    source_version="",
                    tags=[SqlTag(key=key, value=value) for key, value in tags.items()],
                )
            )
        session.commit()
    engine.dispose()


def test_thousands_of_runs_are_found_though_many_started_in_the_same_millisecond(team, cluster):
    run_ids = [uuid.uuid4().hex for _ in range(2001)]
    with servers.client(team.url, "ann", PASSWORDS["ann"]):
        experiment = MlflowClient().create_experiment("many")
    insert_runs(cluster.uri("mlflow"), experiment, run_ids)

    with servers.client(team.url, "ben", PASSWORDS["ben"]):
        root = read_run(run_ids[0])
        pages = newest_runs("seed", page_size=300)
        for runs in (
            children(root, "seed"),
            all_children(root, "seed"),
            study_runs("a study", "seed"),
            [run for page in pages for run in page],
        ):
            found = [run.run_id for run in runs if run.experiment_id == experiment]
            assert len(found) == 2000
            assert set(found) == set(run_ids[1:])
