"""Measure what logging costs beside MLflow's fluent API, on a real tracking server with SQLite.

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
MIN_EXAMPLES_RATIO = 1000.0
MIN_REQUESTS_RATIO = 5
MAX_SHARE = 0.01  # of an experiment's time
N_CALLS = 500  # of log_metric that are measured in a repeat
N_RUNS = 20  # annotation runs that are logged in a repeat
_PACKAGES = ("mlflow", "SQLAlchemy", "pyarrow")


def examples(repeats: int, report: Report) -> None:
    """One annotation run with the numbers of 5,000 texts, beside a metric for each number.

    Also beside a metric for one number of each text.
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

        seconds = alternate({"ours": ours, "theirs": theirs}, repeats)
    measure = (
        f"{NUMBERS} numbers for each of {TEXTS:,} texts as an annotation run, "
        "against log_metric for each"
    )
    each_number = [NUMBERS * value for value in seconds["theirs"]]
    report.rows.append(
        speedup_row(measure, seconds["ours"], each_number, target=MIN_EXAMPLES_RATIO)
    )
    measure = "the same, against log_metric of one number for each text"
    report.rows.append(speedup_row(measure, seconds["ours"], seconds["theirs"], target=None))
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
    """A seed's run as an experiment logs it, beside the fluent API: requests and seconds."""
    with server() as folder:
        root_id = experiment(folder, arm_kinds="entropy", shares="5", seeds=1)
        content = _seed_content(folder, root_id)
        run = content.run
        counts: dict[str, list[int]] = {"ours": [], "theirs": []}
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

            seconds = alternate({"ours": ours, "theirs": theirs}, repeats)
    n_ours = statistics.median(counts["ours"])
    n_theirs = statistics.median(counts["theirs"])
    n_epoch_metrics = sum(len(metrics) for _, metrics in content.epochs)
    report.rows.append(
        Row(
            f"requests for a seed's run ({len(run.params)} parameters, "
            f"{len(run.metrics) + n_epoch_metrics} metrics), against the fluent API call by call",
            f"{n_ours:g}",
            f"{n_theirs:g}",
            f"{n_theirs / n_ours:.1f}×",
            target=f">= {MIN_REQUESTS_RATIO}×",
            met=n_theirs / n_ours >= MIN_REQUESTS_RATIO,
        )
    )
    report.rows.append(
        speedup_row("the same, seconds", seconds["ours"], seconds["theirs"], target=None)
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
    return command.conclude(lines, report, options.out)


if __name__ == "__main__":
    sys.exit(main())
