"""Whole experiments whose tracking server is killed under them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.store.experiment import read_experiment
from entrypoints.relog import relog
from project.tracking import children, read_run
from tests.helpers.servers import client, environment
from tests.helpers.stored import content

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.xdist_group("outage")  # its servers are started once


@pytest.fixture
def experiment(server, params, store, monkeypatch):
    """A function that starts a small experiment in a process of its own, in a workspace of its own."""
    started = []

    def start(workspace, **changes):
        texts = params(workspace=str(store / workspace), reuse="none", **changes)
        command = [
            sys.executable,
            "-m",
            "entrypoints.main",
            *(part for name, text in texts.items() for part in (f"--{name}", text)),
        ]
        settings = {
            **os.environ,
            **environment(server.url),
            "MLFLOW_EXPERIMENT_NAME": "outage",
            "ASSAY_CACHE": str(store / "cache"),
        }
        with (store / f"{workspace}.log").open("w") as output:
            started.append(
                subprocess.Popen(command, cwd=ROOT, env=settings, stdout=output, stderr=output)
            )
        return started[-1]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def until(true, process, patience=120):
    """Wait for something while the process is at work."""
    end = time.monotonic() + patience
    while not true():
        assert process.poll() is None, "it ended first"
        assert time.monotonic() < end
        time.sleep(0.05)


def root_id(store, workspace):
    """The root run of an experiment at work, or that could not log everything."""
    found = list((store / workspace / "spool").glob("*/root.json"))
    return found[0].parent.name if found else ""


@pytest.mark.timeout(600)
def test_a_server_killed_under_an_experiment_stops_no_training_and_relog_ends_the_run_with_its_report(
    experiment, server, store, monkeypatch
):
    assert experiment("whole").wait(200) == 0
    said = (store / "whole.log").read_text()
    whole = said.rpartition("\nrun      ")[2].split()[0]

    process = experiment("broken")
    until(lambda: list((store / "broken" / "seeds").glob("*/result.json")), process)
    run_id = root_id(store, "broken")
    server.stop(kill=True)
    assert process.wait(200) == 1
    said = (store / "broken.log").read_text()
    assert "Traceback" not in said
    assert (
        f"{run_id}, and nothing is lost. When it is back: mlflow run . -e relog, with -P workspace=... as here."
        in said.splitlines()[-1]
    )
    assert len(list((store / "broken" / "seeds").glob("*/result.json"))) == len(
        list((store / "whole" / "seeds").glob("*/result.json"))
    )
    server.start()

    with client(server.url):
        assert read_run(run_id).status == "RUNNING"
        relog({"workspace": str(store / "broken")})
        assert read_run(run_id).status == "FINISHED"
        assert [shape(one) for one in content(run_id)] == [shape(one) for one in content(whole)]
        ours, theirs = read_experiment(run_id), read_experiment(whole)
        assert ours.incomplete == theirs.incomplete == ()
        assert {arm: found.predicted.tolist() for arm, found in ours.arms.items()} == {
            arm: found.predicted.tolist() for arm, found in theirs.arms.items()
        }
    assert not (store / "broken" / "spool").exists()


def shape(run):
    """What is the same whenever an experiment is run: names, how they ended, parameters, and the names of the rest."""
    name, status, params, history, tags, inputs, files = run
    return (
        name,
        status,
        {**params, "workspace": ""},
        sorted(history),
        sorted(tags),
        inputs,
        [path for path, _ in files],
    )


@pytest.mark.timeout(600)
def test_a_server_that_is_back_before_the_end_leaves_an_experiment_as_if_it_had_never_been_away(
    experiment, server, store
):
    process = experiment("back")
    until(
        lambda: list((store / "back").glob("annotations/*/*")), process
    )  # the root run is open, and something is paid for
    server.stop(kill=True)
    until(lambda: "does not take what is to be logged" in (store / "back.log").read_text(), process)
    process.send_signal(signal.SIGSTOP)  # it must not be done before the server is back
    server.start()
    process.send_signal(signal.SIGCONT)
    assert process.wait(200) == 0
    said = (store / "back.log").read_text()
    run_id = said.rpartition("\nrun      ")[2].split()[0]

    with client(server.url):
        assert read_run(run_id).status == "FINISHED"
        assert len(children(read_run(run_id), "seed")) == 10
        assert read_experiment(run_id).incomplete == ()
    assert not (store / "back" / "spool").exists()
