"""An experiment or a budget as the analyses read it: a root run with its complete arms."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pandas as pd

from analysis.render.text import TRAINED_SEEDS
from analysis.store.replicates import Replicates, complete_replicates, score_sums
from analysis.store.stored_run import StoredRun, read_root
from project.stats.bootstrap import WeightedScores
from project.stats.contrasts import ScoreSums
from project.stats.multiple import paired_scores
from project.tracking import SEEDS_TRAINED


@dataclass(frozen=True)
class Experiment(StoredRun):
    """A root run with its arms.

    Attributes
    ----------
    arms
        The complete arms, in the order of the configuration.
    incomplete
        The names of the other arms, each with the reason.
    """

    arms: dict[str, Replicates]
    incomplete: tuple[str, ...]

    @functools.cached_property
    def resampled(self) -> dict[str, WeightedScores]:
        """Scores of every arm in the data and under resampled test examples and seeds.

        Arms that share trainings share their chance: see
        :func:`project.stats.multiple.paired_scores`.
        """
        predicted = {arm: replicates.predicted for arm, replicates in self.arms.items()}
        trainings = {arm: replicates.trainings for arm, replicates in self.arms.items()}
        return paired_scores(self.gold, predicted, trainings, len(self.label_set))

    @functools.cached_property
    def score_sums(self) -> ScoreSums:
        """Predictions of every arm, of whose scores any contrast has limits.

        These limits allow for examples that were not seen: see :mod:`project.stats.contrasts`.
        """
        return score_sums(self.arms, self)

    @property
    def llm_test(self) -> pd.DataFrame | None:
        """The annotations of the test split under the first draw, None if it has none."""
        return next(iter(self.annotations["test"]), None)


def read_experiment(run_id: str = "", kind: str = "experiment") -> Experiment:
    """An experiment or a budget with its arms.

    An empty ``run_id`` takes the newest finished run of ``kind``.
    """
    stored = read_root(run_id, *dict.fromkeys((kind, "experiment", "budget")))
    config = stored.config
    seeds = config["config"]["finetune"]["seeds"]
    # Arms whose draws are crossed with the seeds have more replicates than seeds; runs of earlier
    # versions do not store the number.
    replicated = config.get("design", {}).get("replicates", {})
    n_seeds = {arm: int(replicated.get(arm, seeds)) for arm in config["arms"]}
    if SEEDS_TRAINED in stored.root.tags:  # seeds were added until the verdict was decided
        trained = int(stored.root.tags[SEEDS_TRAINED])
        n_seeds = dict.fromkeys(n_seeds, trained)
        config = {**config, TRAINED_SEEDS: trained}
    arms, incomplete = complete_replicates(stored, n_seeds, lambda run: run.params["arm"])
    return Experiment(
        root=stored.root,
        config=config,
        label_set=stored.label_set,
        examples=stored.examples,
        arms=arms,
        incomplete=incomplete,
    )
