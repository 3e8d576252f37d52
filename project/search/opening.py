"""A study is created by one process, and opened by the others once it is ready."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import optuna

from project.config.designs import SweepConfig
from project.support.errors import AssayError

POLL_SECONDS = 1.0
"""Time between two looks at what other processes do with a study."""
_MAX_POLLS = 30  # of a study that another process creates, which takes seconds
_DIRECTIONS: dict[str, Any] = {
    "single": ["maximize"],
    "pareto": ["maximize", "minimize", "minimize"],  # macro-F1, human share, LLM calls
}


def open_or_create(
    name: str,
    config: SweepConfig,
    storage: optuna.storages.BaseStorage,
    *,
    design: Mapping[str, Any],
    fill: Callable[[optuna.Study], None],
) -> optuna.Study:
    """The study ``name``, which this process creates unless it exists.

    Parameters
    ----------
    name
        Name of the study.
    config
        Objective and pruning of the search.
    storage
        Where the study is kept.
    design
        Everything that the trials share, JSON-ready. All processes must have the same.
    fill
        Called with a new study before other processes can use it.

    Raises
    ------
    AssayError
        If the study exists with another design, or is never ready.
    """
    pruner = optuna.pruners.MedianPruner() if config.prune else optuna.pruners.NopPruner()
    written = json.dumps(design, sort_keys=True)
    try:  # Optuna lets exactly one of several processes create a study
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            directions=_DIRECTIONS[config.objective],
            pruner=pruner,
        )
        study.set_user_attr("id", f"{name}-{uuid.uuid4().hex[:8]}")
        study.set_user_attr("design", written)
        fill(study)
        study.set_user_attr("ready", value=True)  # last: other processes wait for it
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(study_name=name, storage=storage, pruner=pruner)
        _wait_until_ready(study)
    if difference := _difference(json.loads(study.user_attrs["design"]), json.loads(written)):
        raise AssayError(
            f"the study {name} was made with another {difference}. Set the same, or set "
            "sweep_name to another name."
        )
    return study


def _wait_until_ready(study: optuna.Study) -> None:
    """Wait until the process that created a study has filled it; AssayError if it never does."""
    for _ in range(_MAX_POLLS):
        if study.user_attrs.get("ready"):
            return
        time.sleep(POLL_SECONDS)
    raise AssayError(
        f"the study {study.study_name} exists, but the process that created it never finished. "
        "Set sweep_name to another name."
    )


def _difference(stored: Mapping[str, Any], requested: Mapping[str, Any]) -> str:
    """The first name in which two designs differ, with both values; empty if they are equal.

    Both must have been read from JSON, which turns tuples into lists.
    """
    for name in sorted({*stored, *requested}):
        if stored.get(name) != requested.get(name):
            return f"{name}: {stored.get(name)!r}, now {requested.get(name)!r}"
    return ""
