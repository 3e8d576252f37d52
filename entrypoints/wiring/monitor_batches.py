"""The batches that a monitor has seen: their runs, and the sample of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from project.stats.types import Floats
from project.support.errors import AssayError, UnusableRun
from project.support.parquet import read_table as read_local
from project.support.parquet import write_table
from project.tracking import BATCH, MONITOR, Record, finished_with_tag, read_table

SAMPLE = "sample.parquet"
"""Artifact of a batch: what the tests read of its texts."""
NUMBER = "monitor.number"
OF_BATCH = "monitor.p_of_batch"
SO_FAR = "monitor.p_so_far"


class Monitor(NamedTuple):
    """One monitor, in the workspace and in the store.

    Attributes
    ----------
    key
        Digest of the classifier, the old texts, and the settings of the tests.
    folder
        Its files in the workspace.
    batches
        The runs of the batches in their order.
    """

    key: str
    folder: Path
    batches: Sequence[Record]

    @property
    def next_number(self) -> int:
        """The number of the next batch, from 1."""
        return max((number_of(run) for run in self.batches), default=0) + 1

    def find(self, digest: str) -> Record | None:
        """The run of a batch that was seen already."""
        return next((run for run in self.batches if run.tags.get(BATCH) == digest), None)

    def p_values(self) -> tuple[Floats, dict[int, float]]:
        """The p-values of every batch ``(n,)``, and those of all so far by number.

        A batch whose run was deleted counts with 1, which is no evidence.
        """
        of_batches = np.ones(self.next_number - 1)
        so_far = {}
        for run in self.batches:
            of_batches[number_of(run) - 1] = run.metrics[OF_BATCH]
            if SO_FAR in run.metrics:
                so_far[number_of(run)] = run.metrics[SO_FAR]
        return of_batches, so_far


def open_monitor(key: str, workspace: Path) -> Monitor:
    """The monitor with this key, which may have no batches yet."""
    runs = [
        run for run in finished_with_tag(MONITOR, key) if {NUMBER, OF_BATCH} <= run.metrics.keys()
    ]
    return Monitor(key, workspace / "monitors" / key, sorted(runs, key=number_of))


def number_of(run: Record) -> int:
    """The number of a batch, from 1."""
    return int(run.metrics[NUMBER])


def sample_of(monitor: Monitor, run: Record) -> pd.DataFrame:
    """The sample of an earlier batch, from the workspace or else from the store.

    Raises
    ------
    AssayError
        If neither has it.
    """
    file = monitor.folder / f"{run.run_id}.parquet"
    if file.is_file():
        return read_local(file)
    try:
        table = read_table(run.run_id, SAMPLE)
    except UnusableRun as error:
        raise AssayError(
            f"workspace must hold the sample of batch {number_of(run)} of this monitor, {file}; it "
            f"does not, and {error} Set workspace to the folder of the earlier calls, or begin a "
            "new monitor with another reference."
        ) from None
    write_table(file, table)
    return table
