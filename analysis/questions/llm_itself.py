"""The LLM's own labels of the test texts: how many are right, and what they lose against gold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analysis.store.experiment import Experiment
from project.config.arms import GOLD
from project.stats.bootstrap import Interval
from project.stats.contrasts import ScoreSums
from project.stats.survey import wilson

_ITSELF = "the LLM itself"


class LlmItself(NamedTuple):
    """How good the LLM's labels of the test texts are.

    Attributes
    ----------
    accuracy
        Share of right labels, with Wilson's limits; a missing answer is wrong.
    loss
        Macro-F1 of gold-trained classifiers less that of the LLM's labels; nan without the arm.
    macro_f1
        Of the LLM's labels.
    """

    accuracy: Interval
    loss: Interval
    macro_f1: float


def llm_itself(experiment: Experiment, level: float = 0.95) -> LlmItself | None:
    """Scores of the LLM's own test labels; None if not all test texts have been asked about."""
    from project.data.tables import codes, is_asked

    labels = experiment.llm_test
    if labels is None or labels["label"].isna().all() or not is_asked(labels).all():
        return None
    n_classes = len(experiment.label_set)
    given = codes(labels["label"], experiment.label_set)
    right = float((given == experiment.gold).mean())
    accuracy = Interval(right, *wilson(right, len(given), level))
    # A missing answer counts as a class of its own, which no text is of.
    arms = {_ITSELF: np.where(given < 0, n_classes, given)[None]}
    trainings = {}
    if GOLD in experiment.arms:
        arms[GOLD] = experiment.arms[GOLD].predicted
        trainings[GOLD] = experiment.arms[GOLD].trainings
    sums = ScoreSums(experiment.gold, arms, n_classes + 1, trainings=trainings)
    nothing = Interval(float("nan"), float("nan"), float("nan"))
    loss = sums.difference(GOLD, _ITSELF).interval(level) if GOLD in arms else nothing
    return LlmItself(accuracy, loss, sums.contrast({_ITSELF: 1.0}).estimate)
