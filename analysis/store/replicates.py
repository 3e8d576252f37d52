"""The seed runs below a root run: those of each complete arm, and the faults of the others.

An arm is complete if it has all the seeds that its experiment was to train. Other arms are left
out, and a note names the reason: fewer finished seeds, with the number of runs that a crash left
RUNNING, or two different trainings of one seed. Runs of a version with another form do not count.
Of two runs of the same training the later one counts, and a note says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import pandas as pd

from analysis.store.artifacts import MissingResult, above_zero, needs
from analysis.store.fetch import tables
from analysis.store.stored_run import StoredRun, checked_table
from project.config.arms import arm_facts
from project.data.tables import class_columns, codes
from project.stats.contrasts import ScoreSums
from project.stats.types import Codes, Floats, Singles
from project.support.errors import UnusableRun
from project.tracking import DIGEST, SCHEMA, SCHEMA_VERSION, Record, all_children

Key = TypeVar("Key", bound="tuple[Any, ...] | str")


@dataclass(frozen=True)
class Replicates:
    """Seed runs of one arm that differ in their replicate alone, with their test predictions.

    Attributes
    ----------
    runs
        In the order of their replicates.
    predicted
        Class codes ``(n_runs, n_examples)``.
    log_probabilities
        Natural logarithms ``(n_runs, n_examples, n_classes)``, in single precision for the sake of
        memory.
    """

    runs: Sequence[Record]
    predicted: Codes
    log_probabilities: Floats | Singles

    @property
    def trainings(self) -> list[str]:
        """Identity of the training behind every run: its digest, or the run's id without one."""
        return [run.tags.get(DIGEST) or run.run_id for run in self.runs]


def score_sums(arms: Mapping[str, Replicates], stored: StoredRun) -> ScoreSums:
    """The predictions of arms on the test split of their root run, summed up for contrasts."""
    return ScoreSums(
        stored.gold,
        {arm: replicates.predicted for arm, replicates in arms.items()},
        len(stored.label_set),
        trainings={arm: replicates.trainings for arm, replicates in arms.items()},
    )


class CompleteReplicates(NamedTuple, Generic[Key]):
    """The replicates of every complete key, and a note on each key that has a fault."""

    replicates: dict[Key, Replicates]
    notes: tuple[str, ...]


def complete_replicates(
    stored: StoredRun, n_seeds: Mapping[Key, int], key_of: Callable[[Record], Key]
) -> CompleteReplicates[Key]:
    """The replicates of every key that has all of its seeds.

    Parameters
    ----------
    stored
        The root run.
    n_seeds
        How many seeds every key must have, in the order of the result.
    key_of
        Returns the key of a seed's run, for instance its arm.

    Raises
    ------
    MissingResult
        If no seed is finished, or no key is complete.
    """
    runs = _test_seeds(stored)
    complete: dict[Key, list[Record]] = {}
    notes = []
    for key, n in n_seeds.items():
        chosen, faults = _one_run_each([run for run in runs if key_of(run) == key], n)
        if len(chosen) == n:
            complete[key] = chosen
        if faults:
            name = key if isinstance(key, str) else " ".join(map(str, key))
            notes.append(f"{name} ({'; '.join(faults)})")
    if not complete:
        raise MissingResult(
            f"run {stored.root.run_id} holds no arm with all its seeds: {', '.join(notes)}. Run "
            "the same command again to go on."
        )
    replicates = read_replicates(complete, stored.test, stored.label_set)
    return CompleteReplicates(replicates, tuple(notes))


def _test_seeds(stored: StoredRun) -> list[Record]:
    """All seeds that predict the test split, whatever their status, the finished ones checked."""
    runs = [
        run
        for run in all_children(stored.root, "seed")
        if run.params.get("evaluated", "test") == "test"
    ]
    for run in runs:
        if run.status == "FINISHED" and run.tags.get(SCHEMA) == SCHEMA_VERSION:
            check_seed(run)
    # A run that is being logged right now has no parameters yet.
    runs = [run for run in runs if {"arm", "n_examples"} <= run.params.keys()]
    if not any(run.status == "FINISHED" for run in runs):
        raise MissingResult(
            f"run {stored.root.run_id} holds no finished seed. It is no experiment, or it was "
            "stopped early; run the same command again to go on."
        )
    return runs


def check_seed(run: Record) -> None:
    """Raise UnusableRun if a finished seed's run lacks a parameter or metric that reports read."""
    kinds: dict[str, Callable[[str], Any]] = {
        "arm": str,
        "arm_kind": str,
        "seed": int,
        "n_train": int,
        "n_examples": above_zero,
    }
    needs(run, kinds, ("human_labels", "human_share"))
    needs(run, {name: int for name in ("replicate", "trial") if name in run.params})
    if arm_facts(run.params["arm_kind"]).flips:
        needs(run, {"flip_rate": float})


def _one_run_each(runs: Sequence[Record], n_seeds: int) -> tuple[list[Record], list[str]]:
    """One run for each replicate in the order of replicates, and the faults of the runs.

    No run is returned if replicates are missing, or if one has two different trainings.
    """
    faults: list[str] = []
    foreign = [run for run in runs if run.tags.get(SCHEMA) != SCHEMA_VERSION]
    if foreign:
        form = foreign[0].tags.get(SCHEMA)
        faults.append(f"{len(foreign)} runs in form {form}, not {SCHEMA_VERSION}, do not count")
    by_replicate: dict[int, list[Record]] = {}
    for run in runs:
        if run.status == "FINISHED" and run not in foreign:
            replicate = int(run.params.get("replicate", run.params["seed"]))
            by_replicate.setdefault(replicate, []).append(run)
    for replicate, finished in sorted(by_replicate.items()):
        # Two digests mean different labels, recipes or encoders: no choice would be right.
        if len({run.tags.get(DIGEST) for run in finished}) > 1:
            return [], [*faults, f"{len(finished)} different trainings of seed {replicate}"]
        if len(finished) > 1:
            faults.append(
                f"{len(finished)} runs of seed {replicate}, of one training: the last one counts"
            )
    if len(by_replicate) < n_seeds:
        faults.append(f"{len(by_replicate)} of {n_seeds} seeds")
        running = sum(run.status not in ("FINISHED", "FAILED", "KILLED") for run in runs)
        if running:
            faults.append(f"{running} left RUNNING")
        return [], faults
    return [by_replicate[replicate][-1] for replicate in sorted(by_replicate)][:n_seeds], faults


def read_replicates(
    runs: Mapping[Key, Sequence[Record]], test: pd.DataFrame, label_set: Sequence[str]
) -> dict[Key, Replicates]:
    """The runs of every key with their predictions.

    Parameters
    ----------
    runs
        Finished runs by key, in the order of their replicates.
    test
        The examples that were predicted; predictions are put into their order.
    label_set
        The classes, in the order of the codes.
    """
    # All runs at once, since several artifacts are fetched at the same time.
    all_runs = [run for group in runs.values() for run in group]
    contents = zip(all_runs, tables(all_runs, "predictions.parquet"), strict=True)
    replicates = {}
    for key, group in runs.items():
        # Filled run by run: those of all runs beside the whole would take twice the memory.
        predicted = np.empty((len(group), len(test)), dtype=np.int64)
        log_probabilities = np.empty((*predicted.shape, len(label_set)), dtype=np.float32)
        for index, (run, content) in enumerate(itertools.islice(contents, len(group))):
            predicted[index], log_probabilities[index] = _predicted(run, content, test, label_set)
        replicates[key] = Replicates(group, predicted, log_probabilities)
    return replicates


def _predicted(
    run: Record, predictions: pd.DataFrame, test: pd.DataFrame, label_set: Sequence[str]
) -> tuple[Codes, Floats]:
    """Class codes and log probabilities of a run, in the order of ``test``."""
    rows = checked_table(run, "predictions", predictions, label_set)
    positions = pd.Index(rows["example_id"]).get_indexer(test["example_id"])
    if len(rows) != len(test) or (positions < 0).any():
        raise UnusableRun(
            f"seed run {run.run_id} ({run.name}) predicts other examples than the experiment's "
            "test split; it cannot be compared."
        )
    rows = rows.iloc[positions]
    return codes(rows["label"], label_set), class_columns(rows, label_set)
