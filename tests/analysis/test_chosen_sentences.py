"""What is chosen on validation: the score there is named as optimistic, the test score counts."""

from typing import cast

import numpy as np
import pandas as pd

from analysis.questions import grid
from analysis.questions.sweep import chosen_sentence
from analysis.store.arm_scores import limit_columns
from analysis.store.replicates import Replicates
from analysis.store.stored_run import StoredRun
from project.tracking import Record

BEST = {
    "trial": 7,
    "arm": "entropy_25",
    "human_labels": 25,
    "macro_f1": 0.812,
    "macro_f1_low": 0.78,
    "macro_f1_high": 0.84,
}
AGAINST_GOLD = {"loss": 0.021, "loss_low": -0.003, "loss_high": 0.045}


def test_the_test_score_of_the_chosen_trial_has_limits_and_the_validation_score_is_optimistic():
    assert chosen_sentence({**BEST, **AGAINST_GOLD}, 0.84, 12) == (
        "The best on validation, trial 7 (entropy_25), reaches on test a macro-F1 of 81.2 [78.0, "
        "84.0], a loss of 2.1 [-0.3, 4.5] points against gold, with 25 human labels. Its macro-F1 "
        "on validation, 84.0, is optimistic: it was chosen as the best of 12 trials."
    )


def test_without_gold_or_a_choice_the_sentence_is_shorter():
    assert chosen_sentence(BEST, 0.84, 1) == (
        "The best on validation, trial 7 (entropy_25), reaches on test a macro-F1 of 81.2 [78.0, "
        "84.0] with 25 human labels."
    )


def search(n_settings, tested):
    """A grid search of the arms gold and llm in which the first configuration is chosen."""
    rows = [
        {
            "arm": arm,
            "learning_rate": 1e-5 * (index + 1),
            "train_batch_size": 8,
            "epochs": 3,
            "validation_macro_f1": 0.9 - 0.1 * index,
            "chosen": index == 0,
        }
        for arm in ("gold", "llm")
        for index in range(n_settings)
    ]
    root = Record(
        "r",
        "grid",
        "FINISHED",
        {},
        metrics={},
        tags={},
        experiment_id="1",
        started=0,
        artifact_uri="",
    )
    return grid.GridSearch(
        root, {}, tried=pd.DataFrame(rows), tested=pd.DataFrame(tested), incomplete=()
    )


def test_the_highest_of_a_grid_is_optimistic_and_the_test_scores_are_the_result():
    chosen = "learning_rate=1e-05, train_batch_size=8, epochs=3"
    best = f"Best on validation: gold: {chosen}; llm: {chosen}."
    optimistic = (
        " The macro-F1 on validation (gold 90.0, llm 90.0) is optimistic: it is the highest of 4 "
        "configurations."
    )

    assert grid._answer(search(4, [])) == best + optimistic
    assert grid._answer(search(4, [{**BEST, "arm": "gold"}])) == (
        f"{best}{optimistic} On test it is gold 81.2 [78.0, 84.0]."
    )
    assert grid._answer(search(1, [])) == best


class Stored:
    """A root run with three test examples."""

    gold = np.array([0, 1, 1])
    label_set = ("a", "b")


def test_a_tested_trial_that_is_the_training_of_gold_differs_from_it_by_exactly_zero():
    run = Record(
        "id",
        "seed",
        "FINISHED",
        {},
        metrics={},
        tags={"assay.digest": "one"},
        experiment_id="1",
        started=0,
        artifact_uri="",
    )
    same = Replicates([run], np.array([[0, 1, 0]]), np.zeros((1, 3, 2)))
    rows = limit_columns({"gold": same, "trial": same}, cast(StoredRun, Stored()), "gold")

    assert rows["trial"]["loss_high"] == rows["trial"]["loss"] == 0.0
    assert "loss" not in rows["gold"]
    assert 0.9 < rows["gold"]["macro_f1_high"] <= 1.0
