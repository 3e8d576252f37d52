"""Raters of the same examples: the seeds of an experiment, or any runs of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.render.text import has_order
from analysis.store.config_json import checked_config
from analysis.store.experiment import Experiment
from analysis.store.fetch import read_json, tables
from analysis.store.runs import PARAM_PREFIX, run_table, selected
from analysis.store.stored_run import checked_table
from project.data.tables import codes
from project.stats.types import Codes
from project.support.errors import AssayError, UnusableRun
from project.tracking import KIND, SCHEMA_VERSION, Record, read_run

_TABLES = {"annotation": "annotations", "seed": "predictions"}
_SPLIT_PARAMETERS = {"annotation": "split", "seed": "evaluated"}


@dataclass(frozen=True)
class Raters:
    """Labels that several raters give to the same examples.

    Attributes
    ----------
    names, groups
        The name and the group of every rater; the raters of a group stand together.
    codes
        Class codes ``(n_raters, n_examples)``, -1 for a missing answer.
    label_set
        The classes in the order of the codes.
    ordered
        Whether they are steps of a scale.
    """

    names: Sequence[str]
    groups: Sequence[str]
    codes: Codes
    label_set: Sequence[str]
    ordered: bool = False

    @property
    def group_names(self) -> list[str]:
        """The groups, each once, in their order."""
        return list(dict.fromkeys(self.groups))

    def group(self, name: str) -> Codes:
        """The codes of one group, ``(n_raters_of_the_group, n_examples)``."""
        return self.codes[np.array([group == name for group in self.groups])]


def experiment_raters(experiment: Experiment) -> Raters:
    """The seeds of every arm as raters of the test split, grouped by arm."""
    names = []
    groups = []
    for arm, replicates in experiment.arms.items():
        names += [f"{arm} {index}" for index in range(len(replicates.runs))]
        groups += [arm] * len(replicates.runs)
    predicted = np.concatenate([arm.predicted for arm in experiment.arms.values()])
    return Raters(names, groups, predicted, experiment.label_set, experiment.ordered)


def stored_raters(kind: str, where: Sequence[str], by: str, split: str) -> Raters:
    """Runs of the store as raters.

    Parameters
    ----------
    kind
        ``seed`` (trainings with their predictions) or ``annotation`` (draws with their labels).
    where
        Conditions ``NAME=VALUE`` that all hold for a run; see
        :func:`analysis.store.runs.selected`.
    by
        The parameter that groups the raters, or ``root``.
    split
        The split that they rate.

    Raises
    ------
    AssayError
        If fewer than two runs match, or if they rate different examples or have different label
        sets. Runs of experiments that cannot be read are left out.
    """
    table = run_table(kind)
    if table.empty:
        raise AssayError(
            f"the tracking store holds no finished run of the kind {kind}. Run an experiment, or "
            "set MLFLOW_TRACKING_URI."
        )
    matching = selected(table, [*where, f"{_SPLIT_PARAMETERS[kind]}={split}"])
    column = by if by == "root" else PARAM_PREFIX + by
    if column not in matching.columns:
        raise AssayError(f"by must be a parameter of the runs, or root; got {by!r}.")
    # Runs of other versions may name or code things in another way.
    matching = matching[matching["schema"] == SCHEMA_VERSION]
    tasks = _tasks(matching["root"].unique())
    label_sets = {root: tuple(task["label_set"]) for root, task in tasks.items()}
    matching = matching[matching["root"].isin(list(label_sets))]
    if len(matching) < 2:
        raise AssayError(
            f"agreement needs at least two runs; {len(matching)} of {len(table)} match "
            f"{', '.join(where) or 'everything'} on {split}."
        )
    matching = matching.sort_values([column, "started"], kind="stable", ignore_index=True)
    label_set = _common_label_set(label_sets)
    runs = [_record(row) for row in matching.to_dict("records")]
    return Raters(
        [run.name for run in runs],
        [_group_name(value) for value in matching[column]],
        _codes(runs, _TABLES[kind], label_set),
        label_set,
        all(has_order({"task": task}) for task in tasks.values()),
    )


def _tasks(root_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Facts of every root run's task, without runs that cannot be read, such as deleted ones."""
    tasks = {}
    for root_id in root_ids:
        try:
            root = read_run(root_id)
            config = read_json(root, "config.json")
            task = checked_config(root, root.tags.get(KIND, ""), config)["task"]
        except UnusableRun:
            continue
        tasks[root_id] = task
    return tasks


def _common_label_set(label_sets: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The label set that all root runs share; AssayError if they differ."""
    first = next(iter(label_sets))
    for root_id, label_set in label_sets.items():
        if label_set != label_sets[first]:
            raise AssayError(
                f"the experiments {first} and {root_id} have different label sets "
                f"({', '.join(label_sets[first])}; {', '.join(label_set)}); their runs cannot be "
                "compared."
            )
    return list(label_sets[first])


def _codes(runs: Sequence[Record], name: str, label_set: Sequence[str]) -> Codes:
    """The labels in every run's table ``name``, ``(n_runs, n_examples)``."""
    labels: list[pd.Series] = []
    for run, table in zip(runs, tables(runs, f"{name}.parquet"), strict=True):
        labels.append(checked_table(run, name, table, label_set).set_index("example_id")["label"])
    # The first rater's order is that of the result; the others are put into it.
    example_ids = list(labels[0].index)
    for run, rated in zip(runs, labels, strict=True):
        if set(rated.index) != set(example_ids) or not rated.index.is_unique:
            raise AssayError(
                f"runs {runs[0].run_id} ({runs[0].name}) and {run.run_id} ({run.name}) rate "
                "different examples; agreement needs the same ones. Narrow where, for instance to "
                "root=RUN."
            )
    return np.stack([codes(rated.loc[example_ids], label_set) for rated in labels])


def _group_name(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _record(row: Mapping[Any, Any]) -> Record:
    """The run of a row, with the facts that are needed to fetch its artifacts."""
    return Record(
        row["run_id"],
        row["name"],
        "FINISHED",
        {},
        metrics={},
        tags={},
        experiment_id=str(row["experiment_id"]),
        started=int(row["started"]),
        artifact_uri=row["artifact_uri"],
    )
