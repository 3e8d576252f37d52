"""Whole experiments whose tracking server is killed under them."""

import contextlib
import os
import signal
import sys
import time

import pytest

from analysis.store.experiment import read_experiment
from entrypoints import main
from entrypoints.relog import relog
from project.tracking import children, newest_runs, read_run
from tests.helpers import forked
from tests.helpers.servers import client, environment
from tests.helpers.stored import content

IMPATIENT = """
import runpy
from project.tracking import outbox
outbox._RETRY_AFTER, outbox._LAST_PAUSES = 2.0, (0.1, 0.1)
runpy.run_module("entrypoints.main", run_name="__main__", alter_sys=True)
"""
"""The entry point main, which waits for a store that is away for seconds instead of minutes."""

pytestmark = pytest.mark.xdist_group("tracking-server")


@pytest.fixture
def experiment(server, params, store, monkeypatch):
    """A function that starts a small experiment in a new process and workspace."""
    started = []

    def start(workspace, **changes):
        texts = params(workspace=str(store / workspace), reuse="none", **changes)
        command = [
            sys.executable,
            "-c",
            IMPATIENT,
            *(part for name, text in texts.items() for part in (f"--{name}", text)),
        ]
        settings = {
            **os.environ,
            **environment(server.url),
            "MLFLOW_EXPERIMENT_NAME": "outage",
            "ASSAY_CACHE": str(store / "cache"),
        }
        with (store / f"{workspace}.log").open("w") as output:
            started.append(forked.Popen(command, env=settings, stdout=output, stderr=output))
        return started[-1]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def wait_until(condition, process, timeout=120):
    """Wait for a condition while the process is running."""
    end = time.monotonic() + timeout
    while not condition():
        assert process.poll() is None, "the process ended first"
        assert time.monotonic() < end
        time.sleep(0.05)


def root_id(store, workspace):
    """The root run of an experiment whose spool is not empty."""
    (file,) = (store / workspace / "spool").glob("*/root.json")
    return file.parent.name


@pytest.mark.timeout(600)
def test_a_killed_server_stops_no_training_and_relog_completes_the_run_with_its_report(
    experiment, params, server, store
):
    few = {"arms": "gold,llm,entropy", "replace_share": "25"}
    with client(server.url, MLFLOW_EXPERIMENT_NAME="outage"):
        main.experiment(params(workspace=str(store / "unbroken"), reuse="none", **few))
        unbroken_id = next(newest_runs("experiment", page_size=1))[0].run_id

    process = experiment("broken", **few)
    wait_until(lambda: list((store / "broken" / "seeds").glob("*/result.json")), process)
    run_id = root_id(store, "broken")
    server.stop(kill=True)
    assert process.wait(200) == 1
    log = (store / "broken.log").read_text()
    assert "Traceback" not in log
    assert (
        f"{run_id}, and nothing is lost. When it is back, run the entry point relog with the same "
        "workspace."
    ) in log.splitlines()[-1]
    assert len(list((store / "broken" / "seeds").glob("*/result.json"))) == len(
        list((store / "unbroken" / "seeds").glob("*/result.json"))
    )
    server.start()

    with client(server.url):
        assert read_run(run_id).status == "RUNNING"
        relog({"workspace": str(store / "broken")})
        assert read_run(run_id).status == "FINISHED"
        assert [outline(run) for run in content(run_id)] == [
            outline(run) for run in content(unbroken_id)
        ]
        ours = read_experiment(run_id)
        theirs = read_experiment(unbroken_id)
        assert ours.incomplete == theirs.incomplete == ()
        assert {arm: found.predicted.tolist() for arm, found in ours.arms.items()} == {
            arm: found.predicted.tolist() for arm, found in theirs.arms.items()
        }
    assert not (store / "broken" / "spool").exists()


def outline(run):
    """What is the same in every run of an experiment: name, status, params, names of the rest.

    MLflow's tags of the command that made the run are left out: one experiment ran in this process.
    """
    name, status, params, history, tags, inputs, files = run
    return (
        name,
        status,
        {**params, "workspace": ""},
        sorted(history),
        sorted(tag for tag in tags if not tag.startswith("mlflow.source.")),
        inputs,
        [path for path, _ in files],
    )


@pytest.mark.timeout(600)
def test_an_experiment_is_complete_if_the_server_is_back_before_its_end(experiment, server, store):
    process = experiment("back", arms="gold,llm")
    wait_until(
        lambda: list((store / "back").glob("annotations/*/*")), process
    )  # the root run is open, and some answers are cached
    server.stop(kill=True)
    wait_until(
        lambda: "does not accept what is logged" in (store / "back.log").read_text(), process
    )
    process.send_signal(signal.SIGSTOP)  # it must not be done before the server is back
    server.start()
    process.send_signal(signal.SIGCONT)
    assert process.wait(200) == 0
    log = (store / "back.log").read_text()
    run_id = log.rpartition("\nrun      ")[2].split()[0]

    with client(server.url):
        assert read_run(run_id).status == "FINISHED"
        assert len(children(read_run(run_id), "seed")) == 4
        assert read_experiment(run_id).incomplete == ()
    assert not (store / "back" / "spool").exists()
