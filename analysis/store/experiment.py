"""An experiment or a budget as the analyses read it: a root run with its complete arms."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.store.replicates import Replicates, complete_replicates
from analysis.store.stored_run import StoredRun, read_root
from project.stats.bootstrap import WeightedScores, resampled_scores
from project.tracking import Record


@dataclass(frozen=True)
class Experiment(StoredRun):
    """A root run with its arms.

    Parameters
    ----------
    arms : dict
        The complete arms, in the order they were asked for.
    incomplete : tuple of str
        The other arms by name, with the reason.
    """

    arms: dict[str, Replicates]
    incomplete: tuple[str, ...]

    @functools.cached_property
    def resampled(self) -> dict[str, WeightedScores]:
        """Scores of every arm in the data and under resampled test examples and seeds.

        See :func:`project.stats.bootstrap.resampled_scores`.
        """
        predicted = {arm: replicates.predicted for arm, replicates in self.arms.items()}
        return resampled_scores(self.gold, predicted, len(self.label_set))

    @property
    def llm_test(self) -> pd.DataFrame | None:
        """The annotations of the test split under the first draw, None if it has none."""
        return next(iter(self.annotations["test"]), None)


@dataclass(frozen=True)
class ScoredPoints:
    """A root run with one row of scores for each arm, or each arm and training size.

    Parameters
    ----------
    root : Record
        The root run.
    config : dict
        Its ``config.json``.
    points : pd.DataFrame
        The rows; scores are in [0, 1].
    incomplete : tuple of str
        What lacks seeds, by name.
    """

    root: Record
    config: dict[str, Any]
    points: pd.DataFrame
    incomplete: tuple[str, ...]


def read_experiment(run_id: str = "", kind: str = "experiment") -> Experiment:
    """An experiment or a budget with its arms.

    An empty ``run_id`` takes the newest finished run of ``kind``.
    """
    stored = read_root(run_id, *dict.fromkeys((kind, "experiment", "budget")))
    config = stored.config
    seeds = config["config"]["finetune"]["seeds"]
    # arms whose draws are crossed with the seeds have more replicates than seeds
    replicated = config.get("design", {}).get("replicates", {})
    n_seeds = {arm: int(replicated.get(arm, seeds)) for arm in config["arms"]}
    arms, incomplete = complete_replicates(stored, n_seeds, lambda run: run.params["arm"])
    return Experiment(
        root=stored.root,
        config=config,
        label_set=stored.label_set,
        examples=stored.examples,
        arms=arms,
        incomplete=incomplete,
    )
