"""How fast runs are read from a store, and how long the report of an experiment takes."""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import mlflow
import numpy as np
import pandas as pd

from analysis import report as report_command
from analysis.questions import arms, experiment_report
from analysis.questions.verdict import verdict
from analysis.render.page import page
from analysis.store.experiment import read_experiment
from analysis.store.publish import log_report
from analysis.store.runs import METRIC_PREFIX, PARAM_PREFIX, run_table
from benchmarks.machine import Report, Row, alternate, seconds_of, speedup_row
from benchmarks.store import DRAWS, TEST, TRAIN, experiment, new_store
from benchmarks.store_copies import copy_seed_run
from project.tracking import KIND, children, read_run

N_RUNS = 5000
MAX_REPORT_SECONDS = 20.0


def runs(repeats: int, report: Report) -> None:
    """The typed table of all seed runs beside ``mlflow.search_runs``.

    Our side is read twice, with an empty cache and again.
    """
    with new_store() as folder:
        root_id = experiment(folder, arm_kinds="entropy", shares="5", seeds=1)
        template = children(read_run(root_id), "seed")[0]
        copy_seed_run(folder, template.run_id, N_RUNS - 1)
        tables: dict[str, pd.DataFrame] = {}

        def search() -> None:
            tables["theirs"] = mlflow.search_runs(
                search_all_experiments=True,
                filter_string=f"tags.`{KIND}` = 'seed'",
                max_results=N_RUNS,
            )

        def read() -> None:
            tables["ours"] = run_table()

        def read_twice(repeat: int) -> tuple[float, float]:
            os.environ["ASSAY_CACHE"] = str(folder / f"cache{repeat}")
            return seconds_of(read), seconds_of(read)

        read()  # the first query of a process opens the store
        seconds = alternate({"ours": read_twice, "theirs": lambda _: seconds_of(search)}, repeats)
    same = _same(tables["ours"], tables["theirs"])
    shape = f"{len(template.params)} parameters, {len(template.metrics)} metrics"
    for index, (words, target) in enumerate((("with an empty cache", 1.0), ("again", 20.0))):
        measure = (
            f"table of {len(tables['ours']):,} seed runs ({shape}) {words}, "
            "against mlflow.search_runs"
        )
        ours = [both[index] for both in seconds["ours"]]
        row = speedup_row(measure, ours, seconds["theirs"], target=target)
        report.rows.append(row._replace(met=bool(row.met) and same))
    report.notes.append(
        "runs: one seed run logged as an experiment logs it, its rows copied within a local sqlite "
        "store, 7 minutes apart, with seeds and scores of their own; both tables hold the same "
        f"runs and numbers: {'yes' if same else 'NO'}."
    )


def _same(ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    """Whether both tables hold the same runs with the same metrics and parameters."""
    ours = ours.set_index("run_id").sort_index()
    theirs = theirs.set_index("run_id").sort_index()
    if len(ours) != N_RUNS or list(ours.index) != list(theirs.index):
        return False
    for prefix in (METRIC_PREFIX, PARAM_PREFIX):
        if _columns(ours, prefix) != _columns(theirs, prefix):
            return False
    metrics = _columns(ours, METRIC_PREFIX)
    our_numbers = ours[metrics].to_numpy(float)
    their_numbers = theirs[metrics].to_numpy(float)
    seed = f"{PARAM_PREFIX}seed"
    return bool(
        np.array_equal(our_numbers, their_numbers, equal_nan=True)
        and (ours[seed] == theirs[seed].astype(int)).all()
    )


def _columns(table: pd.DataFrame, prefix: str) -> list[str]:
    return sorted(name for name in table if name.startswith(prefix))


def whole_report(repeats: int, report: Report) -> None:
    """The report of an experiment with the time of each of its parts, and its command."""
    with new_store() as folder:
        run_id = experiment(folder)
        workspace = str(folder / "work")
        n_arms = len(read_experiment(run_id).arms)
        n_seeds = len(children(read_run(run_id), "seed"))
        parts: list[dict[str, float]] = [{} for _ in range(repeats)]
        times = []
        for seconds_by_part in parts:
            with contextlib.redirect_stdout(io.StringIO()), _timed_parts(seconds_by_part):
                times.append(seconds_of(lambda: report_command.publish(run_id, workspace)))
        arguments = ["--run_id", run_id, "--workspace", workspace]
        command_seconds = seconds_of(
            lambda: subprocess.run(
                [sys.executable, "-m", "analysis.report", *arguments],
                check=True,
                capture_output=True,
                cwd=Path(__file__).parents[1],
            )
        )
    seconds = statistics.median(times)
    report.rows.append(
        Row(
            f"report: {n_arms} arms, {n_seeds} seeds, {TEST:,} test examples, "
            f"{TRAIN:,} training texts × {DRAWS} draws",
            f"{seconds:.3g} s",
            target=f"< {MAX_REPORT_SECONDS:g} s",
            met=seconds < MAX_REPORT_SECONDS,
        )
    )
    report.rows += _part_rows(parts, seconds)
    report.rows.append(
        Row("report: the command, start of Python and imports included", f"{command_seconds:.3g} s")
    )
    report.notes.append(
        "report: a part that several share, such as the resampled scores, counts where it is "
        "first needed."
    )


def _part_rows(parts: list[dict[str, float]], total: float) -> list[Row]:
    """Median seconds of each part, and of everything else."""
    medians = {name: statistics.median(part[name] for part in parts) for name in parts[0]}
    medians["everything else"] = total - sum(medians.values())
    return [
        Row(f"report: {name}", f"{seconds:.2f} s", ratio=f"{seconds / total:.0%}")
        for name, seconds in medians.items()
    ]


@contextlib.contextmanager
def _timed_parts(seconds_by_part: dict[str, float]) -> Iterator[None]:
    """Add the seconds of the report's parts to ``seconds_by_part`` inside the context."""

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            results: list[Any] = []
            seconds = seconds_of(lambda: results.append(function(*arguments, **options)))
            seconds_by_part[name] = seconds_by_part.get(name, 0.0) + seconds
            return results[0]

        return call

    functions: list[tuple[Any, Callable[..., Any]]] = [
        (experiment_report, read_experiment),
        (experiment_report, verdict),
        (experiment_report, page),
        (experiment_report, log_report),
        (arms, arms.sections),
        (arms, arms.brief),
    ]
    with contextlib.ExitStack() as stack:
        for module, function in functions:
            label = f"{function.__module__.split('.')[-1]}.{function.__name__}"
            replacement = timed(label, function)
            stack.enter_context(mock.patch.object(module, function.__name__, replacement))
        sections = [
            timed(section.__module__.split(".")[-1], section)
            for section in experiment_report.MORE_SECTIONS
        ]
        stack.enter_context(mock.patch.object(experiment_report, "MORE_SECTIONS", sections))
        yield
