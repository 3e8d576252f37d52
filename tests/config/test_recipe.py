"""The recipe where the user leaves it open, and the schedule of steps and evaluations."""

import dataclasses
import itertools

import pytest

from project.config.finetune import FinetuneConfig
from project.config.recipe import (
    EVALUATIONS,
    MIN_STEPS,
    PAPER_RATE,
    default_learning_rate,
    is_papers,
    schedule,
    with_recipe,
)

MINILM = 22_800_000
ROBERTA = 125_000_000


@pytest.mark.parametrize("n_texts", [1, 15, 16, 25, 64, 500, 1000])
def test_small_and_large_arms_have_at_least_the_same_number_of_steps(n_texts):
    planned = schedule(with_recipe(FinetuneConfig(), n_parameters=MINILM, n_classes=4), n_texts)

    assert MIN_STEPS <= planned.n_steps < MIN_STEPS + planned.steps_per_epoch
    assert planned.n_steps == planned.epochs * planned.steps_per_epoch


@pytest.mark.parametrize(("n_classes", "expected"), [(2, 200), (10, 200), (21, 315), (77, 1155)])
def test_a_task_of_many_classes_has_more_steps(n_classes, expected):
    config = with_recipe(FinetuneConfig(), n_parameters=MINILM, n_classes=n_classes)

    assert config.min_steps == expected


def test_a_large_training_keeps_its_three_epochs():
    planned = schedule(with_recipe(FinetuneConfig(), n_parameters=MINILM, n_classes=4), 5000)

    assert (planned.epochs, planned.n_steps) == (3, 939)


@pytest.mark.parametrize("n_texts", [1, 25, 333, 5000])
def test_evaluations_are_evenly_spaced_and_the_last_is_after_the_last_step(n_texts):
    planned = schedule(with_recipe(FinetuneConfig(), n_parameters=MINILM, n_classes=4), n_texts)
    between = [b - a for a, b in itertools.pairwise((0, *planned.evaluated_after))]

    assert len(planned.evaluated_after) == EVALUATIONS
    assert planned.evaluated_after[-1] == planned.n_steps
    assert max(between) - min(between) <= 1


def test_a_training_of_fewer_steps_than_evaluations_is_evaluated_after_each():
    assert schedule(FinetuneConfig(epochs=2, evaluations=10), 17).evaluated_after == (1, 2, 3, 4)


def test_the_paper_s_recipe_is_three_epochs_at_its_rate_evaluated_after_each():
    config = with_recipe(FinetuneConfig(recipe="paper"), n_parameters=MINILM, n_classes=4)

    assert config.learning_rate == PAPER_RATE
    assert schedule(config, 64).evaluated_after == (4, 8, 12)
    assert schedule(config, 5000).n_steps == 939


def test_what_the_user_sets_stays_as_it_is():
    typed = FinetuneConfig(epochs=2, learning_rate=5e-4)
    both = with_recipe(dataclasses.replace(typed, min_steps=30), n_parameters=MINILM, n_classes=4)

    assert schedule(with_recipe(typed, n_parameters=MINILM, n_classes=4), 64).evaluated_after == (
        4,
        8,
    )
    assert with_recipe(typed, n_parameters=MINILM, n_classes=4).learning_rate == 5e-4
    assert schedule(both, 64).n_steps == 32
    assert schedule(both, 1600).n_steps == 200


def test_min_steps_of_the_user_holds_with_the_paper_s_recipe_too():
    config = with_recipe(
        FinetuneConfig(recipe="paper", min_steps=50), n_parameters=ROBERTA, n_classes=4
    )

    assert schedule(config, 64).n_steps == 52


def test_small_encoders_have_a_higher_rate_and_those_of_the_paper_s_size_its_own():
    rates = [default_learning_rate(n) for n in (1, MINILM, 66_000_000, ROBERTA, 355_000_000)]

    assert rates == sorted(rates, reverse=True)
    assert rates == [4e-4, 1e-4, 3.7e-5, PAPER_RATE, PAPER_RATE]


@pytest.mark.parametrize(
    ("task", "n_train", "kinds", "expected"),
    [
        ("imdb", 5000, ("gold", "llm", "entropy"), True),
        ("imdb", 1000, ("gold", "llm"), False),
        ("catalogue", 5000, ("gold", "llm"), False),
        ("imdb", 5000, ("gold", "human_only"), False),
        ("imdb", 5000, ("gold", "llm_then_human"), False),
    ],
)
def test_the_paper_s_recipe_is_the_default_of_its_own_trainings_alone(
    task, n_train, kinds, expected
):
    found = is_papers(task, n_train, kinds)
    config = with_recipe(FinetuneConfig(), n_parameters=ROBERTA, n_classes=4, is_papers=found)

    assert found is expected
    assert config.recipe == ("paper" if expected else "steps")


def test_an_entry_point_that_sets_the_epochs_has_no_least_number_of_steps():
    config = with_recipe(FinetuneConfig(), n_parameters=MINILM, n_classes=4, sets_epochs=True)

    assert schedule(dataclasses.replace(config, epochs=2), 64).n_steps == 8
