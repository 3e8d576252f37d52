"""What a verdict says: which criterion decides, all human labels, remedies, other sizes, advice."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from analysis import report
from analysis.questions.verdict import verdict
from analysis.questions.verdict_humans import HumanLabels
from analysis.questions.verdict_judge import judge
from analysis.questions.verdict_sentences import Reference, decide
from analysis.store.experiment import read_experiment
from project.config.results import VerdictConfig
from tests.helpers.stored import log_experiment, noisy

GOLD = np.arange(900) % 3
NO_REFERENCE = Reference(None, ())
FORMS = {
    "llm": HumanLabels(0, 50, 3),
    "entropy_5": HumanLabels(45, 50, 3),
    "random_50": HumanLabels(450, 50, 3),
}


def decided(arms, *, tolerance=5.0, min_alpha=0.5, reference=NO_REFERENCE, gold=GOLD, **more):
    """The decision on predictions ``(n_seeds, n)`` by arm."""
    config = VerdictConfig(tolerance, min_alpha)
    judged = judge(gold, arms, 3, config=config, level=0.95, replicates=500, **more)
    rows = judged.rows.assign(
        human_labels=[FORMS[arm].training for arm in judged.rows["arm"]],
        human_share=[FORMS[arm].training / 900 for arm in judged.rows["arm"]],
        human_labels_in_all=[FORMS[arm].total for arm in judged.rows["arm"]],
    )
    return decide(
        rows,
        config,
        gold_alpha=judged.alphas["gold"].interval(),
        humans=FORMS,
        reference=reference,
        advice="ADVICE.",
    )


def test_safe_names_the_human_labels_that_the_llm_arm_takes_and_golds_own_alpha():
    decision = decided({"gold": noisy(GOLD, 0.95), "llm": noisy(GOLD, 0.95, seed=1)})

    assert decision.word == "safe"
    assert "It takes 53 human labels: 50 for validation, 3 as demonstrations." in decision.sentence
    assert "(at least 0.5 is asked for; with gold labels 0." in decision.sentence


@pytest.mark.parametrize(
    ("right", "min_alpha", "tolerance", "decider"),
    [
        (0.5, 0.1, 5.0, "The loss decides."),
        (0.8, 0.9, 90.0, "The agreement decides."),
        (0.5, 0.9, 5.0, "Both loss and agreement decide."),
    ],
)
def test_not_safe_says_which_criterion_decided(right, min_alpha, tolerance, decider):
    arms = {"gold": noisy(GOLD, 0.99), "llm": noisy(GOLD, right, seed=1)}
    decision = decided(arms, min_alpha=min_alpha, tolerance=tolerance)

    assert decision.word == "not safe"
    assert decision.sentence.startswith(decider)


def test_a_safe_remedy_is_no_headline_where_it_is_not_told_apart_from_undecided_labels():
    llm = noisy(GOLD, 0.93, seed=1)
    remedy = llm.copy()
    remedy[:, :20] = GOLD[:20]  # hardly any answer differs, and the remedy is within its limits
    gold = noisy(GOLD, 0.95)
    limit = 100 * judge_high(gold, llm, remedy)
    decision = decided({"gold": gold, "llm": llm, "entropy_5": remedy}, tolerance=limit)

    assert decision.word == "cannot tell"
    assert decision.sentence.startswith("Undecided without human labels")
    assert "entropy_5 is safe, but not measurably better than the LLM's" in decision.sentence
    assert decision.sentence.endswith("ADVICE.")


def judge_high(gold, llm, remedy):
    """A tolerance between the upper limits of the remedy and of llm."""
    arms = {"gold": gold, "llm": llm, "entropy_5": remedy}
    rows = judge(GOLD, arms, 3, config=VerdictConfig(), level=0.95, replicates=500).rows
    highs = rows.set_index("arm")["loss_high"]
    assert highs["entropy_5"] < highs["llm"]
    return (highs["entropy_5"] + highs["llm"]) / 2


def test_the_cheapest_told_apart_remedy_is_named_with_all_its_human_labels():
    arms = {
        "gold": noisy(GOLD, 0.95),
        "llm": noisy(GOLD, 0.6, seed=1),
        "random_50": noisy(GOLD, 0.95, seed=2),
        "entropy_5": noisy(GOLD, 0.95, seed=3),
    }
    decision = decided(arms)

    assert decision.word == "safe with 98 human labels"
    assert "45 for training, 50 for validation, 3 as demonstrations" in decision.sentence
    assert "measurably better than the LLM's labels alone" in decision.sentence


def test_the_same_trainings_lose_exactly_nothing():
    same = noisy(GOLD, 0.9)
    judged = judge(
        GOLD,
        {"gold": same, "llm": same},
        3,
        config=VerdictConfig(0.0, 0.5),
        level=0.95,
        trainings={"gold": ("a", "b", "c"), "llm": ("a", "b", "c")},
        replicates=500,
    )

    assert judged.rows[["loss", "loss_low", "loss_high"]].to_numpy().tolist() == [[0, 0, 0]]
    assert judged.rows["loss_is_small"][0] == "yes"


def test_fewer_gold_labels_give_a_comparison_with_so_many_human_labels_and_never_the_word_safe(
    store,
):
    def fewer(arm, seed, child):
        size = 100 if arm == "gold" else 900
        return dataclasses.replace(child, params={**child.params, "n_train": size})

    for right, word in ((0.95, "no worse than 100 human labels"), (0.5, "worse than 100 human")):
        arms = {"gold": noisy(GOLD, 0.93), "llm": noisy(GOLD, right, seed=1)}
        run_id = log_experiment(store, GOLD, arms, change_child=fewer)
        decision = verdict(read_experiment(run_id), VerdictConfig(5.0, 0.5))

        assert decision.word.startswith(word)
        assert "points of macro-F1 against 100 human labels" in decision.sentence


def test_a_class_without_a_test_example_is_named_and_does_not_shrink_the_loss(store):
    gold = np.arange(600) % 2
    losses = []
    for label_set in (("a", "b"), ("a", "b", "c")):
        arms = {
            "gold": noisy(gold, 0.95, n_classes=2),
            "llm": noisy(gold, 0.85, seed=1, n_classes=2),
        }
        experiment = read_experiment(log_experiment(store, gold, arms, label_set=label_set))
        decision = verdict(experiment, VerdictConfig(5.0, 0.3))
        losses.append(decision.judged["loss"][0])

    assert losses[0] == losses[1]
    assert "c has no test example: macro-F1 is the mean over the other" in decision.sentence


@pytest.mark.parametrize(
    ("counts", "advice"),
    [
        ({"read": 90, "train": 20, "validation": 10, "test": 60}, "-e audit"),
        ({"read": 9000, "train": 20, "validation": 10, "test": 60}, "Raise max_test"),
    ],
)
def test_few_test_texts_get_advice_that_the_data_can_follow(store, counts, advice):
    gold = GOLD[:60]
    arms = {arm: noisy(gold, 0.9, seed=seed) for seed, arm in enumerate(("gold", "llm"))}
    run_id = log_experiment(store, gold, arms)
    experiment = read_experiment(run_id)
    experiment.config["task"]["counts"] = counts

    assert advice in verdict(experiment, VerdictConfig()).sentence


def test_an_asked_arm_that_is_incomplete_is_to_be_finished_and_not_to_be_asked_for_again(store):
    arms = {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.9, seed=1)}
    run_id = log_experiment(
        store, GOLD, arms, change_child=lambda arm, seed, child: child if arm == "llm" else None
    )
    sentence = verdict(read_experiment(run_id), VerdictConfig()).sentence

    assert "run the same command again to go on" in sentence
    assert "arms=gold" not in sentence


def test_where_the_training_texts_have_no_gold_label_an_audit_is_advised(store):
    arms = {"llm": noisy(GOLD, 0.9)}
    experiment = read_experiment(log_experiment(store, GOLD, arms))
    unlabelled = experiment.examples.assign(
        gold_label=experiment.examples["gold_label"].where(experiment.examples["split"] == "test")
    )
    sentence = verdict(
        dataclasses.replace(experiment, examples=pd.DataFrame(unlabelled)), VerdictConfig()
    ).sentence

    assert "-e audit" in sentence
    assert "arms=gold" not in sentence


def test_a_page_without_a_judged_arm_has_no_empty_part(store):
    gold = GOLD[:60]
    arms = {arm: noisy(gold, 0.9, seed=seed) for seed, arm in enumerate(("gold", "llm"))}
    run_id = log_experiment(store, gold, arms)
    report.publish(run_id, str(store / "out"))
    page = (store / "out" / "reports" / run_id / "report.html").read_text()

    assert "60 test examples are too few" in page
    assert "May I fine-tune on these labels?" not in page
