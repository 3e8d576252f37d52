"""The study of a sweep as the tracking store holds it: its trials, and the tested ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.store.arm_scores import arm_row, limit_columns, priced
from analysis.store.artifacts import needs
from analysis.store.replicates import check_seed, read_replicates
from analysis.store.stored_run import StoredRun, read_root
from project.tracking import CHOSEN, TRIAL_STATE, Record, children, study_runs

SETTINGS = ("source", "replace_share", "ensemble_size", "n_demonstrations", "calibration")
"""The parts of a trial's setting."""
_METRICS = (
    "validation.macro_f1",
    "validation.macro_f1_sd",
    "human_share",
    "human_labels",
    "llm_calls",
    "cost",
)
_GOLD = -1
"""Stands for the number of a trial where the arm gold is tested."""


@dataclass(frozen=True)
class SweepStudy:
    """A study, with the trials of all its workers.

    Attributes
    ----------
    root
        The root run of one worker.
    config
        The configuration of that root run.
    trials
        One row for each trial: ``number``, ``state`` (COMPLETE, PRUNED or FAIL), its setting, its
        metrics with scores in [0, 1], ``value`` (what a single objective maximises, in points,
        x 100), ``reason`` and ``chosen`` (it was tested).
    tested
        Test scores of the chosen trials, in [0, 1], and of gold, whose ``trial`` is -1, with
        limits (:func:`analysis.store.arm_scores.limit_columns`).
    """

    root: Record
    config: dict[str, Any]
    trials: pd.DataFrame
    tested: pd.DataFrame

    @property
    def has_several_objectives(self) -> bool:
        """Whether the sweep looks for a Pareto front instead of one best trial."""
        return bool(self.config["design"]["sweep"]["objective"] == "pareto")

    @property
    def has_prices(self) -> bool:
        """Whether trials have a cost."""
        return priced(self.config)


def read_study(run_id: str = "") -> SweepStudy:
    """The study of a worker's root run, finished or running.

    An empty ``run_id`` takes the newest finished sweep.
    """
    stored = read_root(run_id, "sweep")
    study_id = stored.config["design"]["study"]
    tested = _tested(stored, study_id)
    trials = _trials(study_id)
    chosen = {row["trial"] for row in tested}
    return SweepStudy(
        stored.root,
        stored.config,
        trials=trials.assign(chosen=trials["number"].isin(chosen)),
        tested=pd.DataFrame(tested),
    )


def _trials(study_id: str) -> pd.DataFrame:
    """The trials by number; of two runs of a trial the later one counts."""
    columns = ["number", "state", *SETTINGS, *_METRICS, "value", "reason"]
    # Another worker may be writing a run that has no parameters yet.
    runs = [run for run in study_runs(study_id, "trial") if "source" in run.params]
    trials = pd.DataFrame([_trial(run) for run in runs], columns=columns)
    # Runs come in the order in which they were logged, which a stable sort keeps.
    in_order = trials.sort_values("number", kind="stable")
    last = in_order.drop_duplicates("number", keep="last")
    return last.reset_index(drop=True)


def _trial(run: Record) -> dict[str, Any]:
    kinds: dict[str, Any] = {
        **dict.fromkeys(SETTINGS, str),
        "replace_share": float,
        "ensemble_size": int,
        "n_demonstrations": int,
    }
    needs(run, {**kinds, "trial": int})
    state = run.tags.get(TRIAL_STATE, "")
    return {
        "number": int(run.params["trial"]),
        "state": state if state in ("COMPLETE", "PRUNED") else "FAIL",
        **{name: kinds[name](run.params[name]) for name in SETTINGS},
        **{name: run.metrics.get(name, float("nan")) for name in _METRICS},
        "value": run.metrics.get("objective", float("nan")),
        "reason": run.tags.get("assay.reason", ""),
    }


def _tested(stored: StoredRun, study_id: str) -> list[dict[str, Any]]:
    """One row for each tested trial, and for gold; empty before anything is tested."""
    # Every worker has a root run; the one that tested trials has the tag. If a study gets more
    # trials later, it chooses and tests again, and the last test counts.
    roots = [root for root in study_runs(study_id, "sweep") if CHOSEN in root.tags]
    if not roots:
        return []
    replicates = read_replicates(_test_seeds(roots[-1]), stored.test, stored.label_set)
    names = {key: f"{key[0]} {key[1]}" for key in replicates}
    gold = next((name for (trial, _), name in names.items() if trial == _GOLD), "")
    by_name = {names[key]: group for key, group in replicates.items()}
    limits = limit_columns(by_name, stored, gold)
    return [
        {
            "trial": trial,
            **arm_row(arm, group, stored.test, stored.label_set, ordered=stored.ordered),
            **limits[names[trial, arm]],
        }
        for (trial, arm), group in replicates.items()
    ]


def _test_seeds(root: Record) -> Mapping[tuple[int, str], Sequence[Record]]:
    """The test seeds by trial and arm, in order; of two runs of a seed the later one counts."""
    groups: dict[tuple[int, str], dict[str, Record]] = {}
    for run in children(root, "seed"):
        if run.params.get("evaluated") == "test":
            check_seed(run)
            key = (int(run.params.get("trial", _GOLD)), run.params["arm"])
            replicate = run.params.get("replicate", run.params["seed"])
            groups.setdefault(key, {})[replicate] = run
    return {key: list(groups[key].values()) for key in sorted(groups)}
