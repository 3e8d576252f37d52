"""The table of arms: a single seed, and its sentence where gold labels are fewer."""

import dataclasses

import numpy as np

from analysis.questions.arms_table import ScoredExperiment, result_table, summary
from analysis.store.experiment import read_experiment
from tests.helpers.stored import log_experiment
from tests.helpers.two_arms import GOLD, arms_of


def test_spread_and_agreement_of_a_single_seed_are_nan_and_not_zero(store):
    run_id = log_experiment(store, GOLD, arms_of(1))
    row = ScoredExperiment(read_experiment(run_id)).arms.set_index("arm").loc["llm"]

    assert np.isnan(
        [row["accuracy_sd"], row["macro_f1_sd"], row["krippendorff_alpha"], row["unchanged"]]
    ).all()


def test_fewer_gold_labels_are_named_in_the_sentence_on_what_is_lost(store):
    def fewer(arm, seed, child):
        size = 100 if arm == "gold" else 501
        return dataclasses.replace(child, params={**child.params, "n_train": size})

    run_id = log_experiment(store, GOLD, arms_of(), change_child=fewer)
    sentence = summary(result_table(ScoredExperiment(read_experiment(run_id))))

    assert sentence.startswith("Against 100 human labels, training on the LLM's labels loses ")
    assert "on 100 human labels " in sentence
    assert "gold labels" not in sentence
