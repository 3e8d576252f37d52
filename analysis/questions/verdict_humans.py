"""How many human labels an arm takes: every one of them, not only those it trains on."""

from __future__ import annotations

from typing import NamedTuple

from analysis.store.artifacts import number_or_none
from analysis.store.experiment import Experiment
from analysis.store.replicates import Replicates
from project.config.engines import has_prompt
from project.config.finetune import LINEAR


class HumanLabels(NamedTuple):
    """Human labels of one arm by their use; those of the test split, which judge it, are apart."""

    training: int
    validation: int
    demonstrations: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)

    @property
    def text(self) -> str:
        """The parts, such as ``15 for training, 100 for validation``; empty if there is none."""
        names = ("for training", "for validation", "as demonstrations")
        return ", ".join(f"{n} {name}" for n, name in zip(self, names, strict=True) if n)


def human_labels(experiment: Experiment, replicates: Replicates) -> HumanLabels:
    """The human labels of an arm.

    Demonstrations count once for every draw that the arm reads. Validation labels count where they
    are gold labels and pick the epoch; a logistic regression has none. An audit that an arm learns
    from is among its training labels.
    """
    stages = experiment.config["config"]
    run = replicates.runs[0]
    validation = 0
    finetune = stages["finetune"]
    is_linear = finetune.get("encoder") == LINEAR
    if finetune.get("validation_labels", "gold") == "gold" and not is_linear:
        validation = int(experiment.config["task"]["counts"].get("validation", 0))
    demonstrations = 0
    has_annotator = bool(experiment.config["models"].get("annotator"))
    if has_annotator and has_prompt(stages["annotate"].get("annotator", "")):
        # Arms that read several draws have their number among the parameters.
        n_draws = number_or_none(run.params.get("ensemble_size", "None"))
        draws = 1 if n_draws is None else int(n_draws)
        demonstrations = int(stages["prompt"]["n_demonstrations"]) * draws
    return HumanLabels(int(run.metrics["human_labels"]), validation, demonstrations)
