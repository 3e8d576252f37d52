"""How long it takes to make a new SQLite store."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import mlflow
from mlflow.tracking import MlflowClient

from benchmarks.machine import Report, Row, alternate
from project.tracking.doctor.database import check_database

MAX_SECONDS = 1.0


class _Cost(NamedTuple):
    """Seconds on the clock and on the cores."""

    wall: float
    cpu: float


def new(repeats: int, report: Report) -> None:
    """A new SQLite store as the preflight makes it, beside MLflow's first request to a new one.

    Our side runs twice, with an empty cache folder and again.
    """
    before = os.environ.get("ASSAY_CACHE")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def ours(repeat: int) -> tuple[_Cost, _Cost]:
            os.environ["ASSAY_CACHE"] = str(folder / f"cache{repeat}")
            first, again = (folder / f"{words}{repeat}.db" for words in ("first", "again"))
            return _cost(first, _preflight), _cost(again, _preflight)

        def theirs(repeat: int) -> _Cost:
            return _cost(folder / f"theirs{repeat}.db", _first_request)

        _cost(folder / "warm.db", _first_request)  # imports what both sides need
        costs = alternate({"ours": ours, "theirs": theirs}, repeats)
    mlflow.set_tracking_uri("")
    os.environ.pop("ASSAY_CACHE", None)
    if before is not None:
        os.environ["ASSAY_CACHE"] = before
    for index, words in enumerate(("the first of a version of MLflow", "every later one")):
        target = MAX_SECONDS if index else None
        _add_row(report, words, [both[index] for both in costs["ours"]], costs["theirs"], target)


def _cost(file: Path, make: Callable[[str], object]) -> _Cost:
    """What it costs to make the store in ``file``, which does not exist."""
    uri = f"sqlite:///{file}"
    mlflow.set_tracking_uri(uri)
    wall, cpu = time.perf_counter(), time.process_time()
    make(uri)
    return _Cost(time.perf_counter() - wall, time.process_time() - cpu)


def _preflight(uri: str) -> None:
    check_database(uri, timeout_seconds=10)


def _first_request(_: str) -> None:
    MlflowClient().search_experiments(max_results=1)


def _add_row(
    report: Report, words: str, ours: list[_Cost], theirs: list[_Cost], target: float | None
) -> None:
    wall = statistics.median(cost.wall for cost in ours)
    ratios = sorted(other.wall / own.wall for own, other in zip(ours, theirs, strict=True))
    report.rows.append(
        Row(
            f"a new SQLite store, {words}, against MLflow's migrations",
            _words(ours),
            _words(theirs),
            f"{statistics.median(ratios):.1f}× ({ratios[0]:.1f}–{ratios[-1]:.1f})",
            target=f"< {target:g} s" if target else "",
            met=wall < target if target else None,
        )
    )


def _words(costs: list[_Cost]) -> str:
    wall = statistics.median(cost.wall for cost in costs)
    cpu = statistics.median(cost.cpu for cost in costs)
    return f"{wall:.2f} s ({cpu:.2f} s on the cores)"
