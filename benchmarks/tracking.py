"""Measure what logging costs beside MLflow's own calls, on a real tracking server with SQLite.

    python -m benchmarks.tracking                          # all parts: 15 minutes on two cores
    python -m benchmarks.tracking --only examples,seed     # without the experiment
    python -m benchmarks.tracking --only new               # a new SQLite store, without a server

Both sides run in turn on this machine, and so does the server. Requests are those that the client
sends. Times are medians over the repeats; the range of a ratio over the repeats stands behind it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import mlflow
import numpy as np
import pandas as pd
import requests
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from benchmarks import command
from benchmarks.machine import Report, Row, alternate, machine_lines, seconds_of, speedup_row
from benchmarks.store import experiment
from benchmarks.store_new import new
from benchmarks.store_time import StoreTime
from benchmarks.tracking_server import server
from entrypoints import main as experiment_command
from project.config.loading import defaults
from project.data.tables import LOG_PROBABILITY
from project.support.parquet import write_table
from project.tracking import Child, Record, children, read_artifact, read_run, root_run
from project.tracking.outbox import Outbox

TEXTS = 5000
NUMBERS = 5  # for each text
_BATCH = 1000  # the most metrics that a request may have
MAX_SHARE = 0.01  # of an experiment's time
N_CALLS = 500  # of log_metric that are measured in a repeat
N_RUNS = 20  # annotation runs that are logged in a repeat
_PACKAGES = ("mlflow", "SQLAlchemy", "pyarrow")


def examples(repeats: int, report: Report) -> None:
    """One annotation run with the numbers of 5,000 texts, beside ``log_batch`` of metrics.

    The batches are as large as MLflow allows. The usual way is a call of ``log_metric`` for each.
    """
    with server() as folder, root_run("experiment", "benchmark", {}, str(folder)) as tracker:
        write_table(folder / "annotations.parquet", _annotations())
        run_id = MlflowClient().create_run("0").info.run_id
        child = Child(
            "annotate",
            "annotation",
            "digest",
            {"split": "train"},
            metrics={"accuracy": 0.5},
            files={"annotations.parquet": folder / "annotations.parquet"},
            description="",
        )

        def ours(_: int) -> float:
            return seconds_of(lambda: [tracker.log_child(child) for _ in range(N_RUNS)]) / N_RUNS

        def theirs(repeat: int) -> float:
            client = MlflowClient()

            def log() -> None:
                for step in range(N_CALLS):
                    client.log_metric(run_id, "entropy_bits", 0.5, step=repeat * N_CALLS + step)

            return seconds_of(log) * TEXTS / N_CALLS

        def batches(repeat: int) -> float:
            client = MlflowClient()
            metrics = [
                Metric(f"number_{number}", 0.5, 0, repeat * TEXTS + text)
                for number in range(NUMBERS)
                for text in range(TEXTS)
            ]

            def log() -> None:
                for start in range(0, len(metrics), _BATCH):
                    client.log_batch(run_id, metrics=metrics[start : start + _BATCH])

            return seconds_of(log)

        seconds = alternate({"ours": ours, "batches": batches, "theirs": theirs}, repeats)
    measure = f"{NUMBERS} numbers for each of {TEXTS:,} texts as an annotation run, against "
    each_number = [NUMBERS * value for value in seconds["theirs"]]
    report.rows += [
        speedup_row(
            f"{measure}log_batch of {_BATCH:,}", seconds["ours"], seconds["batches"], target=1.0
        ),
        speedup_row(f"{measure}log_metric for each", seconds["ours"], each_number, target=None),
    ]
    report.notes.append(
        f"examples: a repeat logs {N_RUNS} annotation runs and takes their mean; log_metric is "
        f"called {N_CALLS} times, its time is scaled to all calls."
    )


def _annotations() -> pd.DataFrame:
    """An annotations table with random distributions over four classes."""
    random = np.random.default_rng(0)
    values = np.log(random.dirichlet(np.ones(4), TEXTS))
    columns = {f"{LOG_PROBABILITY}{name}": values[:, k] for k, name in enumerate("abcd")}
    return pd.DataFrame(
        {
            "example_id": [f"{number:016x}" for number in range(TEXTS)],
            "draw": 0,
            "label_mass": random.random(TEXTS),
            **columns,
        }
    )


class SeedContent(NamedTuple):
    """What is logged of a seed: a run of an experiment, its files, its epochs and its inputs."""

    run: Record
    files: Mapping[str, Path]
    epochs: Sequence[tuple[int, dict[str, float]]]
    inputs: Sequence[tuple[str, str, str]]


def seed(repeats: int, report: Report) -> None:
    """A seed's run as an experiment logs it, beside MLflow in batches and call by call."""
    with server() as folder:
        root_id = experiment(folder, arm_kinds="entropy", shares="5", seeds=1)
        content = _seed_content(folder, root_id)
        run = content.run
        counts: dict[str, list[int]] = {"ours": [], "batches": [], "theirs": []}
        with root_run("experiment", "benchmark", {}, str(folder)) as tracker:

            def ours(_: int) -> float:
                child = Child(
                    "seed",
                    "seed",
                    "digest",
                    run.params,
                    metrics=run.metrics,
                    files=content.files,
                    description="a seed",
                    history=content.epochs,
                    inputs=content.inputs,
                )
                return _count_requests(counts["ours"], lambda: tracker.log_child(child))

            def theirs(_: int) -> float:
                return _count_requests(counts["theirs"], lambda: _log_fluently(root_id, content))

            def batches(_: int) -> float:
                return _count_requests(counts["batches"], lambda: _log_in_batches(root_id, content))

            seconds = alternate({"ours": ours, "batches": batches, "theirs": theirs}, repeats)
    n_epoch_metrics = sum(len(metrics) for _, metrics in content.epochs)
    size = f"{len(run.params)} parameters, {len(run.metrics) + n_epoch_metrics} metrics"
    medians = {side: statistics.median(count) for side, count in counts.items()}
    for side, words in (("batches", "log_batch and log_inputs"), ("theirs", "call by call")):
        report.rows.append(
            speedup_row(
                f"a seed's run ({size}), {medians['ours']:g} requests, against the client's "
                f"{words}, {medians[side]:g} requests",
                seconds["ours"],
                seconds[side],
                target=1.0 if side == "batches" else None,
            )
        )


def _seed_content(folder: Path, root_id: str) -> SeedContent:
    """The first seed of an experiment; its files are copied to ``folder``."""
    run = children(read_run(root_id), "seed")[0]
    files = {}
    for name in ("labels.parquet", "predictions.parquet", "history.json"):
        files[name] = folder / name
        files[name].write_bytes(read_artifact(run, name))
    return SeedContent(
        run,
        files,
        epochs=[(step, {f"epoch_{name}": 0.5 for name in range(6)}) for step in (1, 2, 3)],
        inputs=[("task/train", "0" * 64, "training"), ("task/test", "1" * 64, "test")],
    )


def _log_fluently(parent: str, content: SeedContent) -> None:
    """Log the same content with one call of the fluent API for each thing."""
    run = content.run
    with mlflow.start_run(experiment_id="0", run_name="seed", parent_run_id=parent):
        for name, text in run.params.items():
            mlflow.log_param(name, text)
        for name, value in run.metrics.items():
            mlflow.log_metric(name, value)
        for step, values in content.epochs:
            for name, value in values.items():
                mlflow.log_metric(name, value, step=step)
        for name, text in run.tags.items():
            if not name.startswith("mlflow."):
                mlflow.set_tag(name, text)
        for name, digest, context in content.inputs:
            table = pd.DataFrame({"example_id": ["a"], "label": ["b"]})
            data = mlflow.data.from_pandas(  # type: ignore[attr-defined]  # set at run time
                table, source=name, name=name, digest=digest[:36]
            )
            mlflow.log_input(data, context=context)
        for file in content.files.values():
            mlflow.log_artifact(str(file))


def _log_in_batches(parent: str, content: SeedContent) -> None:
    """Log the same content with as few calls of the client as it allows."""
    client = MlflowClient()
    run = client.create_run("0", run_name="seed", tags={"mlflow.parentRunId": parent})
    run_id = run.info.run_id
    epochs = [
        Metric(name, value, 0, step)
        for step, values in content.epochs
        for name, value in values.items()
    ]
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, 0, 0) for name, value in content.run.metrics.items()] + epochs,
        params=[Param(name, text) for name, text in content.run.params.items()],
        tags=[
            RunTag(name, text)
            for name, text in content.run.tags.items()
            if not name.startswith("mlflow.")
        ],
    )
    inputs = []
    for name, digest, context in content.inputs:
        table = pd.DataFrame({"example_id": ["a"], "label": ["b"]})
        data = mlflow.data.from_pandas(  # type: ignore[attr-defined]  # set at run time
            table, source=name, name=name, digest=digest[:36]
        )
        tag = InputTag("mlflow.data.context", context)
        inputs.append(DatasetInput(data._to_mlflow_entity(), [tag]))
    client.log_inputs(run_id, datasets=inputs)
    for file in content.files.values():
        client.log_artifact(run_id, str(file))
    client.set_terminated(run_id)


def _count_requests(counts: list[int], work: Callable[[], Any]) -> float:
    """Seconds of ``work``; the number of requests that it sends is added to ``counts``."""
    send = requests.Session.send
    n_sent = 0

    def count(session: requests.Session, request: Any, **options: Any) -> Any:
        nonlocal n_sent
        n_sent += 1
        return send(session, request, **options)

    with mock.patch.object(requests.Session, "send", count):
        seconds = seconds_of(work)
    counts.append(n_sent)
    return seconds


def share(_: int, report: Report) -> None:
    """The share of an experiment's time that goes to the store: the demo, once."""
    store_time = StoreTime()
    timed = (
        (Outbox, Outbox.put.__name__),
        (Outbox, Outbox.flush.__name__),
        (requests.Session, "send"),
    )
    with server() as folder, contextlib.ExitStack() as stack:
        params = {**defaults("main"), "workspace": str(folder / "work")}
        for owner, name in timed:
            function = store_time.timed(getattr(owner, name))
            stack.enter_context(mock.patch.object(owner, name, function))
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        total = seconds_of(lambda: experiment_command.experiment(params))
    part = store_time.idle / total
    report.rows.append(
        Row(
            f"tracking's share of an experiment of {total:.0f} s "
            f"({params['seeds']} seeds of each of {params['arms']})",
            f"{store_time.idle:.2f} s",
            f"{total:.0f} s",
            f"{part:.2%}",
            target=f"<= {MAX_SHARE:.0%}",
            met=part <= MAX_SHARE,
        )
    )
    report.notes.append(
        f"share: something was on its way to or from the store for {store_time.seconds:.2f} s "
        f"({store_time.seconds / total:.2%}), preflight, searches and the report included. "
        "Trainings go on meanwhile on the cores that the server runs on as well, and make it "
        "slower; what they computed in that time, in seconds of the whole machine, is not "
        "tracking's."
    )


PARTS: dict[str, Callable[[int, Report], None]] = {
    "examples": examples,
    "seed": seed,
    "share": share,
    "new": new,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if a target was missed."""
    options = command.parser(__doc__, PARTS, repeats=5).parse_args(arguments)
    report = Report()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    lines = ["## Tracking", "", *machine_lines(), f"- compared and used: {versions}"]
    for name in options.only:
        sys.stderr.write(f"{name} ...\n")
        PARTS[name](options.repeats, report)
    return command.conclude(lines, report, options)


if __name__ == "__main__":
    sys.exit(main())
