"""Measure what logging costs, beside MLflow's fluent API: both sides in one run, in turn, on a real tracking server with SQLite on this machine.

    python -m benchmarks.tracking                          # all parts: about a quarter of an hour on two cores
    python -m benchmarks.tracking --only examples,seed     # without the experiment

Requests are those that leave the client. Times are medians over the repeats; behind a ratio stands its range over the repeats.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import mlflow
import numpy as np
import pandas as pd
import psutil
import requests
from mlflow.tracking import MlflowClient

from benchmarks.command import conclude, names
from benchmarks.machine import Report, Row, describe, faster, in_turn, wall
from benchmarks.store import experiment
from entrypoints import main as experiment_command
from project.config.loading import defaults
from project.data.tables import LOG_PROBABILITY
from project.support.parquet import write_table
from project.tracking import Child, Tracker, children, read_artifact, read_run, root_run

TEXTS, NUMBERS, SLICE, RUNS, MOST_SHARE = 5000, 5, 500, 20, 0.01
_PACKAGES = ("mlflow", "SQLAlchemy", "pyarrow")


def examples(repeats: int, out: Report) -> None:
    """The label mass and class distribution of 5,000 texts as one annotation run, against a metric for each number, and for one number a text."""
    with server() as folder, root_run("experiment", "benchmark", {}, str(folder)) as tracker:
        write_table(folder / "annotations.parquet", _annotations())
        other = MlflowClient().create_run("0").info.run_id

        def ours(_: int) -> float:
            files = {"annotations.parquet": folder / "annotations.parquet"}
            child = Child(
                "annotate", "annotation", "digest", {"split": "train"}, metrics={"accuracy": 0.5}, files=files, description=""
            )
            return wall(lambda: [tracker.log_child(child) for _ in range(RUNS)]) / RUNS

        def theirs(repeat: int) -> float:
            client = MlflowClient()

            def log() -> None:
                for step in range(SLICE):
                    client.log_metric(other, "entropy_bits", 0.5, step=repeat * SLICE + step)

            return wall(log) * TEXTS / SLICE

        found = in_turn({"ours": ours, "theirs": theirs}, repeats)
    measure = f"{NUMBERS} numbers for each of {TEXTS:,} texts as an annotation run, against log_metric for each"
    out.rows.append(
        faster(
            measure,
            found["ours"],
            [NUMBERS * seconds for seconds in found["theirs"]],
            target=1000.0,
        )
    )
    out.rows.append(
        faster(
            "the same, against log_metric of one number for each text",
            found["ours"],
            found["theirs"],
            target=None,
        )
    )
    out.notes.append(
        f"examples: a repeat logs {RUNS} annotation runs and takes their mean; log_metric is called {SLICE} times, its time is scaled to all calls."
    )


def _annotations() -> pd.DataFrame:
    random = np.random.default_rng(0)
    values = np.log(random.dirichlet(np.ones(4), TEXTS))
    shares = {f"{LOG_PROBABILITY}{name}": values[:, place] for place, name in enumerate("abcd")}
    return pd.DataFrame(
        {
            "example_id": [f"{number:016x}" for number in range(TEXTS)],
            "draw": 0,
            "label_mass": random.random(TEXTS),
            **shares,
        }
    )


def seed(repeats: int, out: Report) -> None:
    """A seed's run as an experiment logs it, against the fluent API call by call: requests and seconds."""
    with server() as folder:
        run_id = experiment(folder, arm_kinds="entropy", shares="5", seeds=1)
        run = children(read_run(run_id), "seed")[0]
        files = {}
        for path in ("labels.parquet", "predictions.parquet", "history.json"):
            files[path] = folder / path
            files[path].write_bytes(read_artifact(run, path))
        epochs = [(step, {f"epoch_{name}": 0.5 for name in range(6)}) for step in (1, 2, 3)]
        inputs = [("task/train", "0" * 64, "training"), ("task/test", "1" * 64, "test")]
        counts: dict[str, list[int]] = {"ours": [], "theirs": []}
        with root_run("experiment", "benchmark", {}, str(folder)) as tracker:

            def ours(_: int) -> float:
                child = Child(
                    "seed",
                    "seed",
                    "digest",
                    run.params,
                    metrics=run.metrics,
                    files=files,
                    description="a seed",
                    history=epochs,
                    inputs=inputs,
                )
                return _counted(counts["ours"], lambda: tracker.log_child(child))

            def theirs(_: int) -> float:
                return _counted(
                    counts["theirs"],
                    lambda: _call_by_call(
                        run_id, run.params, run.metrics, run.tags, epochs, inputs, files
                    ),
                )

            found = in_turn({"ours": ours, "theirs": theirs}, repeats)
    least, most = statistics.median(counts["ours"]), statistics.median(counts["theirs"])
    measure = f"requests for a seed's run ({len(run.params)} parameters, {len(run.metrics) + 18} metrics), against the fluent API call by call"
    out.rows.append(
        Row(measure, f"{least:g}", f"{most:g}", f"{most / least:.1f}×", ">= 5×", most / least >= 5)
    )
    out.rows.append(faster("the same, seconds", found["ours"], found["theirs"], target=None))


def _call_by_call(
    parent: str,
    params: Any,
    metrics: Any,
    tags: Any,
    epochs: Sequence[tuple[int, dict[str, float]]],
    inputs: Sequence[tuple[str, str, str]],
    files: dict[str, Path],
) -> None:
    """The same content as one writes it down first: a call for each thing."""
    with mlflow.start_run(experiment_id="0", run_name="seed", parent_run_id=parent):
        for name, value in params.items():
            mlflow.log_param(name, value)
        for name, value in metrics.items():
            mlflow.log_metric(name, value)
        for step, values in epochs:
            for name, value in values.items():
                mlflow.log_metric(name, value, step=step)
        for name, value in tags.items():
            if not name.startswith("mlflow."):
                mlflow.set_tag(name, value)
        for name, digest, context in inputs:
            table = pd.DataFrame({"example_id": ["a"], "label": ["b"]})
            mlflow.log_input(
                mlflow.data.from_pandas(table, source=name, name=name, digest=digest[:36]),
                context=context,
            )
        for file in files.values():
            mlflow.log_artifact(str(file))


def _counted(counts: list[int], work: Callable[[], Any]) -> float:
    """Seconds of ``work``; the requests that it sends are added to ``counts``."""
    sent, send = [0], requests.Session.send

    def count(session: requests.Session, request: Any, **more: Any) -> Any:
        sent[0] += 1
        return send(session, request, **more)

    with mock.patch.object(requests.Session, "send", count):
        seconds = wall(work)
    counts.append(sent[0])
    return seconds


def share(_: int, out: Report) -> None:
    """The part of an experiment's time that goes to the store: the demo, once."""
    with server() as folder:
        params = {
            **defaults("main"),
            "workspace": str(folder / "work"),
        }
        talk = _Talk()
        with contextlib.ExitStack() as stack:
            for owner, name in ((Tracker, "_put"), (Tracker, "settle"), (requests.Session, "send")):
                stack.enter_context(
                    mock.patch.object(owner, name, talk.clocked(getattr(owner, name)))
                )
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
            whole = wall(lambda: experiment_command.experiment(params))
    what = f"an experiment of {whole:.0f} s ({params['seeds']} seeds of each of {params['arms']})"
    part = talk.held / whole
    out.rows.append(
        Row(
            f"tracking's share of {what}",
            f"{talk.held:.2f} s",
            f"{whole:.0f} s",
            f"{part:.2%}",
            f"<= {MOST_SHARE:.0%}",
            part <= MOST_SHARE,
        )
    )
    out.notes.append(
        f"share: something was on its way to or from the store for {talk.seconds:.2f} s ({talk.seconds / whole:.2%}), preflight, searches and the "
        "report included. Trainings go on meanwhile on the cores that the server runs on as well, and make it slower; what they computed in that "
        "time, in seconds of the whole machine, is not tracking's."
    )


class _Talk:
    """Seconds in which something is kept for the store, or is on its way to it or from it; ``held``: those in which no core trained."""

    def __init__(self) -> None:
        self.seconds, self.held = 0.0, 0.0
        self._lock, self._talking = threading.Lock(), 0
        self._began, self._trained = 0.0, dict[psutil.Process, float]()

    def clocked(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            with self._lock:
                self._talking += 1
                if self._talking == 1:
                    self._trained, self._began = (
                        {one: _computed(one) for one in _training()},
                        time.perf_counter(),
                    )
            try:
                return work(*arguments, **more)
            finally:
                with self._lock:
                    self._talking -= 1
                    if not self._talking:
                        seconds = time.perf_counter() - self._began
                        self.seconds += seconds
                        trained = sum(
                            max(0.0, _computed(one) - before)
                            for one, before in self._trained.items()
                        )
                        self.held += seconds - min(seconds, trained / len(os.sched_getaffinity(0)))

        return call


def _training() -> list[psutil.Process]:
    """The processes that train: all that this one has started but the server, which has a session of its own."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(process.pid) == os.getsid(0):
                found.append(process)
    return found


def _computed(process: psutil.Process) -> float:
    """Seconds of a core that it has computed so far, 0 once it is gone."""
    with contextlib.suppress(psutil.Error):
        return float(sum(process.cpu_times()[:2]))
    return 0.0


@contextlib.contextmanager
def server() -> Iterator[Path]:
    """A folder with a tracking server of its own, to which MLflow and Assay point in the context."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = [
            "--backend-store-uri",
            f"sqlite:///{folder}/mlflow.db",
            "--artifacts-destination",
            str(folder / "artifacts"),
            "--workers",
            "1",
        ]
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            *arguments,
        ]
        settings = {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env={**os.environ, **settings},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            _wait(f"{url}/health")
            with mock.patch.dict(
                os.environ, {"MLFLOW_TRACKING_URI": url, "ASSAY_CACHE": str(folder / "cache")}
            ):
                mlflow.set_tracking_uri(url)
                yield folder
        finally:
            mlflow.set_tracking_uri("")
            process.terminate()
            process.wait(30)


def _wait(address: str) -> None:
    for _ in range(300):
        with (
            contextlib.suppress(OSError, urllib.error.URLError),
            urllib.request.urlopen(address, timeout=5),
        ):
            return
        time.sleep(0.2)
    raise RuntimeError("the tracking server did not start")


PARTS: dict[str, Callable[[int, Report], None]] = {
    "examples": examples,
    "seed": seed,
    "share": share,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit status whether every target was met."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--only",
        type=names(tuple(PARTS)),
        default=list(PARTS),
        metavar="PART,...",
        help=f"parts to run: {', '.join(PARTS)}",
    )
    made.add_argument("--repeats", type=int, default=5)
    made.add_argument("--out", type=Path, help="file to write the report to as well")
    options = made.parse_args(arguments)
    out = Report()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    lines = ["## Tracking", "", *describe(), f"- compared and used: {versions}"]
    for name in options.only:
        sys.stderr.write(f"{name} ...\n")
        PARTS[name](options.repeats, out)
    return conclude(lines, out, options.out)


if __name__ == "__main__":
    sys.exit(main())
