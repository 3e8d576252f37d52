"""The note below the table of arms."""

import pytest

from analysis.questions.arms_caption import caption
from analysis.questions.arms_table import ScoredExperiment, result_table
from analysis.store.experiment import read_experiment
from project.config.experiment import ExperimentConfig
from tests.helpers.sections import GOLD
from tests.helpers.stored import log_experiment, noisy


@pytest.mark.parametrize(
    ("arm", "note"),
    [
        ("entropy_5", "3 demonstrations in every draw, and"),
        ("ensemble_5", "3 demonstrations in every draw (1 draw; 5 for the ensemble), and"),
    ],
)
def test_the_note_below_the_table_mentions_the_ensemble_only_as_an_arm(store, arm, note):
    settings = ExperimentConfig().as_dict()
    settings["finetune"]["seeds"] = 2
    settings["prompt"] |= {"n_demonstrations": 3, "ensemble_size": 5}
    arms = {"gold": noisy(GOLD, 0.9, 2), "llm": noisy(GOLD, 0.6, 2), arm: noisy(GOLD, 0.7, 2)}
    log_experiment(store, GOLD, arms, llm=GOLD, config_changes={"config": settings})
    scored = ScoredExperiment(read_experiment())

    assert note in caption(scored, result_table(scored)).how
