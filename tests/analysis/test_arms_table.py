"""The table of arms, on an experiment of one seed."""

import numpy as np

from analysis.questions.arms_table import ScoredExperiment
from analysis.store.experiment import read_experiment
from tests.helpers.stored import log_experiment
from tests.helpers.two_arms import GOLD, arms_of


def test_spread_and_agreement_of_a_single_seed_are_nan_and_not_zero(store):
    run_id = log_experiment(store, GOLD, arms_of(1))
    row = ScoredExperiment(read_experiment(run_id)).arms.set_index("arm").loc["llm"]

    assert np.isnan(
        [row["accuracy_sd"], row["macro_f1_sd"], row["krippendorff_alpha"], row["unchanged"]]
    ).all()
