"""Notes on trainings: their recipe, too few steps, and trainings that have not learned."""

import re

import pytest

from entrypoints import main
from project.tracking import NOT_LEARNED, children, latest_root
from project.training import loop


@pytest.fixture
def run_gold(params, capfd):
    """A function that trains the arm gold, and returns the root, its seeds and what was printed."""

    def run(**changes):
        main.experiment(params(arms="gold", **changes))
        root = latest_root("experiment")
        return root, children(root, "seed"), " ".join(capfd.readouterr().err.split())

    return run


def test_few_steps_and_trainings_that_have_not_learned_are_named_once_an_arm_and_kept(run_gold):
    root, seeds, printed = run_gold(learning_rate="1e-9")

    assert printed.count("so few steps, 6, that a training has hardly begun: gold.") == 1
    assert printed.count("2 of 2 seeds of gold have not learned") == 1
    assert root.tags[NOT_LEARNED] == "gold (2 of 2)"
    assert [run.metrics["not_learned"] for run in seeds] == [1.0, 1.0]
    assert all(run.tags["assay.few_steps"].startswith("6 steps") for run in seeds)


def test_a_long_way_between_two_evaluations_has_lines_with_the_time_that_is_left(
    run_gold, monkeypatch
):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_REPORTS", 0.0)
    _, _, printed = run_gold(seeds="1", min_steps="6", evaluations="1", workers="1")

    assert re.search(r"gold seed 00: step 3 of 6, \d+ texts/s, \d+ s left", printed)
    assert "1/1" in printed  # evaluations, of which there is one


def test_the_recipe_that_auto_stands_for_is_printed_and_stored(run_gold):
    _, seeds, printed = run_gold(
        epochs="auto", learning_rate="auto", min_steps="60", evaluations="4", seeds="1"
    )
    (seed,) = seeds

    assert "recipe steps, learning rate 0.0004, 60 steps (20 epochs of 3): gold." in printed, (
        printed
    )
    assert "step 15 of 60" in printed
    assert "hardly begun" not in printed
    assert "assay.few_steps" not in seed.tags
    stored = {name: seed.params[name] for name in ("recipe", "epochs", "n_steps", "min_steps")}
    assert stored == {"recipe": "steps", "epochs": "20", "n_steps": "60", "min_steps": "60"}
    assert seed.params["learning_rate"] == "0.0004"
    assert seed.metrics["best_step"] in (15, 30, 45, 60)
