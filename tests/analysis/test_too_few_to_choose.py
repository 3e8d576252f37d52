"""Budget and compare draw no conclusion from too few scores, or where nothing was learned."""

import dataclasses

import numpy as np
import pytest

from analysis.questions import budget, compare
from analysis.store.experiment import read_experiment
from tests.helpers.stored import log_experiment, noisy

GOLD = np.arange(300) % 3


def arms_of(gold, n_seeds=3):
    names = ("gold", "llm", "random_50", "entropy_50")
    return {name: noisy(gold, 0.9, n_seeds, seed) for seed, name in enumerate(names)}


def unlearned(*arms):
    """A change of an experiment's children: the seeds of these arms have not learned."""

    def change(arm, seed, child):
        if arm not in arms:
            return child
        return dataclasses.replace(child, metrics={**child.metrics, "not_learned": 1.0})

    return change


def budget_answer(store, gold, n_seeds=3, **more):
    run_id = log_experiment(store, gold, arms_of(gold, n_seeds), kind="budget", **more)
    return budget.section(read_experiment(run_id)).answer


@pytest.mark.parametrize(
    ("gold", "n_seeds", "reason"),
    [
        (GOLD[:60], 3, "60 test examples are too few"),
        (GOLD, 2, "fewer than 3 seeds say too little"),
    ],
)
def test_no_source_is_enough_by_few_test_texts_or_seeds(store, gold, n_seeds, reason):
    answer = budget_answer(store, gold, n_seeds)

    assert answer.startswith("Cannot tell. ")
    assert reason in answer


def test_of_sources_that_have_not_learned_nothing_is_said_and_they_are_named(store):
    said = budget_answer(store, GOLD, change_child=unlearned("random_50"))
    refused = budget_answer(store, GOLD, change_child=unlearned("gold"))

    assert said.endswith(
        "Not compared, since their trainings have not left their start: random_50."
    )
    assert "random_50" not in said.partition("Not compared")[0]
    assert refused.startswith(
        "Cannot tell. Trainings have not left their start: 3 of 3 seeds of gold"
    )


def test_experiments_of_few_seeds_are_not_compared_in_words(store):
    one, other = (
        read_experiment(log_experiment(store, GOLD, {"llm": noisy(GOLD, right, n, 7)}))
        for right, n in ((0.6, 3), (0.95, 1))
    )

    assert compare.comparison(one, other).answer.startswith(
        "Cannot tell, because of the second experiment. llm (1): fewer than 3 seeds"
    )
