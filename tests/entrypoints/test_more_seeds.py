"""until=decided: seeds are added while they may decide the verdict; a report reads all looks."""

import numpy as np
import pytest

from analysis.questions.verdict import level_of, verdict
from analysis.render.text import title
from analysis.store.experiment import read_experiment
from entrypoints import main
from entrypoints.wiring.more_seeds import _goes_on
from project.config.experiment import ExperimentConfig
from project.config.results import VerdictConfig
from project.support.errors import AssayError
from project.tracking import SEEDS_TRAINED, children, latest_root
from tests.helpers.stored import log_experiment, noisy

GOLD = np.arange(300) % 3


def config_of(**limits):
    return ExperimentConfig(verdict=VerdictConfig(**limits, until="decided"))


@pytest.mark.parametrize(
    ("rates", "tolerance", "goes_on"),
    [
        # (accuracies of the seeds of gold, of llm), tolerated points
        (((0.99, 0.99, 0.99), (0.5, 0.5, 0.5)), 2.0, False),  # decided: not safe
        (((0.9, 0.9, 0.9), (0.9, 0.9, 0.9)), 1.0, False),  # the texts alone hold the limit
        (((0.99, 0.9, 0.8), (0.99, 0.9, 0.8)), 10.0, True),  # the seeds differ
    ],
)
def test_seeds_are_added_only_while_they_may_decide(store, capsys, rates, tolerance, goes_on):
    arms = {
        arm: np.concatenate([noisy(GOLD, rate, 1, 10 * side + k) for k, rate in enumerate(of_arm)])
        for side, (arm, of_arm) in enumerate(zip(("gold", "llm"), rates, strict=True))
    }
    run_id = log_experiment(store, GOLD, arms)

    assert _goes_on(run_id, config_of(tolerance=tolerance, min_alpha=-1.0), 3) is goes_on
    said = capsys.readouterr().err
    assert ("more are trained" in said) is goes_on


@pytest.mark.parametrize(
    ("llm", "remedy", "goes_on"),
    [
        # Accuracies of the seeds; gold has 0.99.
        ((0.5, 0.5, 0.5), (0.99, 0.99, 0.99), False),  # not safe, and the remedy is
        ((0.5, 0.5, 0.5), (0.6, 0.6, 0.6), False),  # neither is
        ((0.5, 0.5, 0.5), (0.99, 0.9, 0.8), True),  # the remedy might be with more seeds
        ((0.99, 0.99, 0.99), (0.99, 0.9, 0.8), False),  # no remedy is needed
        ((0.99, 0.9, 0.8), (0.5, 0.5, 0.5), True),
    ],
)
def test_seeds_are_added_for_a_remedy_that_may_be_safe(store, capsys, llm, remedy, goes_on):
    rates = {"gold": (0.99, 0.99, 0.99), "llm": llm, "entropy_5": remedy}
    arms = {
        arm: np.concatenate([noisy(GOLD, rate, 1, 10 * side + k) for k, rate in enumerate(of_arm)])
        for side, (arm, of_arm) in enumerate(rates.items())
    }
    run_id = log_experiment(store, GOLD, arms)

    assert _goes_on(run_id, config_of(tolerance=12.0, min_alpha=-1.0), 3) is goes_on
    said = capsys.readouterr().err
    if goes_on:
        decides_on = "entropy_5" if llm[0] == 0.5 else "llm"
        assert f"more are trained, which may decide on {decides_on}." in said


def test_a_later_look_has_a_level_of_its_own_and_the_three_errors_add_up_to_five_per_cent(store):
    arms = {arm: noisy(GOLD, 0.9, 4, k) for k, arm in enumerate(("gold", "llm"))}
    experiment = read_experiment(log_experiment(store, GOLD, arms))
    asked = experiment.config["config"]["finetune"]
    levels = []
    for asked["seeds"] in (4, 2, 1):
        levels.append(level_of(experiment, VerdictConfig(until="decided")))

    assert levels == pytest.approx([0.99, 0.986, 0.974])
    assert sum(1 - level for level in levels) == pytest.approx(0.05)
    assert level_of(experiment, VerdictConfig()) == 0.95
    assert verdict(experiment, VerdictConfig(until="decided")).level == pytest.approx(0.974)


def test_a_run_adds_seeds_and_its_report_counts_them(params, tmp_path, capsys):
    random = np.random.default_rng(0)
    lines = ["text,label,guess"]
    for index in range(170):
        label = ("cat", "dog")[index % 2]
        word = label if random.random() < 0.8 else "animal"
        guess = label if random.random() < 0.9 else "cat"
        lines.append(f"a {word} of number {index},{label},{guess}")
    (tmp_path / "pets.csv").write_text("\n".join(lines))
    card = "name: pets\nsource: {file: pets.csv}\ncolumns: {text: text, label: label}\n"
    card += "description: You sort letters.\nlabels: [cat, dog]\n"
    card += "split: {demonstration: 4, train: 24, validation: 10, test: 120}\n"
    (tmp_path / "pets.yaml").write_text(card)
    given = params(
        task=str(tmp_path / "pets.yaml"),
        annotator="recorded",
        recorded=str(tmp_path / "pets.csv"),
        recorded_columns="guess",
        encoder="linear",
        ensemble_size="1",
        arms="gold,llm",
        seeds="2",
        until="decided",
        tolerance="9",
        min_alpha="-1",
        max_train="24",
        max_test="120",
        workers="",
    )
    main.experiment({**given, "workers": "auto"})
    root = latest_root("experiment")
    n_trained = int(root.tags[SEEDS_TRAINED])
    experiment = read_experiment(root.run_id)

    assert n_trained in (4, 8)  # two seeds say too little
    assert len(children(root, "seed")) == 2 * n_trained
    assert len(experiment.arms["llm"].predicted) == n_trained
    assert title(experiment.config).endswith(f", {n_trained} seeds")
    assert "verdict: 2 seeds are too few to tell; more are trained." in capsys.readouterr().err


def test_until_decided_needs_replicates_that_differ_in_the_seed_alone(params):
    with pytest.raises(AssayError, match="until=decided adds seeds, and needs replicate=training"):
        main.experiment(params(until="decided", replicate="pipeline", arms="gold,llm"))
