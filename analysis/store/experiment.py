"""What the analyses read: a root run with its examples, and the seeds below it, each arm complete or left out by name.

An arm counts where it has all the seeds that its experiment asked for. Left out and named are: an arm with fewer finished seeds, with runs that a
crash left RUNNING said; one that has two different trainings of one seed; runs that another version of Assay logged in another form. Of two runs of
one and the same training the later one counts, which is said too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from analysis.store.artifacts import MissingResult, above_zero, broken, checked_config, needs
from analysis.store.fetch import read_json, table, tables
from project.config.arms import arm_facts
from project.data.tables import SPLITS, check, class_columns, codes
from project.stats.bootstrap import WeightedScores, resampled_scores
from project.stats.types import Codes, Floats
from project.support.errors import AssayError, UnusableRun
from project.tracking import (
    DIGEST,
    KIND,
    SCHEMA,
    SCHEMA_VERSION,
    Record,
    all_children,
    children,
    latest_root,
    read_run,
)

Key = TypeVar("Key", bound="tuple[Any, ...] | str")


@dataclass(frozen=True)
class Replicates:
    """Seed runs of one arm that differ in nothing but their replicate, with their test predictions.

    ``predicted`` ``(n_runs, n_examples)`` are class codes, ``log_probabilities`` ``(n_runs, n_examples, n_classes)`` natural logs.
    """

    runs: Sequence[Record]
    predicted: Codes
    log_probabilities: Floats


@dataclass(frozen=True)
class StoredRun:
    """A root run, its configuration (``config.json``), and the examples that it logged."""

    root: Record
    config: dict[str, Any]
    label_set: tuple[str, ...]
    examples: pd.DataFrame

    @functools.cached_property
    def test(self) -> pd.DataFrame:
        """The test split, index 0..n-1."""
        return self.split("test")

    @functools.cached_property
    def gold(self) -> Codes:
        """The test split's gold labels as class codes, ``(n_test,)``."""
        return codes(self.test["gold_label"], self.label_set)

    def split(self, name: str) -> pd.DataFrame:
        """One split, index 0..n-1."""
        return self.examples[self.examples["split"] == name].reset_index(drop=True)

    @functools.cached_property
    def annotations(self) -> dict[str, list[pd.DataFrame]]:
        """The annotations tables of every split, one for each draw in their order, rows in that of :meth:`split`; none where nobody annotated it."""
        found: dict[str, dict[int, Record]] = {name: {} for name in SPLITS}
        for run in children(self.root, "annotation"):
            needs(run, {"split": str, "draw": int})
            if run.params["split"] in found:
                found[run.params["split"]][int(run.params["draw"])] = run
        every = [runs[draw] for runs in found.values() for draw in sorted(runs)]
        read = iter(zip(every, tables(every, "annotations.parquet"), strict=True))
        return {
            name: [self._annotated(*next(read), self.split(name)["example_id"]) for _ in runs]
            for name, runs in found.items()
        }

    def _annotated(self, run: Record, table: pd.DataFrame, ids: pd.Series) -> pd.DataFrame:
        """A run's annotations of the examples ``ids``, in their order."""
        given = checked_table(run, "annotations", table, self.label_set).set_index("example_id")
        if not given.index.is_unique or not ids.isin(given.index).all():
            raise broken(
                run, "annotations.parquet", "is not of the examples of its experiment, each once"
            )
        return given.loc[ids].reset_index()

    def validated(self) -> list[Record]:
        """Its finished seeds that predict the validation split, as a search does."""
        return [
            run
            for run in children(self.root, "seed")
            if run.params.get("evaluated") == "validation"
        ]


@dataclass(frozen=True)
class Experiment(StoredRun):
    """A root run with its complete ``arms`` in the order they were asked for; ``incomplete`` names the others and why."""

    arms: dict[str, Replicates]
    incomplete: tuple[str, ...]

    @functools.cached_property
    def resampled(self) -> dict[str, WeightedScores]:
        """Scores of every arm in the data and under resampled test examples and seeds; see :func:`project.stats.bootstrap.resampled_scores`."""
        return resampled_scores(
            self.gold,
            {arm: found.predicted for arm, found in self.arms.items()},
            len(self.label_set),
        )

    @property
    def llm_test(self) -> pd.DataFrame | None:
        """The annotations of the test split under the first draw, where there are any."""
        return next(iter(self.annotations["test"]), None)


@dataclass(frozen=True)
class ScoredPoints:
    """A root run with what was scored below it: ``points``, one row each, scores in [0, 1]; ``incomplete``: what lacks seeds, by name."""

    root: Record
    config: dict[str, Any]
    points: pd.DataFrame
    incomplete: tuple[str, ...]


def read_root(run_id: str, *kinds: str) -> StoredRun:
    """A finished or running root run of one of ``kinds`` (empty ``run_id``: the newest finished one of the first)."""
    root = read_run(run_id) if run_id else latest_root(kinds[0])
    found = root.tags.get(KIND, "no root run")
    if found not in kinds:
        raise UnusableRun(
            f"run {root.run_id} must be of the kind {' or '.join(kinds)}; it is: {found}. Name another run_id, or use the report of its kind."
        )
    version = root.tags.get(SCHEMA)
    if version != SCHEMA_VERSION:
        raise UnusableRun(
            f"run {root.run_id} ({root.name}) was logged in form {version}; this version of Assay reads form {SCHEMA_VERSION}. Read it with the "
            "version that made it, or run it again: what was paid for is reused."
        )
    config = checked_config(root, found, read_json(root, "config.json"))
    label_set = tuple(config["task"]["label_set"])
    examples = checked_table(root, "examples", table(root, "examples.parquet"), label_set)
    if examples.loc[examples["split"] == "test", "gold_label"].isna().any():
        raise broken(root, "examples.parquet", "has test examples without a gold label")
    return StoredRun(root, config, label_set, examples)


def checked_table(
    run: Record, name: str, table: pd.DataFrame, label_set: Sequence[str]
) -> pd.DataFrame:
    """An artifact of a run as a valid ``name`` table; raises UnusableRun, with the run and the artifact, where it is none."""
    try:
        return check(name, table, label_set)
    except AssayError as error:
        raise broken(run, f"{name}.parquet", f"is no table of {name}: {error}") from None


def read_experiment(run_id: str = "", kind: str = "experiment") -> Experiment:
    """An experiment, or the curves of a budget, with its arms (empty: the newest finished one of ``kind``)."""
    stored = read_root(run_id, *dict.fromkeys((kind, "experiment", "budget")))
    config = stored.config
    replicated = config.get("design", {}).get("replicates", {})
    wanted = {
        arm: int(replicated.get(arm, config["config"]["finetune"]["seeds"]))
        for arm in config["arms"]
    }
    arms, incomplete = gather(stored, wanted, lambda run: run.params["arm"])
    return Experiment(stored.root, config, stored.label_set, stored.examples, arms, incomplete)


def gather(
    stored: StoredRun, wanted: Mapping[Key, int], key: Callable[[Record], Key]
) -> tuple[dict[Key, Replicates], tuple[str, ...]]:
    """The replicates of every key that has as many of them as are ``wanted``, and what is left out and why."""
    runs = [
        run
        for run in all_children(stored.root, "seed")
        if run.params.get("evaluated", "test") == "test"
    ]
    for run in runs:
        if run.status == "FINISHED" and run.tags.get(SCHEMA) == SCHEMA_VERSION:
            check_seed(run)
    runs = [
        run for run in runs if {"arm", "n_examples"} <= run.params.keys()
    ]  # one that is being logged has nothing yet
    if not any(run.status == "FINISHED" for run in runs):
        raise MissingResult(
            f"run {stored.root.run_id} holds no finished seed. It is no experiment, or it was stopped early; run the same command again to go on."
        )
    complete: dict[Key, list[Record]] = {}
    notes = []
    for one, n in wanted.items():
        kept, faults = _replicates([run for run in runs if key(run) == one], n)
        if len(kept) == n:
            complete[one] = kept
        if faults:
            notes.append(
                f"{one if isinstance(one, str) else ' '.join(map(str, one))} ({'; '.join(faults)})"
            )
    if not complete:
        raise MissingResult(
            f"run {stored.root.run_id} holds no arm with all its seeds: {', '.join(notes)}. Run the same command again to go on."
        )
    return replicates(complete, stored.test, stored.label_set), tuple(notes)


def check_seed(run: Record) -> None:
    """Refuse a finished seed's run that lacks what is read of it."""
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


def _replicates(runs: Sequence[Record], wanted: int) -> tuple[list[Record], list[str]]:
    """One run for each replicate in their order, none where they are not all there, and what is wrong with them."""
    faults = []
    foreign = [run for run in runs if run.tags.get(SCHEMA) != SCHEMA_VERSION]
    if foreign:
        faults.append(
            f"{len(foreign)} runs in form {foreign[0].tags.get(SCHEMA)}, not {SCHEMA_VERSION}, do not count"
        )
    by_replicate: dict[int, list[Record]] = {}
    for run in runs:
        if run.status == "FINISHED" and run not in foreign:
            by_replicate.setdefault(
                int(run.params.get("replicate", run.params["seed"])), []
            ).append(run)
    for number, found in sorted(by_replicate.items()):
        if len({run.tags.get(DIGEST) for run in found}) > 1:
            return [], [*faults, f"{len(found)} different trainings of seed {number}"]
        if len(found) > 1:
            faults.append(
                f"{len(found)} runs of seed {number}, of one training: the last one counts"
            )
    if len(by_replicate) < wanted:
        faults.append(f"{len(by_replicate)} of {wanted} seeds")
        running = sum(run.status not in ("FINISHED", "FAILED", "KILLED") for run in runs)
        if running:
            faults.append(f"{running} left RUNNING")
        return [], faults
    return [by_replicate[number][-1] for number in sorted(by_replicate)][:wanted], faults


def replicates(
    runs: Mapping[Key, Sequence[Record]], test: pd.DataFrame, label_set: Sequence[str]
) -> dict[Key, Replicates]:
    """The runs of every key with their predictions, all of them fetched side by side."""
    flat = [run for found in runs.values() for run in found]
    predicted = iter(
        [
            _predicted(run, one, test, label_set)
            for run, one in zip(flat, tables(flat, "predictions.parquet"), strict=True)
        ]
    )
    made = {}
    for key, found in runs.items():
        labels, logs = zip(*(next(predicted) for _ in found), strict=True)
        made[key] = Replicates(found, np.stack(labels), np.stack(logs))
    return made


def _predicted(
    run: Record, predictions: pd.DataFrame, test: pd.DataFrame, label_set: Sequence[str]
) -> tuple[Codes, Floats]:
    given = checked_table(run, "predictions", predictions, label_set).set_index("example_id")
    if set(given.index) != set(test["example_id"]):
        raise UnusableRun(
            f"seed run {run.run_id} ({run.name}) predicts other examples than the experiment's test split; it cannot be compared."
        )
    rows = given.loc[test["example_id"]]
    return codes(rows["label"], label_set), class_columns(rows, label_set)
