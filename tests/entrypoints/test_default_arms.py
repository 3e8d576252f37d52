"""Defaults with recorded labels become what works; what the user set is refused instead."""

import contextlib

import pytest

from entrypoints import check
from entrypoints.wiring.experiment import prepare_experiment
from entrypoints.wiring.sweep_design import prepare_sweep
from project.config.designs import BudgetConfig, SweepConfig
from project.config.fields import parse
from project.config.labels import LabelConfig
from project.config.loading import defaults
from project.config.task import TaskConfig
from project.data.task import load_task
from project.support.errors import AssayError


@pytest.fixture
def recorded(params, store):
    """A function: entry point, columns and changes -> parameters with recorded labels."""
    task = load_task(TaskConfig(max_train=40, max_validation=16, max_test=24))
    gold = task.examples["gold_label"]
    sure = {f"p.{name}": (gold == name).astype(float) for name in task.label_set}
    task.examples[["example_id"]].assign(one=gold, two=gold, **sure).to_csv(
        store / "recorded.csv", index=False
    )

    def values(name, columns, **changes):
        labels = {"annotator": "recorded", "recorded": str(store / "recorded.csv")}
        given = {**labels, "recorded_columns": columns, "ensemble_size": "auto", **changes}
        return params(name, **given)

    return values


@contextlib.contextmanager
def prepared(values, section=LabelConfig):
    with prepare_experiment(values, labels=section, checks_audits=False) as experiment:
        yield experiment


@pytest.mark.parametrize(
    ("columns", "kinds"),
    [
        ("one", ["gold", "llm"]),
        ("p", ["gold", "llm", "entropy", "entropy"]),
        ("one,two", ["gold", "llm", "ensemble"]),
        ("p,one", ["gold", "llm", "entropy", "entropy", "ensemble"]),
    ],
)
def test_the_default_arms_are_those_that_the_recorded_columns_can_serve(
    recorded, capsys, columns, kinds
):
    with prepared(recorded("main", columns)) as experiment:
        assert [arm.kind for arm in experiment.arms] == kinds
        assert experiment.config.label.arms == tuple(dict.fromkeys(kinds))

    note = f"note: arms is {','.join(dict.fromkeys(kinds))} here: "
    assert (note in capsys.readouterr().err) == (len(set(kinds)) < 4)


def test_one_draw_that_the_user_asks_for_leaves_the_default_ensemble_out(recorded):
    with prepared(recorded("main", "one,two", ensemble_size="1")) as experiment:
        assert [arm.kind for arm in experiment.arms] == ["gold", "llm"]


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ("gold,llm,ensemble", "ensemble_size must be at least 2 for the arm ensemble"),
        ("gold,llm,entropy", "Use vote_entropy, which needs two draws or more, or leave entropy"),
        ("drop_margin", "Use drop_vote_entropy, which needs two draws or more, or leave drop_mar"),
    ],
)
def test_arms_that_the_user_names_are_refused_where_they_cannot_work(recorded, arms, message):
    with pytest.raises(AssayError, match=message), prepared(recorded("main", "one", arms=arms)):
        pass


def test_budgets_and_sweeps_leave_out_what_one_recorded_column_cannot_serve(recorded):
    with prepared(recorded("budget", "one"), BudgetConfig) as experiment:
        kinds = {arm.kind for arm in experiment.arms}
        assert kinds == {*defaults("budget")["arms"].split(",")} - {"entropy"}
    values = recorded("sweep", "one")
    with prepare_sweep(values, parse(SweepConfig, values)) as sweep:
        assert sweep.space.source == ("random", "learned")
        assert sweep.space.ensemble_size == (1,)
    values = recorded("sweep", "one,two")
    with prepare_sweep(values, parse(SweepConfig, values)) as sweep:
        assert sweep.space.source == ("random", "ensemble", "learned")
        assert sweep.space.ensemble_size == (2,)


@pytest.mark.parametrize(
    ("changes", "left_out", "reason"),
    [
        ({"label_smoothing": "0.1"}, "evidence", "evidence needs label_smoothing=0.0"),
        ({"targets": "soft"}, "evidence", "evidence needs targets=hard"),
        ({"encoder": "linear"}, "llm_then_human", "which encoder=linear does not"),
    ],
)
def test_budgets_leave_out_default_arms_that_the_recipe_cannot_train(
    recorded, capsys, changes, left_out, reason
):
    with prepared(recorded("budget", "p,one", **changes), BudgetConfig) as experiment:
        kinds = {arm.kind for arm in experiment.arms}
        assert kinds == {*defaults("budget")["arms"].split(",")} - {left_out}

    assert reason in capsys.readouterr().err


def test_sizes_of_a_sweep_that_the_user_set_are_refused_where_they_cannot_work(recorded):
    values = recorded("sweep", "one,two", sweep_ensemble_size="2,4")

    with (
        pytest.raises(AssayError, match="^sweep_ensemble_size must be at most 2"),
        prepare_sweep(values, parse(SweepConfig, values)),
    ):
        pass


def test_the_check_counts_the_arms_that_the_experiment_will_have(recorded, capsys):
    check.check(recorded("check", "one"))

    printed = capsys.readouterr()
    assert "note: arms is gold,llm here: entropy reads the LLM's probabilities" in printed.err
    assert "entropy_5" not in printed.out + printed.err.replace("entropy reads", "")
