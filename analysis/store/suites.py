"""A suite as the analyses read it: its root run, and the experiments of its tasks."""

from __future__ import annotations

from typing import NamedTuple

import pydantic

from analysis.store.artifacts import broken
from analysis.store.experiment import Experiment, read_experiment
from analysis.store.fetch import read_json
from project.support.errors import UnusableRun
from project.tracking import KIND, Record, latest_root, read_run


class StoredTask(NamedTuple):
    """A task whose experiment is finished; ``name`` and ``group`` as the user gave them."""

    name: str
    group: str
    experiment: Experiment


class Suite(NamedTuple):
    """A suite.

    Attributes
    ----------
    root
        Its root run.
    name
        Its name.
    tasks
        The tasks whose experiments are finished, in the order of the suite.
    missing
        Names of the others, each with the reason.
    """

    root: Record
    name: str
    tasks: list[StoredTask]
    missing: list[str]


class _Task(pydantic.BaseModel, strict=True):
    name: str
    group: str
    run_id: str


class _Config(pydantic.BaseModel, strict=True):
    suite: str
    tasks: list[_Task]


def read_suite_run(run_id: str = "") -> Suite:
    """A suite with the experiments of its tasks.

    An empty ``run_id`` takes the newest finished suite. Raises UnusableRun if the run is no suite.
    """
    root = read_run(run_id) if run_id else latest_root("suite")
    kind = root.tags.get(KIND, "no root run")
    if kind != "suite":
        raise UnusableRun(
            f"run {root.run_id} must be of the kind suite; it is: {kind}. Name another run_id, or "
            "use the report of its kind."
        )
    try:
        config = _Config.model_validate(read_json(root, "config.json"))
    except pydantic.ValidationError:
        raise broken(root, "config.json", "is not the configuration of a suite") from None
    tasks, missing = [], []
    for task in config.tasks:
        if not task.run_id:
            missing.append(f"{task.name} (not finished)")
            continue
        try:
            experiment = read_experiment(task.run_id)
        except UnusableRun as error:
            missing.append(f"{task.name} ({error})")
            continue
        tasks.append(StoredTask(task.name, task.group, experiment))
    return Suite(root, config.suite, tasks, missing)
