"""Studies: what is tried, in which order, and which trials are chosen."""

from typing import Any

import pytest

from project.config.designs import SweepConfig
from project.config.labels import LabelConfig
from project.search.sampling import trials_at_once
from project.search.space import Setting, Space, Values
from project.support.errors import AssayError


def test_the_workers_of_a_grid_try_every_point_once_together(open_study, ask, work):
    first, second = open_study(sampler="grid"), open_study(sampler="grid")
    settings = work(first, 3) + work(second, 2) + work(first)

    assert len(settings) == len(set(settings)) == first.wanted == 8
    assert ask(second) is None
    assert work(open_study(sampler="grid")) == []  # a finished grid is not started again


def test_part_of_a_grid_has_all_values_of_every_part(open_study, work):
    settings = work(open_study(sampler="grid", trials=4))

    assert len(settings) == 4
    for name in ("source", "replace_share", "ensemble_size"):
        assert len({getattr(setting, name) for setting in settings}) == 2


@pytest.mark.parametrize(
    "config",
    [{}, {"objective": "single"}, {"sampler": "gp", "objective": "single"}, {"sampler": "gp"}],
)
def test_a_stopped_study_continues_as_if_it_had_not_stopped(open_study, work, config):
    unstopped = work(open_study(trials=12, **config))
    work(open_study(name="stopped", trials=12, **config), 11)

    assert work(open_study(name="stopped", trials=12, **config)) == unstopped[11:]
    assert {setting.source for setting in unstopped} == {"random", "ensemble"}
    between = {setting.replace_share for setting in unstopped} - {5.0, 50.0}
    assert len(between) > 1
    assert all(share.is_integer() for share in between)
    assert {setting.ensemble_size for setting in unstopped} <= {2, 3}


def test_another_design_under_the_same_name_is_refused_with_the_difference(open_study):
    open_study(design={"task": "t", "recipe": {"epochs": 3}})

    with pytest.raises(
        AssayError,
        match=r"s was made with another recipe: \{'epochs': 3\}, now \{'epochs': 4\}\. Set the",
    ):
        open_study(design={"task": "t", "recipe": {"epochs": 4}})


def test_a_setting_that_differs_only_in_what_its_source_ignores_has_the_values_of_its_duplicate(
    open_study, ask
):
    study = open_study(sampler="grid")
    duplicates = {}
    while trial := ask(study):
        values = Values(trial.number / 10, 0.1, 2, 1.0)
        if trial.duplicate_of is not None:
            duplicates[trial.setting] = trial.duplicate_of
            values = study.values_of(trial.duplicate_of)
            assert values.macro_f1 == trial.duplicate_of / 10
        study.complete(trial, values, "run")

    # a random share is the same whatever K, an ensemble the same whatever the share
    assert len(duplicates) == 4
    assert all(number < 8 for number in duplicates.values())


def test_a_study_may_be_given_more_trials(open_study, work):
    settings = [
        *work(open_study(sampler="grid", trials=3)),
        *work(open_study(sampler="grid", trials=5)),
        *work(open_study(sampler="grid")),
    ]

    assert len(settings) == len(set(settings)) == 8


def test_one_objective_is_macro_f1_less_its_cost_and_several_choose_the_pareto_front(
    open_study, work
):
    values = {
        "random": Values(0.5, 0.1, 10, 4.0),
        "entropy": Values(0.6, 0.2, 10, 40.0),
        "margin": Values(0.55, 0.3, 10, 8.0),
    }
    space = Space(tuple(values), (5.0,), (2,), (3,), ("none",))
    configs: dict[str, dict[str, Any]] = {
        "macro-F1": {"objective": "single"},
        "priced": {"objective": "single", "price_point": 1.0},
        "front": {"objective": "pareto"},
    }
    chosen = {}
    for name, config in configs.items():
        study = open_study(space, name=name, sampler="grid", **config)
        work(study, values=lambda setting: values[setting.source])
        chosen[name] = {setting.source for _, setting in study.choice.trials()}

    assert chosen == {
        "macro-F1": {"entropy"},
        "priced": {"margin"},
        "front": {"random", "entropy"},
    }


def test_a_trial_below_the_median_after_its_first_seed_is_stopped(open_study, ask):
    study = open_study(objective="single", prune=True, trials=8)
    for k in range(6):
        trial = ask(study)
        assert not study.should_stop(trial, Values(0.5 + k / 100, 0.1, 1, 0.0))
        study.complete(trial, Values(0.5, 0.1, 1, 0.0), "run")
    trial = ask(study)
    assert study.should_stop(trial, Values(0.1, 0.1, 1, 0.0))
    study.end(trial, "PRUNED", "run", "below the median")
    assert study.done() == 7
    assert study.failed() == []
    with pytest.raises(AssayError, match="prune needs objective=single"):
        SweepConfig(prune=True)


def test_a_settings_name_holds_only_what_its_source_uses():
    two, three = (Setting("random", 5.0, size, 3, "none") for size in (2, 3))
    assert two.name(LabelConfig()) == three.name(LabelConfig())
    assert two.arm(LabelConfig()).name == "random_5"
    learned = [Setting("learned", 5.0, size, 3, "none").name(LabelConfig()) for size in (2, 3)]
    assert learned[0] != learned[1]


@pytest.mark.parametrize(
    ("config", "n_places", "expected"),
    [
        ({}, 0, 1),  # without a cluster
        ({"sweep_at_once": 7}, 0, 7),
        ({"sweep_at_once": 1}, 64, 1),
        ({"sweep_seeds": 2}, 3, 2),  # trials of two seeds fill three places
        ({"sweep_seeds": 2}, 64, 5),  # a quarter of twenty, since the sampler learns
        ({"sweep_seeds": 2, "sampler": "grid"}, 64, 20),
        ({"sweep_seeds": 2, "sampler": "grid"}, 16, 8),
        ({"sweep_seeds": 2, "sampler": "grid", "prune": True, "objective": "single"}, 16, 16),
    ],
)
def test_as_many_trials_are_open_as_fill_a_cluster_while_the_sampler_can_learn(
    config, n_places, expected
):
    assert trials_at_once(SweepConfig(**config), 20, n_places) == expected


def test_a_worker_with_open_trials_gets_all_that_are_left_and_does_not_wait_for_itself(open_study):
    study = open_study(sampler="grid")

    def next_trial():
        return study.ask(print, print, waits=False)

    trials = [next_trial() for _ in range(9)]
    assert [trial and trial.number for trial in trials] == [*range(8), None]
    for trial in trials[:8]:
        study.complete(trial, Values(0.5, 0.5, 1.0, 1.0), "run")
    assert next_trial() is None
    assert study.done() == 8


def test_the_same_trials_open_at_once_are_the_same_whoever_runs_them(open_study):
    def numbers_and_settings(name):
        study = open_study(name=name, trials=12)
        found = []
        for _ in range(3):
            trials = [study.ask(print, print, waits=False) for _ in range(4)]
            found += [(trial.number, trial.setting) for trial in trials]
            for trial in trials:
                share = trial.setting.replace_share / 100
                study.complete(trial, Values(share, share, 1.0, 1.0), "run")
        return found

    assert numbers_and_settings("first") == numbers_and_settings("second")
