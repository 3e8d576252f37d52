"""Training on a real Ray cluster of three nodes on this machine; ``make test-cluster`` runs it."""

import importlib.util
import os
import socket
import time

import pytest

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed here; make test-cluster installs it", allow_module_level=True)

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil

from project.cluster import checks, connect
from project.cluster.tasks import Needs, Work, run_tasks
from project.config.finetune import FinetuneConfig
from project.support.errors import AssayError, Incomplete
from project.training.encoder import Encoder
from project.training.inputs import Phase, TrainingInputs
from project.training.jobs import run_jobs
from project.training.on_cluster import training_cluster
from project.training.results import Job
from tests.helpers.ray_tasks import MARKS, NODE, die_once, double

pytestmark = MARKS
ROOT = Path(__file__).parents[2]
SMALL = Needs(1, 0.0, 0)


@pytest.fixture
def encoder(tiny_encoder):
    return Encoder.find(FinetuneConfig(encoder=str(tiny_encoder), precision="fp32"))


@pytest.fixture
def jobs(encoder, words, tmp_path):
    """A function from a number of epochs to three seeds on sixteen texts."""
    texts = [" ".join(words[index * 7 : index * 7 + 1 + index % 5]) for index in range(24)]
    inputs = TrainingInputs(
        encoder.tokens(texts, tmp_path / "tokens"),
        (Phase(np.arange(16), np.eye(2)[np.arange(16) % 2], np.ones(16)),),
        np.arange(16, 24),
        np.arange(8) % 2,
    )

    def make(epochs):
        config = FinetuneConfig(
            encoder=encoder.source.location,
            epochs=epochs,
            train_batch_size=4,
            learning_rate=3e-3,
            precision="fp32",
            checkpoint_seconds=0,
        )
        return [
            Job(
                arm="gold",
                seed=seed,
                digest=f"digest{seed}",
                encoder=encoder,
                config=config,
                inputs=inputs,
                test_indices=np.arange(16, 24),
                test_ids=tuple("abcdefgh"),
                label_set=("x", "y"),
                keep_model=seed == 0,
            )
            for seed in range(3)
        ]

    return make


@pytest.fixture(scope="module")
def cluster(nodes, tmp_path_factory):
    """One connection for most tests: workers that have imported torch stay."""
    with training_cluster(nodes.address, tmp_path_factory.mktemp("marked"), []) as connected:
        yield connected


@pytest.fixture
def on_cluster(cluster, tmp_path):
    """A function that runs jobs on the cluster and returns the results by digest."""

    def run(jobs, progress=lambda job, evaluation: None):
        folder = tmp_path / "there"
        running = run_jobs(jobs, folder=folder, workers=0, progress=progress, run=cluster.run)
        return {job.digest: result for job, result in running}

    return run


def here(jobs, folder):
    """The results of jobs that are trained in this process."""
    running = run_jobs(jobs, folder=folder, workers=1, progress=lambda job, evaluation: None)
    return {job.digest: result for job, result in running}


def assert_same(there, here):
    assert there.keys() == here.keys()
    for digest, result in there.items():
        assert result.history == here[digest].history
        for file in ("predictions.parquet", "model/model.safetensors", "model/config.json"):
            if (here[digest].folder / file).exists():
                ours = (here[digest].folder / file).read_bytes()
                assert (result.folder / file).read_bytes() == ours, file


def test_results_have_the_same_bits_as_without_ray_and_progress_is_complete(
    jobs, on_cluster, tmp_path
):
    progress = []
    there = on_cluster(jobs(3), progress=lambda job, one: progress.append((job.seed, one.number)))

    assert_same(there, here(jobs(3), tmp_path / "here"))
    assert sorted(progress) == [(seed, number) for seed in range(3) for number in (1, 2, 3)]


def test_a_node_that_does_not_see_the_workspace_sends_the_same_result(
    jobs, on_cluster, cluster, tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster, "_marker", cluster._marker._replace(text="another folder"))
    assert len(checks.blind_nodes(cluster._cluster, cluster._marker)) == 3
    there = on_cluster(jobs(2))

    assert_same(there, here(jobs(2), tmp_path / "here"))


def test_a_node_and_a_worker_that_are_killed_in_the_middle_lose_nothing(
    jobs, on_cluster, nodes, tmp_path, capfd
):
    killed: list[str] = []

    def kill(job, evaluation):
        if not killed and evaluation.number >= 3:
            nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
            killed.append("node")
        elif len(killed) == 1 and evaluation.number >= 8 and (pids := training_workers()):
            os.kill(pids[0], signal.SIGKILL)
            killed.append("worker")

    try:
        there = on_cluster(jobs(60), progress=kill)
    finally:
        nodes.add_node(**NODE)

    assert killed == ["node", "worker"]
    assert "running again" in capfd.readouterr().err
    assert_same(there, here(jobs(60), tmp_path / "here"))


def training_workers():
    """Process ids of the Ray workers below this process that run a task."""
    return [
        process.pid
        for process in psutil.Process().children(recursive=True)
        if any("ray::_on_node" in word for word in process.cmdline())
    ]


def test_ctrl_c_keeps_what_is_finished_and_frees_the_cluster(jobs, cluster, tmp_path):
    folder = tmp_path / "there"
    mixed = [*jobs(400)[:1], *jobs(1)[1:]]
    finished = []
    running = run_jobs(
        mixed, folder=folder, workers=0, progress=lambda job, one: None, run=cluster.run
    )
    with pytest.raises(KeyboardInterrupt):
        for job, _ in running:
            finished.append(job.digest)
            if len(finished) == 2:
                running.throw(KeyboardInterrupt)
    ray = cluster._cluster.ray
    end = time.monotonic() + 30
    while ray.available_resources().get("CPU", 0) < 3 and time.monotonic() < end:
        time.sleep(0.2)

    assert ray.available_resources()["CPU"] == 3
    assert {path.name for path in folder.glob("digest*") if path.is_dir()} == set(finished)
    assert "digest0" not in finished


def test_a_task_that_dies_again_and_again_is_named_and_the_others_go_on(cluster, tmp_path):
    ends = {}
    received = []

    def run(function, arguments):
        for _ in run_tasks(
            cluster._cluster,
            Work(function, SMALL, 2, "Use nodes with more memory."),
            arguments.items(),
            received=lambda key, message: received.append((key, message)),
            finish=lambda key, value, error: ends.update({key: str(error or value)}),
        ):
            pass

    run(double, {"a": "a", "b": "die", "c": "fail", "d": "d"})
    run(die_once, {"e": str(tmp_path / "died")})

    assert ends["a"] == "aa"
    assert ends["d"] == "dd"
    assert "died 3 times (WorkerCrashedError" in ends["b"]
    assert ends["c"] == "RuntimeError: this one fails"
    assert ends["e"] == "again"
    # A message may be lost with the worker that sent it, but none is invented.
    assert all(message in (("a", {"got": "a"}), ("d", {"got": "d"})) for message in received)


def test_a_model_that_no_node_can_hold_is_refused_with_both_sizes(encoder, cluster):
    large = dataclasses.replace(encoder, n_parameters=10**9, n_trained=10**9)

    with pytest.raises(AssayError, match=r"needs 23\.2 GiB of memory.*largest node.* 2\.0"):
        cluster.needs(large, FinetuneConfig())
    assert cluster.n_slots(encoder, FinetuneConfig()) == 3


def test_a_node_with_another_code_is_refused_by_name(cluster, monkeypatch):
    assert len(checks.check_versions(cluster._cluster)) == 3
    monkeypatch.setattr(checks, "_code_hash", lambda: "changed")

    with pytest.raises(AssayError, match=r"node .* has code of Assay \w+ \(here changed\)"):
        checks.check_versions(cluster._cluster)


def test_a_port_where_something_else_listens_is_refused_in_bounded_time(monkeypatch):
    monkeypatch.setattr(connect, "_ANSWER_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(Incomplete, match=f"no head node of Ray answers at {address}"):
            connect.check_answers(address)


def test_a_driver_that_is_killed_goes_on_with_the_same_command(
    nodes, tiny_encoder, store, tmp_path
):
    command = [sys.executable, "-m", "entrypoints.finetune"]
    settings = {
        "cluster": nodes.address,
        "encoder": tiny_encoder,
        "workspace": tmp_path / "work",
        "max_train": 40,
        "max_validation": 16,
        "max_test": 24,
        "seeds": 3,
        "epochs": 30,
        "workers": 1,
        "precision": "fp32",
    }
    command += [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    driver = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    seeds = tmp_path / "work" / "seeds"
    while driver.poll() is None and not list(seeds.glob("[0-9a-f]*/result.json")):
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    first = {path: path.stat().st_mtime_ns for path in seeds.glob("[0-9a-f]*/result.json")}
    assert 1 <= len(first) < 3

    again = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)

    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert len(list(seeds.glob("[0-9a-f]*/result.json"))) == 3
    assert "classifier" in again.stdout
