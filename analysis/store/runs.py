"""One typed row for every finished run of the store, kept on this machine: only what is new is asked for again.

Seed and annotation runs are logged when they are complete and do not change afterwards, so that a row once read stays right. Runs and experiments
that are deleted are left out, and are there again when they are restored. What is missed: a run that a wrong clock has put more than ``SKEW`` into
the past, and one that was deleted before it was ever read and then restored. Delete the folder ``runs`` of the cache to read everything anew.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.store.fetch import cache, keep
from project.support.errors import AssayError, UnusableRun
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
FIRST_PAGE = 50  # most often nothing is new
SKEW = 10 * 60 * 1000
PARAM, METRIC = "params.", "metrics."


def run_table(kind: str = "seed") -> pd.DataFrame:
    """Every finished run of ``kind`` in the store, newest first: ``run_id, root, name, started`` (ms), ``params.*`` typed and ``metrics.*``."""
    made = experiments()
    path = cache() / "runs" / store_digest(made) / f"{kind}.parquet"
    known = (
        pd.read_parquet(path)
        if path.is_file()
        else pd.DataFrame(columns=["run_id", "started", "gone"])
    )
    deleted = {run.run_id for page in newest_runs(kind, page_size=PAGE, deleted=True) for run in page}
    gone = known["run_id"].isin(deleted)
    back = [
        name for name in known.loc[known["gone"].eq(True) & ~gone, "run_id"] if not _exists(name)
    ]
    with _uncollected():
        fresh = _fresh(kind, known)
    if fresh or back or not known["gone"].eq(gone).all():
        rows = pd.DataFrame([_row(run) for run in fresh])
        kept = known.assign(gone=gone)[~known["run_id"].isin(back)]
        known = (
            pd.concat([one for one in (rows, kept) if len(one)], ignore_index=True)
            if len(rows) + len(kept)
            else kept
        )
        known = known.sort_values("started", ascending=False, kind="stable", ignore_index=True)
        keep(path, known.to_parquet(index=False))
    if known.empty:
        return known
    return _typed(
        known[~known["gone"].astype(bool) & known["experiment_id"].isin(list(made))].reset_index(
            drop=True
        )
    )


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection in the context: a local store makes a hundred objects for every run, all of them alive, over which it would go in vain.

    It takes half of the time otherwise (``python -m benchmarks.analysis --only runs``).
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _exists(run_id: str) -> bool:
    """Whether a run that was deleted is there again, and not gone for good."""
    try:
        read_run(run_id)
    except UnusableRun:
        return False
    return True


def _fresh(kind: str, known: pd.DataFrame) -> list[Record]:
    """Runs that are not known, read until a page holds nothing new and is older than any clock may be wrong."""
    names, found = set(known["run_id"]), []
    since = int(known["started"].max()) - SKEW if len(known) else 0
    for page in newest_runs(kind, page_size=FIRST_PAGE if len(known) else PAGE):
        new = [run for run in page if run.run_id not in names]
        found += new
        if not new and (not page or page[-1].started < since):
            break
    return found


def _row(run: Record) -> dict[str, Any]:
    named = {
        "run_id": run.run_id,
        "root": run.tags.get(ROOT, ""),
        "name": run.name,
        "schema": run.tags.get(SCHEMA, ""),
        "started": run.started,
        "gone": False,
        "experiment_id": run.experiment_id,
        "artifact_uri": run.artifact_uri,
    }
    return {
        **named,
        **{PARAM + key: value for key, value in run.params.items()},
        **{METRIC + key: value for key, value in run.metrics.items()},
    }


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Parameters as what they are: numbers, true and false, else text."""
    made = table.copy()
    for column in (name for name in table.columns if name.startswith(PARAM)):
        texts = table[column].where(table[column] != "None")
        numbers = pd.to_numeric(texts, errors="coerce")
        if texts.notna().any() and numbers.notna().sum() == texts.notna().sum():
            made[column] = numbers
        elif set(texts.dropna()) <= {"True", "False"}:
            made[column] = texts.map({"True": True, "False": False})
        else:
            made[column] = texts
    return made


def selected(table: pd.DataFrame, where: Sequence[str]) -> pd.DataFrame:
    """The rows for which every ``NAME=VALUE`` holds; NAME is a parameter, ``root`` or ``run_id``."""
    for one in where:
        name, equals, value = one.partition("=")
        column = name if name in ("root", "run_id", "name") else PARAM + name
        if not equals or column not in table.columns:
            known = ", ".join(
                sorted(key.removeprefix(PARAM) for key in table.columns if key.startswith(PARAM))
            )
            raise AssayError(
                f"where must be NAME=VALUE with a parameter of the runs, root, name or run_id; got {one!r}. Parameters: {known}."
            )
        table = table.loc[np.array([_same(found, value) for found in table[column]], dtype=bool)]
    return table.reset_index(drop=True)


def _same(found: Any, value: str) -> bool:
    if isinstance(found, (bool, str)):
        return str(found).casefold() == value.casefold()
    try:
        return float(found) == float(value)
    except (TypeError, ValueError):
        return False
