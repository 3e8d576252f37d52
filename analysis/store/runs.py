"""A table of every finished run of the store, kept in the cache, so that only new runs are read.

Seed and annotation runs are logged when they are complete and do not change afterwards, so a row
stays right. Deleted runs and experiments are left out, and return when they are restored. Two kinds
of runs are missed: those whose start a wrong clock puts more than ``MAX_CLOCK_ERROR`` too early,
and those that were deleted before they were first read and then restored. Delete the folder
``runs`` of the cache to read everything anew.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.store.fetch import cache, keep, kept
from project.support.errors import AssayError, UnusableRun
from project.support.parquet import parquet
from project.tracking import (
    ROOT,
    SCHEMA,
    Record,
    experiments,
    newest_runs,
    read_run,
    store_digest,
)

PAGE = 500
FIRST_PAGE = 50
"""Size of the first page if some runs are known: usually nothing is new."""
MAX_CLOCK_ERROR = 10 * 60 * 1000
"""Milliseconds by which the clocks of machines that log to one store may differ."""
PARAM_PREFIX = "params."
METRIC_PREFIX = "metrics."


def run_table(kind: str = "seed") -> pd.DataFrame:
    """Every finished run of ``kind`` in the store, newest first.

    Columns: ``run_id``, ``root``, ``name``, ``schema``, ``started`` (ms), ``experiment_id``,
    ``artifact_uri``, ``params.*`` (numbers, booleans or text) and ``metrics.*``.
    """
    stores = experiments()
    path = cache() / "runs" / store_digest(stores) / f"{kind}.parquet"
    data = kept(path)
    if data is not None:
        known = parquet(data)
    else:
        known = pd.DataFrame(columns=["run_id", "started", "gone"])
    pages = newest_runs(kind, page_size=PAGE, deleted=True)
    gone = known["run_id"].isin({run.run_id for page in pages for run in page})
    # Runs that were deleted and are not among the deleted ones any more: each was restored, or
    # removed for good. To tell these apart costs one request for each.
    returned = known.loc[known["gone"].eq(True) & ~gone, "run_id"]
    removed = [run_id for run_id in returned if not _exists(run_id)]
    with _no_garbage_collection():
        new = _new_runs(kind, known)
    if new or removed or not known["gone"].eq(gone).all():
        rows = pd.DataFrame([_row(run) for run in new])
        still_known = known.assign(gone=gone)[~known["run_id"].isin(removed)]
        parts = [part for part in (rows, still_known) if len(part)]
        known = pd.concat(parts, ignore_index=True) if parts else still_known
        known = known.sort_values("started", ascending=False, kind="stable", ignore_index=True)
        keep(path, known.to_parquet(index=False))
    if known.empty:
        return known
    visible = ~known["gone"].astype(bool) & known["experiment_id"].isin(list(stores))
    return _typed(known[visible].reset_index(drop=True))


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Switch the garbage collector off, which halves the time of reading many runs.

    A local store makes a hundred objects for every run, and all of them stay alive, so that the
    collector visits them in vain (``python -m benchmarks.analysis --only runs``).
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _exists(run_id: str) -> bool:
    """Whether a run that was deleted has been restored rather than removed for good."""
    try:
        read_run(run_id)
    except UnusableRun:
        return False
    return True


def _new_runs(kind: str, known: pd.DataFrame) -> list[Record]:
    """Runs that are not in ``known``.

    Pages, newest runs first, are read until one holds nothing new and is older than the newest
    known run by more than ``MAX_CLOCK_ERROR``.
    """
    run_ids = set(known["run_id"])
    oldest = int(known["started"].max()) - MAX_CLOCK_ERROR if len(known) else 0
    new = []
    for page in newest_runs(kind, page_size=FIRST_PAGE if len(known) else PAGE):
        unknown = [run for run in page if run.run_id not in run_ids]
        new += unknown
        if not unknown and (not page or page[-1].started < oldest):
            break
    return new


def _row(run: Record) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "root": run.tags.get(ROOT, ""),
        "name": run.name,
        "schema": run.tags.get(SCHEMA, ""),
        "started": run.started,
        "gone": False,
        "experiment_id": run.experiment_id,
        "artifact_uri": run.artifact_uri,
        **{PARAM_PREFIX + name: value for name, value in run.params.items()},
        **{METRIC_PREFIX + name: value for name, value in run.metrics.items()},
    }


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Every parameter that holds only numbers, or only True and False, converted from text."""
    typed = table.copy()
    for column in table.columns:
        if not column.startswith(PARAM_PREFIX):
            continue
        texts = table[column].where(table[column] != "None")
        numbers = pd.to_numeric(texts, errors="coerce")
        # One text that is no number keeps the whole column as text.
        if texts.notna().any() and numbers.notna().sum() == texts.notna().sum():
            typed[column] = numbers
        elif set(texts.dropna()) <= {"True", "False"}:
            typed[column] = texts.map({"True": True, "False": False})
        else:
            typed[column] = texts
    return typed


def selected(table: pd.DataFrame, where: Sequence[str]) -> pd.DataFrame:
    """The rows for which every ``NAME=VALUE`` holds; NAME is a parameter, root, name or run_id."""
    for condition in where:
        name, equals, value = condition.partition("=")
        column = name if name in ("root", "run_id", "name") else PARAM_PREFIX + name
        if not equals or column not in table.columns:
            params = [key for key in table.columns if key.startswith(PARAM_PREFIX)]
            known = ", ".join(sorted(key.removeprefix(PARAM_PREFIX) for key in params))
            raise AssayError(
                "where must be NAME=VALUE with a parameter of the runs, root, name or run_id; got "
                f"{condition!r}. Parameters: {known}."
            )
        equal = [_is_equal(cell, value) for cell in table[column]]
        table = table.loc[np.array(equal, dtype=bool)]
    return table.reset_index(drop=True)


def _is_equal(cell: Any, value: str) -> bool:
    """Whether a typed cell equals a value written as text."""
    if isinstance(cell, (bool, str)):
        return str(cell).casefold() == value.casefold()
    try:
        return float(cell) == float(value)
    except (TypeError, ValueError):
        return False
