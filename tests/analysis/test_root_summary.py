"""The main numbers of a root run, and the top of its description."""

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from analysis import report
from analysis.questions import root_metrics
from analysis.questions.root_metrics import audit_metrics
from analysis.store.root_summary import known, note
from project.config.results import VerdictConfig
from project.tracking import read_run
from tests.helpers.sections import GOLD
from tests.helpers.stored import log_experiment, noisy

LIMITS = VerdictConfig(tolerance=2.0, min_alpha=0.8)
LOSS = {"loss": 0.1234, "loss_low": -0.01, "loss_high": 0.3}
MAIN = ("loss", "loss_low", "loss_high", "alpha", "llm.macro_f1", "llm.accuracy", "human_labels")


def published(store, n=900, **settings):
    """The root run of a made-up experiment after its report."""
    arms = {"gold": noisy(GOLD[:n], 0.9), "llm": noisy(GOLD[:n], 0.8, seed=1)}
    run_id = log_experiment(store, GOLD[:n], arms, **settings)
    report.publish(run_id, str(store / "out"))
    return read_run(run_id)


LLM = noisy(GOLD, 0.7, 1, 2)


one_process = pytest.mark.xdist_group("root-summary")
"""Tests that share a store: one process makes it."""


@pytest.fixture
def root(store, once):
    """A root run with the labels ``LLM``, reported once; each test has a copy of its store."""

    def make():
        (store / "run_id").write_text(published(store, llm=LLM).run_id)

    once(make)
    return read_run((store / "run_id").read_text())


@one_process
def test_a_root_run_has_the_numbers_of_the_verdict_and_of_the_llm_itself(root, store):

    row = pd.read_csv(store / "out" / "reports" / root.run_id / "tables" / "verdict.csv").loc[0]
    assert row["arm"] == "llm"
    for name in ("loss", "loss_low", "loss_high"):
        assert root.metrics[name] == round(float(row[name]), 4)
    assert root.metrics["loss"] > 0  # something is lost
    assert root.metrics["alpha"] == round(float(row["krippendorff_alpha"]), 4)
    assert root.metrics["llm.accuracy"] == round(float((LLM[0] == GOLD).mean()), 4)
    assert root.metrics["human_labels"] == float(row["human_labels_in_all"])
    assert "cost" not in root.metrics  # there is no price
    arm = root.metrics["arm.llm.accuracy"]
    assert arm != pytest.approx(root.metrics["llm.accuracy"], abs=0.01)


@one_process
def test_the_report_made_again_gives_the_same_numbers_and_the_same_name(root, store):
    first = root
    report.publish(first.run_id, str(store / "out"))
    again = read_run(first.run_id)

    assert again.metrics == first.metrics
    assert again.name == first.name == "made up · not safe"
    assert again.tags == first.tags


@one_process
def test_a_name_that_a_person_gave_stays(root, store):
    MlflowClient().set_tag(root.run_id, "mlflow.runName", "the good one")
    report.publish(root.run_id, str(store / "out"))

    assert read_run(root.run_id).name == "the good one"


def test_too_few_test_texts_give_no_loss_but_say_so_first(store):
    root = published(store, n=40, llm=noisy(GOLD[:40], 0.7, 1, 2))

    assert not root.metrics.keys() & {"loss", "loss_low", "loss_high"}
    assert {"llm.macro_f1", "alpha"} <= root.metrics.keys()
    assert root.tags["mlflow.note.content"].startswith("**Cannot tell.** 40 test examples are")
    assert root.name == "made up · cannot tell"


@one_process
def test_the_ui_lists_the_main_numbers_before_all_others(root):
    logged = list(MlflowClient().get_run(root.run_id).data.metrics)
    assert set(logged[: len(MAIN)]) == set(MAIN)


def test_a_cost_is_logged_where_there_is_a_price(store):
    def priced(arm, seed, child):
        child.metrics["cost"] = 1.25
        return child

    from project.config.experiment import ExperimentConfig

    settings = ExperimentConfig().as_dict()
    settings["finetune"]["seeds"] = 3
    settings["spend"]["price_input"] = 0.5
    root = published(store, change_child=priced, config_changes={"config": settings})

    assert root.metrics["cost"] == 1.25


@one_process
def test_the_description_begins_with_verdict_and_table_and_then_says_everything(root):
    line, table, reason = root.tags["mlflow.note.content"].split("\n\n")[:3]
    points = 100 * root.metrics["loss"]
    assert line.startswith("**Not safe.** Training on the LLM's labels loses ")
    assert f"loses {points:.1f} points" in line
    assert len(line) < 150
    head, _, values = table.splitlines()
    assert head.startswith("| loss of macro-F1&emsp; | alpha&emsp; | LLM: macro-F1&emsp; |")
    assert values.startswith(f"| +{points:.1f} [")
    assert reason.startswith("Both loss and agreement decide.")


@pytest.mark.parametrize(
    ("metrics", "line"),
    [
        (LOSS, "Training on the LLM's labels loses −1.0 to +30.0 points of macro-F1; 2 are"),
        (
            {"loss": 0.1, "loss_low": 0.05, "loss_high": 0.15, "alpha": 0.5},
            "Training on the LLM's labels loses 10.0 points of macro-F1; 2 are",
        ),
        (
            {"loss": 0.001, "loss_low": -0.01, "loss_high": 0.015, "alpha": 0.5},
            "Trained on the LLM's labels, seeds agree to an alpha of 0.500; 0.8 is asked for.",
        ),
        (
            {"loss": 0.001, "loss_low": -0.01, "loss_high": 0.015, "alpha": 0.9},
            "Training on the LLM's labels loses 0.1 points of macro-F1; 2 are",
        ),
    ],
    ids=["open", "the loss", "the agreement", "neither"],
)
def test_the_first_line_says_what_decides(metrics, line):
    text = note("not safe", "Why.", metrics, LIMITS, "")

    assert text.splitlines()[0].startswith(f"**Not safe.** {line}")


def test_a_long_reason_is_cut_in_the_first_line_and_whole_below():
    reason = f"{'word ' * 60}end. Second sentence."

    first, *below = note("cannot tell", reason, {}, None, "").split("\n\n")
    assert first.endswith("...")
    assert len(first) < 170
    assert below == [reason]


def test_names_and_texts_cannot_break_the_description():
    text = note("safe with <b>", "<script>", {}, None, "")

    assert "<b>" not in text
    assert "<script>" not in text


def test_an_answer_without_a_verdict_stands_once():
    assert note("", "Flat.", {}, None, "table") == "Flat.\n\ntable"


def test_only_what_is_known_is_a_number():
    assert known({"a": None, "b": float("nan"), "c": 0, "d": -0.0459}) == {"c": 0.0, "d": -0.0459}


def test_an_audit_has_the_same_names_and_its_plan_none():
    interval = {"estimate": 0.1, "low": 0.05, "high": None}
    result = {"verdict": "cannot tell", "n_audit": 250, "loss": {"macro_f1": interval}, "llm": {}}

    assert audit_metrics(result) == {"loss": 0.1, "loss_low": 0.05, "human_labels": 250.0}
    assert audit_metrics({"kind": "plan", "n_audit": 250}) == {}


def test_the_loss_of_a_grid_is_that_of_the_tested_llm_labels():
    loss = {"loss": 0.02, "loss_low": -0.01, "loss_high": 0.05}
    tested = pd.DataFrame(
        [
            {"arm": "gold", "krippendorff_alpha": 0.9},
            {"arm": "llm", "krippendorff_alpha": 0.8, **loss},
        ]
    )
    unpriced: dict[str, dict[str, dict[str, float]]] = {"config": {"spend": {}}}

    found = root_metrics.tested_metrics(tested, pd.DataFrame(), unpriced)
    assert found == {**loss, "alpha": 0.8}
