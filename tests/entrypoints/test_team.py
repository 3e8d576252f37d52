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

from analysis.store.experiment import read_experiment
from project.tracking import KIND, STUDY, children, all_children, newest_runs, study_runs, read_run
from project.tracking.names import PARENT
from tests.helpers import postgres, servers

ROOT = Path(__file__).parents[2]
PASSWORDS = {name: f"the password of {name}" for name in ("ann", "cara", "ben")}
pytestmark = [
    pytest.mark.xdist_group("team"),
    pytest.mark.timeout(280),
    pytest.mark.skipif(bool(postgres.missing()), reason=postgres.missing()),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with postgres.postgres(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture(scope="module")
def team(cluster, tmp_path_factory):
    """A server with ann and cara, who may log, and ben, who may only read what they log."""
    with servers.tracking_server(
        tmp_path_factory.mktemp("team"), backend=cluster.uri("mlflow"), auth=True
    ) as server:
        for name, password in PASSWORDS.items():
            server.user(name, password, "" if name == "ben" else "annotators")
        yield server


def begin(server, name, experiment, params, *, project=False):
    """Somebody's experiment, in a process of its own; ``project``: by ``mlflow run``."""
    command = [
        "entrypoints.main",
        *(word for key, value in params.items() for word in (f"--{key}", value)),
    ]
    if project:
        given = [word for key, value in params.items() for word in ("-P", f"{key}={value}")]
        command = [
            "mlflow",
            "run",
            str(ROOT),
            "--env-manager",
            "local",
            "--experiment-name",
            experiment,
            *given,
        ]
    more = servers.environment(server.url, name, PASSWORDS[name], MLFLOW_EXPERIMENT_NAME=experiment)
    more["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def held(server):
    """All that the server holds: every run of every experiment, deleted ones too."""
    with servers.client(server.url, *server.admin):
        found = MlflowClient().search_experiments(ViewType.ALL)
        return {
            one.name: {
                run.info.run_id
                for run in MlflowClient().search_runs(
                    [one.experiment_id], run_view_type=ViewType.ALL
                )
            }
            for one in found
        }


def test_two_who_log_at_once_complete_and_who_may_not_log_leaves_nothing(team, params, store):
    at_once = [
        begin(
            team,
            name,
            "letters",
            params(arms="gold,llm", workspace=str(store / name)),
            project=name == "cara",
        )
        for name in ("ann", "cara")
    ]
    for process in at_once:
        said, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        assert "gold" in said

    with servers.client(team.url, "ben", PASSWORDS["ben"]):
        letters = MlflowClient().get_experiment_by_name("letters").experiment_id  # type: ignore[union-attr]
        roots = [
            run for run in next(newest_runs("experiment", page_size=10)) if run.experiment_id == letters
        ]
        assert len(roots) == 2
        for root in roots:
            assert read_run(root.run_id).status == "FINISHED"
            assert {(run.params["arm"], run.params["seed"]) for run in children(root, "seed")} == {
                (a, s) for a in ("gold", "llm") for s in ("0", "1")
            }
            assert {run.name for run in all_children(root, "annotation")} >= {
                "annotate test draw 00",
                "annotate train draw 00",
            }
            assert {
                run.status for kind in ("seed", "annotation") for run in all_children(root, kind)
            } == {"FINISHED"}

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
from project.tracking import root_run
from project.tracking.doctor.preflight import preflight

print("here", flush=True)
while not Path(sys.argv[1], "go").exists():
    time.sleep(0.001)
preflight(Path(sys.argv[1], "work"))
with root_run("experiment", sys.argv[2], {}, str(Path(sys.argv[1], "work"))):
    pass
"""


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_four_who_come_first_to_an_empty_database_at_once_all_log(cluster, tmp_path, kind):
    uri, names = (
        cluster.uri("empty") if kind == "postgresql" else f"sqlite:///{tmp_path}/mlflow.db",
        ["a", "b", "c", "d"],
    )
    settings = {**os.environ, **servers.environment(uri), "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST, str(tmp_path), name],
            cwd=tmp_path,
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    assert [one.stdout.readline() for one in started] == ["here\n"] * 4  # type: ignore[union-attr]
    (tmp_path / "go").touch()
    ended = [one.communicate(timeout=200) for one in started]

    assert [one.returncode for one in started] == [0] * 4, ended
    with servers.client(uri):
        assert {one.name for one in MlflowClient().search_experiments()} == {"Default", "assay"}
        experiment = MlflowClient().get_experiment_by_name("assay")
        assert experiment is not None
        found = MlflowClient().search_runs([experiment.experiment_id])
        assert sorted((run.info.run_name, run.info.status) for run in found) == [
            (name, "FINISHED") for name in names
        ]


LOG = """
import sys
from pathlib import Path
from project.tracking import Child, root_run

with root_run("experiment", sys.argv[2], {}, str(Path(sys.argv[1], sys.argv[2]))) as tracker:
    for seed in range(10):
        tracker.log_child(Child(f"seed {seed:02d}", "seed", f"{sys.argv[2]}{seed}", {"seed": seed}, metrics={"score": seed / 10}, files={}, description=""))
"""


def test_four_processes_log_their_seeds_at_once_into_one_sqlite_file(store):
    settings = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LOG, str(store)]
    started = [
        subprocess.Popen(
            [*command, name], cwd=store, env=settings, stderr=subprocess.PIPE, text=True
        )
        for name in "abcd"
    ]
    errors = [one.communicate(timeout=200)[1] for one in started]

    assert [one.returncode for one in started] == [0] * 4, errors
    assert not any("does not take" in said for said in errors)
    roots = next(newest_runs("experiment", page_size=10))
    assert sorted(root.name for root in roots) == list("abcd")
    for root in roots:
        assert sorted(run.metrics["score"] for run in children(root, "seed")) == [
            seed / 10 for seed in range(10)
        ]


def test_the_database_and_the_server_start_anew_under_an_experiment_which_then_lacks_nothing(
    team, cluster, params, store
):
    process = begin(
        team,
        "cara",
        "restarted",
        params(arms="gold,llm", seeds="3", reuse="none", workspace=str(store / "cara")),
    )
    while not list((store / "cara" / "spool").glob("*/root.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    cluster.stop()
    time.sleep(1)
    cluster.start()
    while not list((store / "cara" / "seeds").glob("*/result.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    team.stop(kill=True)
    team.start()
    _, errors = process.communicate(timeout=200)

    assert process.returncode == 0, errors
    with servers.client(team.url, "cara", PASSWORDS["cara"]):
        experiment = MlflowClient().get_experiment_by_name("restarted").experiment_id  # type: ignore[union-attr]
        (root,) = [
            run
            for run in next(newest_runs("experiment", page_size=10))
            if run.experiment_id == experiment
        ]
        assert len(children(root, "seed")) == 6
        assert read_experiment(root.run_id).incomplete == ()
        assert "assay.verdict" in root.tags
    assert not (store / "cara" / "spool").exists()


def test_all_of_thousands_of_runs_are_found_though_many_began_in_the_same_moment(team, cluster):
    n, now, names = 2000, int(time.time() * 1000), [uuid.uuid4().hex for _ in range(2001)]
    with servers.client(team.url, "ann", PASSWORDS["ann"]):
        experiment = MlflowClient().create_experiment("many")
    engine = sqlalchemy.create_engine(cluster.uri("mlflow"), poolclass=sqlalchemy.NullPool)
    with Session(engine) as session:
        place = session.get(SqlExperiment, int(experiment)).artifact_location  # type: ignore[union-attr]
        for index, name in enumerate(names):
            kind = (
                {PARENT: names[0], KIND: "seed", STUDY: "a study"}
                if index
                else {KIND: "experiment"}
            )
            session.add(
                SqlRun(
                    run_uuid=name,
                    name=name,
                    experiment_id=int(experiment),
                    user_id="ann",
                    status="FINISHED",
                    start_time=now + index // 1500,
                    end_time=now + 10,
                    lifecycle_stage="active",
                    artifact_uri=f"{place}/{name}/artifacts",
                    source_type="LOCAL",
                    source_name="",
                    entry_point_name="",
                    source_version="",
                    tags=[SqlTag(key=key, value=value) for key, value in kind.items()],
                )
            )
        session.commit()
    engine.dispose()

    with servers.client(team.url, "ben", PASSWORDS["ben"]):
        root = read_run(names[0])
        for found in (
            children(root, "seed"),
            all_children(root, "seed"),
            study_runs("a study", "seed"),
            [r for p in newest_runs("seed", page_size=300) for r in p],
        ):
            ours = [run.run_id for run in found if run.experiment_id == experiment]
            assert len(ours) == n
            assert set(ours) == set(names[1:])
