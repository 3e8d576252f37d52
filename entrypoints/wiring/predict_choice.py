"""The classifier of an experiment that labels new texts, and from which certainty on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from analysis.questions.chosen_arm import ChosenArm, chosen_arm
from analysis.store.experiment import Experiment, read_experiment
from project.config.fields import AUTO
from project.config.predict import PredictConfig
from project.stats.selective import (
    Calibration,
    calibrate,
    chosen_threshold,
    largest_promise,
    top_of,
)
from project.support.errors import AssayError
from project.tracking import PRIVATE, Record, newest_models

_ERROR = 0.05
"""Chance that a promised precision does not hold."""


class Choice(NamedTuple):
    """The classifiers that label texts.

    Attributes
    ----------
    experiment
        Where they come from.
    arm
        Their arm, and why.
    runs
        The runs of the seeds whose classifiers are used.
    model_ids
        Their models, in the order of ``runs``.
    members
        Their positions among the arm's replicates.
    """

    experiment: Experiment
    arm: ChosenArm
    runs: Sequence[Record]
    model_ids: Sequence[str]
    members: Sequence[int]

    @property
    def sentence(self) -> str:
        """Which classifier, and why."""
        seeds = ", ".join(run.params["seed"] for run in self.runs)
        which = (
            f"seed {seeds}, the logged one with the best macro-F1 on validation"
            if len(self.runs) == 1
            else f"the mean of {len(self.runs)} seeds ({seeds})"
        )
        return f"classifier of arm {self.arm.arm}, {which}. {self.arm.reason}"


class Threshold(NamedTuple):
    """The smallest certainty of a given label, how it was picked, and every candidate."""

    value: float
    sentence: str
    candidates: Sequence[Calibration] = ()


def choose(config: PredictConfig, seeds: str = "") -> Choice:
    """The classifiers that ``config`` asks for.

    ``seeds`` takes the place of the configuration's; ``auto`` is all seeds if all are logged, else
    the best one.

    Raises
    ------
    AssayError
        If the run has no logged classifiers, or too few for ``seeds=all``; if it is private and
        this is not.
    """
    experiment = read_experiment(config.run_id)
    root = experiment.root
    if root.tags.get(PRIVATE) == "true" and not config.private:
        raise AssayError(
            f"private must be true: run {root.run_id} is private, and so are labels of its "
            "classifier. Set private=true."
        )
    trained = [run for replicates in experiment.arms.values() for run in replicates.runs]
    models = newest_models(trained)
    available = {
        arm: [run for run in replicates.runs if run.run_id in models]
        for arm, replicates in experiment.arms.items()
        if any(run.run_id in models for run in replicates.runs)
    }
    if not available:
        raise AssayError(_no_models(experiment))
    arm = chosen_arm(experiment, "" if config.arm == AUTO else config.arm, available)
    every = list(experiment.arms[arm.arm].runs)
    runs = _members(seeds or config.seeds, arm.arm, every, available[arm.arm])
    return Choice(
        experiment=experiment,
        arm=arm,
        runs=runs,
        model_ids=[models[run.run_id] for run in runs],
        members=[every.index(run) for run in runs],
    )


def _no_models(experiment: Experiment) -> str:
    """The error for a run without logged classifiers."""
    root = experiment.root
    if experiment.config["config"]["finetune"].get("encoder") == "linear":
        return (
            f"run {root.run_id} ({root.name}) has no classifier to use: a logistic regression "
            "(encoder=linear) is not kept. Run it again with an encoder and log_model=best."
        )
    return (
        f"run {root.run_id} ({root.name}) logged no classifier. Run it again with -P "
        f"config=runs:/{root.run_id}/config.json -P log_model=best (or all, for all seeds): the "
        "LLM's answers are reused, and the seeds are trained again, since their weights were not "
        "kept."
    )


def _members(
    seeds: str, arm: str, every: Sequence[Record], logged: Sequence[Record]
) -> list[Record]:
    """The runs whose classifiers are used."""
    if seeds == AUTO and len(logged) == len(every):
        return list(every)
    if seeds == "all":
        if len(logged) < len(every):
            raise AssayError(
                f"seeds=all needs the classifier of every seed of {arm}; {len(logged)} of "
                f"{len(every)} are logged. Run the experiment again with log_model=all, or leave "
                "seeds out."
            )
        return list(every)
    # Ties: the earlier replicate, as where one seed is picked for logging.
    best = max(logged, key=lambda run: run.metrics["best_validation_macro_f1"])
    return [best]


def pick_threshold(config: PredictConfig, choice: Choice) -> Threshold:
    """The threshold that ``config`` asks for.

    Raises AssayError if no threshold has the promised precision.
    """
    if config.min_precision is None:
        if config.threshold:
            return Threshold(
                config.threshold,
                f"texts whose label has a probability below {config.threshold:g} are abstained; "
                "no precision is promised.",
            )
        return Threshold(0.0, "every text gets a label; no precision is promised.")
    experiment = choice.experiment
    logs = experiment.arms[choice.arm.arm].log_probabilities[list(choice.members)]
    probabilities = np.exp(logs).mean(axis=0)
    top = top_of(probabilities)
    right = probabilities.argmax(axis=1) == experiment.gold
    # Where the test texts chose the arm, its precision on them is flattered; the promise holds
    # for every arm that was compared.
    error = _ERROR / choice.arm.n_looks
    n_classes = len(experiment.label_set)
    promised = config.min_precision / 100
    candidates = calibrate(top, right, min_precision=promised, n_classes=n_classes, error=error)
    chosen = chosen_threshold(candidates)
    shares = f"{int(right.sum())} of {len(right)} gold test texts are labelled right"
    if chosen is None:
        best = largest_promise(top, right, n_classes=n_classes, error=error)
        raise AssayError(
            f"min_precision={config.min_precision:g} cannot be promised for the classifier of arm "
            f"{choice.arm.arm}: {shares}, and at no threshold is the lower limit of the share "
            f"that high. At most min_precision={100 * best:.1f} can be. Ask for less, or give the "
            "experiment more test texts."
        )
    looks = f" and {choice.arm.n_looks} arms" if choice.arm.n_looks > 1 else ""
    return Threshold(
        chosen.threshold,
        f"labels with a probability of at least {chosen.threshold:g} are given, the others "
        f"abstained. Of {len(right)} gold test texts it accepts {chosen.n_accepted}, of which "
        f"{chosen.n_right} are right; with 95 % confidence, over all {len(candidates)} thresholds "
        f"tried{looks}, at least {config.min_precision:g} % of the given labels are right for "
        "texts like these. It promises nothing for texts of another kind.",
        candidates,
    )


def calibration_json(threshold: Threshold) -> list[Mapping[str, object]]:
    """Every candidate, ready for JSON."""
    return [candidate._asdict() for candidate in threshold.candidates]
