"""The verdict of an experiment whose answer is known: the word, its reason and its limits."""

import dataclasses

import numpy as np
import pytest

from analysis.questions.verdict import tolerances, verdict
from analysis.store.experiment import read_experiment
from project.config.experiment import ExperimentConfig
from project.config.results import VerdictConfig
from tests.helpers.sections import GOLD
from tests.helpers.stored import log_experiment, noisy


def judged(store, arms, gold=GOLD, tolerance=5.0, min_alpha=0.5, **more):
    return verdict(
        read_experiment(log_experiment(store, gold, arms, **more)),
        VerdictConfig(tolerance, min_alpha),
    )


def test_labels_that_cost_nothing_are_safe(store):
    decision = judged(store, {"gold": noisy(GOLD, 0.95), "llm": noisy(GOLD, 0.95, seed=1)})

    assert decision.word == "safe"
    row = decision.judged.set_index("arm").loc["llm"]
    assert row["loss_high"] <= 0.05
    assert row["krippendorff_alpha_low"] >= 0.5
    assert (
        f"[{100 * row['loss_low']:+.1f}, {100 * row['loss_high']:+.1f}]".replace(
            "-", "\N{MINUS SIGN}"
        )
        in decision.sentence
    )


def test_costly_labels_are_not_safe_unless_a_remedy_is_and_the_cheapest_one_is_named(store):
    arms = {"gold": noisy(GOLD, 0.95), "llm": noisy(GOLD, 0.5, seed=1)}
    assert judged(store, arms).word == "not safe"

    more = {
        **arms,
        "random_50": noisy(GOLD, 0.95, seed=2),
        "entropy_10": noisy(GOLD, 0.95, seed=3),
        "entropy_5": noisy(GOLD, 0.6, seed=4),
    }
    decision = judged(store, more)
    # 10 % of 900 for training, the validation labels and the demonstrations
    assert decision.word == "safe with 103 human labels"
    assert "103 human labels: 90 for training, 10 for validation, 3 as" in decision.sentence
    assert "labels of entropy_10, 90 of them (10 %) by a human" in decision.sentence


def test_oracles_and_flipped_labels_are_not_judged_as_remedies(store):
    arms = {
        "gold": noisy(GOLD, 0.95),
        "llm": noisy(GOLD, 0.5, seed=1),
        "oracle_10": noisy(GOLD, 0.95, seed=2),
        "flip_20": noisy(GOLD, 0.95, seed=3),
    }
    decision = judged(store, arms)

    assert decision.word == "not safe"
    assert list(decision.judged["arm"]) == ["llm"]


def test_disagreement_that_gold_labels_show_too_gives_no_verdict(store):
    decision = judged(
        store, {"gold": noisy(GOLD, 0.7), "llm": noisy(GOLD, 0.7, seed=1)}, min_alpha=0.95
    )

    assert decision.word == "cannot tell"
    assert decision.sentence.startswith(
        "Trainings differ too much here whatever the labels: the alpha of classifiers trained on "
        "gold labels is 0.4"
    )


def test_gold_classifiers_that_have_learned_nothing_give_no_verdict(store):
    decision = judged(store, {"gold": np.zeros((3, 900), dtype=int), "llm": noisy(GOLD, 0.1)})

    assert decision.word == "cannot tell"
    assert (
        "not told from one that always gives the same label (macro-F1 16.7 against 16.7)"
        in decision.sentence
    )


def test_a_remedy_without_human_labels_is_named(store):
    arms = {
        "gold": noisy(GOLD, 0.95),
        "llm": noisy(GOLD, 0.5, seed=1),
        "majority": noisy(GOLD, 0.95, seed=2),
    }

    assert judged(store, arms).word == "safe with majority"


def test_seeds_that_disagree_make_labels_unsafe_even_with_a_small_mean_loss(store):
    arms = {"gold": noisy(GOLD, 0.99), "llm": noisy(GOLD, 0.8, seed=1)}

    assert judged(store, arms, min_alpha=0.95, tolerance=30.0).word == "not safe"
    assert judged(store, arms, min_alpha=0.2, tolerance=30.0).word == "safe"


def test_an_interval_that_contains_the_limit_gives_no_verdict(store):
    gold = GOLD[:120]
    decision = judged(
        store, {"gold": noisy(gold, 0.9), "llm": noisy(gold, 0.85, seed=1)}, gold, tolerance=4.0
    )

    assert decision.word == "cannot tell"
    assert decision.sentence.startswith("Undecided without human labels: trained on the LLM's")
    assert "% is due to the 3 seeds and" in decision.sentence
    assert "-P max_test=" in decision.sentence
    assert decision.judged["loss_low"][0] < 0.04 < decision.judged["loss_high"][0]


@pytest.mark.parametrize(
    ("gold", "n_seeds", "arms", "reason"),
    [
        (
            GOLD[:60],
            3,
            ("gold", "llm"),
            "60 test examples are too few to tell anything: 100 at least",
        ),
        (
            np.r_[np.arange(200) % 2, [2, 2]],
            3,
            ("gold", "llm"),
            r"fewer than 10 test examples, by which macro-F1 stands or falls: c (2)",
        ),
        (GOLD, 2, ("gold", "llm"), "gold (2), llm (2): fewer than 3 seeds"),
        (GOLD, 3, ("gold",), "There is no complete arm llm to compare"),
        (GOLD, 3, ("llm",), "There is no complete arm gold to compare"),
    ],
)
def test_too_small_experiments_get_no_verdict_and_a_reason(store, gold, n_seeds, arms, reason):
    decision = judged(store, {arm: noisy(gold, 0.9, n_seeds) for arm in arms}, gold)

    assert decision.word == "cannot tell"
    assert reason in decision.sentence
    assert decision.judged.empty


def test_limits_given_now_override_those_of_the_experiment_which_override_the_defaults():
    run_with = {"config": {"verdict": {"tolerance": 3.0, "min_alpha": 0.7}}}
    earlier = {"config": {"verdict": {"tolerance": 3.0, "least_alpha": 0.7}}}

    assert tolerances(run_with) == VerdictConfig(3.0, 0.7)
    assert tolerances(run_with, tolerance=1.0) == VerdictConfig(1.0, 0.7)
    assert tolerances(earlier) == VerdictConfig(3.0, 0.7)
    assert tolerances({"config": {}}) == VerdictConfig()


def with_n_train(n_llm):
    """A change of the children of an experiment: the arm llm has so many training labels."""

    def change(arm, seed, child):
        if arm != "llm":
            return child
        return dataclasses.replace(child, params={**child.params, "n_train": n_llm})

    return change


def test_missing_labels_of_the_llm_are_not_judged_as_wrong_ones(store):
    arms = {"gold": noisy(GOLD, 0.95), "llm": noisy(GOLD, 0.6, seed=1)}
    n = len(GOLD)
    refused = judged(store, arms, change_child=with_n_train(n // 5))
    few = judged(store, arms, change_child=with_n_train(n - 20))

    assert refused.word == "cannot tell"
    assert f"{n - n // 5} of {n} training texts have no usable label" in refused.sentence
    assert few.word == "not safe"
    assert "20 training texts have a gold label and no usable one of the LLM" in few.sentence
    assert "no usable" not in judged(store, arms).sentence


def test_validation_labels_of_a_logistic_regression_decide_nothing_and_do_not_count(store):
    settings = ExperimentConfig().as_dict()
    settings["finetune"] |= {"encoder": "linear", "seeds": 3}
    settings["prompt"]["n_demonstrations"] = 0
    arms = {"gold": noisy(GOLD, 0.95), "llm": noisy(GOLD, 0.95, seed=1)}
    decision = judged(store, arms, config_changes={"config": settings})

    assert decision.word == "safe"
    assert "human labels:" not in decision.sentence
