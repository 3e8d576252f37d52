"""The first screen of a report: the verdict in everyday words, its numbers, and what to do next."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from analysis.questions.arms_table import ScoredExperiment
from analysis.questions.audit_answer import answer as audit_answer
from analysis.questions.llm_itself import llm_itself
from analysis.questions.report_answer import answer
from analysis.questions.report_steps import next_steps
from analysis.questions.verdict import Verdict, tolerances, verdict
from analysis.store.experiment import read_experiment
from project.config.loading import defaults
from project.tracking import read_run
from tests.helpers.sections import GOLD
from tests.helpers.stored import log_experiment, noisy


def experiment(store, llm_accuracy=0.7, given=None, **changes):
    arms = {
        "gold": noisy(GOLD, 0.95),
        "llm": noisy(GOLD, llm_accuracy, 3, 1),
        "entropy_25": noisy(GOLD, 0.8, 3, 2),
    }
    llm = noisy(GOLD, 0.9, 1, 9) if given is None else given
    return read_experiment(log_experiment(store, GOLD, arms, llm=llm, **changes))


def started_with(stored, *, entry="main", masked=(), **params):
    """Log the parameters that the run was started with."""
    facts = {"parameters": {**defaults(entry), **params}, "parameters_masked": list(masked)}
    MlflowClient().log_dict(stored.root.run_id, facts, "provenance.json")


def judged(word, entry="", **change):
    return Verdict(word, "Reason.", pd.DataFrame(), 2.0, 0.8, 0.95, entry, change)


def screen(stored):
    decision = verdict(stored, tolerances(stored.config))
    return answer(ScoredExperiment(stored), decision)


def test_the_answer_of_bad_labels_says_no_and_shows_every_arm_beside_what_is_tolerated(store):
    shown = screen(experiment(store))

    assert shown.kind == "not"
    assert shown.headline == "No: do not train on these LLM labels as they are"
    assert "2 are tolerated" in shown.sentences[0]
    assert [number.kind for number in shown.numbers] == ["not", "not", "open"]
    assert shown.plot is not None
    assert [row.name for row in shown.plot.rows] == [
        "Gold labels",
        "The LLM itself",
        "LLM labels",
        "entropy_25",
    ]
    llm = shown.plot.rows[2].value
    assert llm.low < llm.estimate < llm.high
    assert shown.plot.tolerated == (-np.inf, 2.0)


def test_a_refusal_says_why_and_shows_what_is_known_all_the_same(store):
    gold = GOLD[:60]
    run_id = log_experiment(
        store, gold, {"gold": noisy(gold, 0.9), "llm": noisy(gold, 0.7, 3, 1)}, llm=gold
    )
    stored = read_experiment(run_id)
    started_with(stored, data="reviews.csv")
    shown = screen(stored)

    assert shown.kind == "open"
    assert shown.sentences[0].startswith("60 test examples are too few")
    assert shown.plot is None
    assert [number.value for number in shown.numbers] == ["100 %"]
    assert shown.steps[0].command.endswith("-P data=reviews.csv -P max_test=500")


def test_the_next_command_has_the_parameters_of_the_run_and_the_one_that_decides(store):
    stored = experiment(store)
    started_with(stored, data="my reviews.csv", seeds="3", learning_rate="2e-4")

    (step,) = next_steps(stored, judged("cannot tell", "main", until="decided"))

    assert step.command == (
        "mlflow run . --env-manager local -P 'data=my reviews.csv' -P seeds=3 "
        "-P learning_rate=2e-4 -P until=decided"
    )


def test_a_budget_that_cannot_tell_leads_to_another_budget(store):
    stored = experiment(store, kind="budget")
    started_with(stored, entry="budget")

    (step,) = next_steps(stored, judged("cannot tell", "main", max_test=900))

    assert step.command == "mlflow run . --env-manager local -e budget -P max_test=900"


def test_labels_that_train_better_classifiers_gain_and_do_not_lose(store):
    arms = {"gold": noisy(GOLD, 0.8), "llm": noisy(GOLD, 0.9, 3, 1)}
    stored = read_experiment(log_experiment(store, GOLD, arms))

    (sentence,) = screen(stored).sentences

    assert " It gains " in sentence
    assert "loses" not in sentence


def test_fewer_gold_labels_are_named_on_the_first_screen_wherever_they_are_compared_with(store):
    def fewer(arm, seed, child):
        size = 100 if arm == "gold" else 900
        return dataclasses.replace(child, params={**child.params, "n_train": size})

    shown = screen(experiment(store, change_child=fewer))

    assert shown.headline == "No: these LLM labels are worse than 100 human labels"
    assert "trained on 100 human labels, " in shown.sentences[0]
    assert shown.numbers[0].name == "points of macro-F1 lost against 100 human labels"
    assert shown.plot.caption.endswith("against 100 human labels.")
    assert "gold labels" not in " ".join([*shown.sentences, *shown.numbers[1].details])


def test_labels_that_fail_by_their_agreement_alone_say_so(store):
    stored = experiment(store, llm_accuracy=0.7)
    limits = tolerances(stored.config, tolerance=90.0, min_alpha=0.8)

    shown = answer(ScoredExperiment(stored), verdict(stored, limits))

    assert shown.word == "not safe"
    assert "agree less than asked for (alpha below 0.8)" in shown.sentences[0]


def test_labels_that_are_not_safe_lead_to_a_budget_without_the_arms_of_the_run(store):
    stored = experiment(store)
    started_with(stored, arms="gold,llm", replace_share="5")

    budget, other = next_steps(stored, judged("not safe"))

    assert budget.command == "mlflow run . --env-manager local -e budget"
    assert "another LLM" in other.text
    assert not other.command


def test_safe_labels_are_put_to_work_once_a_classifier_is_kept(store):
    stored = experiment(store)
    started_with(stored)

    keep, then = next_steps(stored, judged("safe"))

    assert keep.command == "mlflow run . --env-manager local -P log_model=best"
    assert "-e predict -P run_id=RUN" in then.command


@pytest.mark.parametrize("facts", [{"masked": ["data"]}, None])
def test_a_run_whose_parameters_are_not_all_known_gets_no_command(store, facts):
    stored = experiment(store)
    if facts:
        started_with(stored, **facts)

    assert next_steps(stored, judged("cannot tell", "main", seeds=10)) == []


def test_the_llm_itself_is_scored_and_a_missing_answer_is_wrong(store):
    given = GOLD.copy()
    given[:90] = -1
    found = llm_itself(experiment(store, given=given))

    assert found is not None
    assert found.accuracy.estimate == pytest.approx(0.9)
    # Wilson's limits of 810 of 900: (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    assert found.accuracy.low == pytest.approx(0.8787, abs=1e-4)
    assert found.accuracy.high == pytest.approx(0.9179, abs=1e-4)
    assert found.loss.low < found.loss.estimate < found.loss.high
    # A third of each class lacks nothing but recall: F1 = 2 r / (1 + r).
    recalls = [np.mean(given[code == GOLD] == code) for code in range(3)]
    expected = np.mean([2 * recall / (1 + recall) for recall in recalls])
    assert found.macro_f1 == pytest.approx(expected)


def limits(estimate, low=None, high=None):
    return {"estimate": estimate, "low": low, "high": high}


def audit(**changes):
    scores = {"accuracy": limits(0.6, 0.55, 0.65), "macro_f1": limits(0.6, 0.55, 0.65)}
    gold = {"accuracy": limits(0.8, 0.7, 0.9), "macro_f1": limits(0.8, 0.7, 0.9)}
    loss = {"accuracy": limits(0.2, 0.1, 0.3), "macro_f1": limits(0.2, 0.1, 0.3), "level": 0.9}
    return {
        "verdict": "not safe",
        "n_audit": 250,
        "n_pool": 1000,
        "tolerance": 0.02,
        "at_least": None,
        "llm": scores,
        "classifier": scores,
        "gold_trained": gold,
        "loss": loss,
        "agreement": {"unchanged": limits(0.57, 0.5, 0.6)},
        "needs": {"reason": "", "more_audited": 0},
        "next": {"texts": [{}] * 50},
        **changes,
    }


def test_an_audit_shows_the_llm_and_both_classifiers_from_the_score_that_is_tolerated(store):
    root = read_run(experiment(store).root.run_id)

    shown = audit_answer(root, audit(), "Reason.")

    assert shown.kind == "not"
    assert [number.value for number in shown.numbers] == ["20.0", "60 %", "57 %"]
    assert shown.plot is not None
    assert [row.kind for row in shown.plot.rows] == ["annotator", "llm", "reference"]
    assert shown.plot.tolerated == pytest.approx((78.0, np.inf))
    assert "the 50 texts that the LLM most probably got wrong" in shown.steps[0].text


def test_an_audit_that_cannot_tell_leads_to_a_larger_one(store):
    stored = experiment(store)
    MlflowClient().log_dict(
        stored.root.run_id,
        {"parameters": {"data": "codes.csv", "human": "answers.csv"}, "parameters_masked": []},
        "provenance.json",
    )
    needs = {"reason": "so", "more_audited": 120}
    shown = audit_answer(
        read_run(stored.root.run_id), audit(verdict="cannot tell", needs=needs), "Reason."
    )

    assert shown.kind == "open"
    (step,) = shown.steps
    assert step.command == (
        "mlflow run . --env-manager local -e ask -P data=codes.csv -P design=audit -P n=370"
    )


def test_an_audit_without_an_estimate_of_the_loss_has_no_picture(store):
    unknown = {"accuracy": limits(None), "macro_f1": limits(None)}
    root = read_run(experiment(store).root.run_id)

    shown = audit_answer(root, audit(gold_trained=unknown, loss={**unknown}), "Reason.")

    assert shown.plot is None
    assert [number.value for number in shown.numbers] == ["60 %", "57 %"]
