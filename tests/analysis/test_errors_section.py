"""The errors of an annotator: structured or random, their equal in flipped labels, rare classes."""

import re

import numpy as np
import pytest

from analysis.questions import errors
from analysis.questions import examples as texts
from analysis.store.experiment import read_experiment
from tests.helpers.sections import GOLD, of
from tests.helpers.stored import log_experiment, noisy


def structured(random, gold=GOLD):
    """Labels of an annotator that errs in 60 per cent of one class, always with the same label."""
    return np.where((gold == 2) & (random.random(len(gold)) < 0.6), 0, gold)


def test_errors_in_one_class_are_called_structured_and_random_ones_are_not(store):
    random = np.random.default_rng(0)
    arms = {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.8, seed=1)}
    section = of(errors, read_experiment(log_experiment(store, GOLD, arms, llm=structured(random))))
    assert (
        "the errors are not random: they depend on the gold class, which wrong label"
        in section.answer
    )
    frame = {table.name: table.frame for table in section.tables}
    moved = frame["noise_transition"].set_index(["gold", "given"])
    assert moved.loc[("c", "a"), "share"] == pytest.approx(
        (structured(np.random.default_rng(0)) != GOLD).sum() / 300
    )
    assert moved.loc[("a", "a"), "share"] == 1.0

    flipped = np.where(random.random(900) < 0.3, (GOLD + random.integers(1, 3, 900)) % 3, GOLD)
    section = of(errors, read_experiment(log_experiment(store, GOLD, arms, llm=flipped)))
    assert "no test tells the errors from random ones" in section.answer


def test_answers_without_a_label_have_a_column_of_their_own(store):
    llm = np.where(np.arange(900) % 10 == 0, -1, GOLD)
    section = of(
        errors, read_experiment(log_experiment(store, GOLD, {"gold": noisy(GOLD, 0.9)}, llm=llm))
    )

    assert list(section.tables[0].head) == ["gold", "n", "a", "b", "c", "(no answer)"]
    assert "wrong in 10.0 %" in section.answer


def test_labels_without_distributions_have_no_entropy_to_test_or_to_show(store):
    run_id = log_experiment(
        store,
        GOLD,
        {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.6, seed=1)},
        llm=noisy(GOLD, 0.7, 1, 2),
        has_log_probabilities=False,
    )
    experiment = read_experiment(run_id)
    tests = next(
        table.frame for table in of(errors, experiment).tables if table.name == "error_tests"
    ).set_index("errors_depend_on")

    assert np.isnan(
        tests.loc["the LLM's entropy", ["value", "p", "p_adjusted"]].astype(float)
    ).all()
    assert set(of(texts, experiment).tables[0].frame["entropy, bits"]) == {"-"}


def test_the_noise_equivalent_rate_lies_between_the_flip_rates_around_the_llm(store):
    arms = {
        "gold": noisy(GOLD, 0.95),
        "llm": noisy(GOLD, 0.75, seed=1),
        "flip_20": noisy(GOLD, 0.85, seed=2),
        "flip_40": noisy(GOLD, 0.65, seed=3),
    }
    section = of(errors, read_experiment(log_experiment(store, GOLD, arms)))
    arms["flip_40"] = noisy(GOLD, 0.85, seed=3)
    beyond = of(errors, read_experiment(log_experiment(store, GOLD, arms)))

    rate, low, high = map(
        float,
        re.findall(r"The noise-equivalent rate is (\d+) % \[(\d+), (\d+)\]", section.answer)[0],
    )
    assert 20 < low < rate < high < 40
    assert (
        "The noise-equivalent rate is more than 40 % [more than 40, more than 40]" in beyond.answer
    )


def test_the_tail_report_begins_with_the_rarest_class(store):
    gold = np.r_[np.zeros(200), np.ones(100), np.full(30, 2)].astype(int)
    llm = np.where(gold == 2, 0, noisy(gold, 0.9, 3, 1))
    section = of(
        errors, read_experiment(log_experiment(store, gold, {"gold": noisy(gold, 0.9), "llm": llm}))
    )
    tail = next(table.frame for table in section.tables if table.name == "tail")

    assert list(tail["class"]) == ["c", "b", "a"]
    assert tail["llm"][0] == 0
    assert tail["lost_low"][0] > 0.5
    assert "The rarest class of the test split, c (30 of 330)" in section.answer
