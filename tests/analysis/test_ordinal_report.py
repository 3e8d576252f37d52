"""The report of a task with ordered labels, and which alpha it names where."""

import numpy as np
import pandas as pd
import pytest

from analysis.questions import agreement, steps
from analysis.questions.arms import brief, several
from analysis.questions.arms_table import ScoredExperiment, result_table
from analysis.questions.compare import comparison
from analysis.questions.report_answer import answer
from analysis.questions.root_metrics import experiment_metrics
from analysis.questions.verdict import tolerances, verdict
from analysis.questions.verdict_table import section as verdict_section
from analysis.render.section import terminal
from analysis.store.experiment import read_experiment
from project.stats.agreement import label_counts, nominal_alpha, ordinal_alpha
from tests.helpers.sections import of
from tests.helpers.stored import log_experiment

STARS = ("1", "2", "3", "4", "5")
GOLD = np.random.default_rng(0).integers(0, 5, 400)
TASK = {
    "name": "stars",
    "title": "Stars",
    "label_set": list(STARS),
    "label_type": "ordinal",
    "counts": {"validation": 10, "test": 400},
    "notes": [],
    "source": "here",
    "examples_sha256": "0",
    "licence": "none",
    "citation": "none",
}


def near(right, seed, n_seeds=3):
    """Predictions that are one step off where they are wrong."""
    random = np.random.default_rng(seed)
    step = random.choice([-1, 1], (n_seeds, len(GOLD)))
    moved = np.where((GOLD + step < 0) | (GOLD + step > 4), GOLD - step, GOLD + step)
    return np.where(random.random((n_seeds, len(GOLD))) < right, GOLD, moved)


ARMS = {"gold": near(0.9, 1), "llm": near(0.6, 2)}


@pytest.fixture
def logged(store):
    """A function that logs the experiment as a task of a label type, None for an old store."""

    def log(label_type):
        task = {key: value for key, value in TASK.items() if key != "label_type"}
        task |= {"label_type": label_type} if label_type else {}
        run_id = log_experiment(
            store, GOLD, ARMS, llm=ARMS["llm"][:1], label_set=STARS, config_changes={"task": task}
        )
        return read_experiment(run_id)

    return log


def test_an_ordinal_task_shows_its_errors_in_steps_and_the_ordinal_alpha_by_its_name(logged):
    experiment = logged("ordinal")
    scored = ScoredExperiment(experiment)
    decision = verdict(experiment, tolerances(experiment.config))
    row = result_table(scored).set_index("labels").loc["llm"]
    counts = label_counts(ARMS["llm"], 5)

    assert row["mean_absolute_error"] == pytest.approx(np.abs(ARMS["llm"] - GOLD).mean())
    assert row["krippendorff_alpha"] == pytest.approx(100 * nominal_alpha(counts))
    assert row["krippendorff_alpha_ordinal"] == pytest.approx(100 * ordinal_alpha(counts))
    table = terminal(brief(scored))
    assert {"mean error", "quadratic kappa", "ordinal alpha_K"} <= set(brief(scored).tables[0].head)
    assert "alpha_K" not in brief(scored).tables[0].head
    assert "Its classifiers are 0.4" in table

    judged = decision.judged.set_index("arm").loc["llm"]
    assert judged["krippendorff_alpha_ordinal"] == pytest.approx(ordinal_alpha(counts), abs=1e-9)
    assert "krippendorff_alpha" not in judged
    assert "their seeds agree to an ordinal alpha of 0.8" in decision.sentence
    assert "ordinal alpha_K" in verdict_section(decision).tables[0].head
    assert any("(ordinal alpha;" in number.name for number in answer(scored, decision).numbers)

    main = experiment_metrics(scored, decision)
    assert main["alpha"] == pytest.approx(nominal_alpha(counts))
    assert main["alpha_ordinal"] == pytest.approx(ordinal_alpha(counts))
    assert main["llm.mean_absolute_error"] == pytest.approx(np.abs(ARMS["llm"][0] - GOLD).mean())


def test_the_same_experiment_of_an_old_store_is_nominal_throughout(logged):
    experiment = logged(None)
    scored = ScoredExperiment(experiment)
    decision = verdict(experiment, tolerances(experiment.config))

    assert not experiment.ordered
    assert steps.section(experiment) is None
    assert "mean_absolute_error" not in result_table(scored)
    assert "alpha_K" in brief(scored).tables[0].head
    assert "krippendorff_alpha" in decision.judged
    assert "ordinal" not in decision.sentence
    assert not {"alpha_ordinal", "llm.quadratic_kappa"} & set(experiment_metrics(scored, decision))


def test_wrong_labels_are_told_apart_by_how_far_off_they_are(logged):
    found = of(steps, logged("ordinal"))
    rows = found.tables[0].frame.set_index("labels")

    assert list(rows.index) == ["the LLM itself", "gold", "llm"]
    assert (rows["one_step_of_wrong"] == 1).all()
    assert rows.loc["llm", "wrong"] == pytest.approx((ARMS["llm"] != GOLD).mean())
    lost = np.abs(ARMS["llm"] - GOLD).mean() - np.abs(ARMS["gold"] - GOLD).mean()
    assert rows.loc["llm", "mean_absolute_error_lost"] == pytest.approx(lost)
    assert rows.loc["llm", "mean_absolute_error_lost_low"] > 0.2
    assert np.isnan(rows.loc["gold", "mean_absolute_error_lost"])
    assert "100 % are one step off" in found.answer


def test_the_agreement_section_has_both_alphas_under_their_names(logged):
    found = of(agreement, logged("ordinal"))
    table = found.tables[0]

    assert "ordinal alpha_K" in table.head
    frame = table.frame.set_index("raters")
    counts = label_counts(ARMS["gold"], 5)
    assert frame.loc["gold", "krippendorff_alpha_ordinal"] == pytest.approx(ordinal_alpha(counts))
    assert frame.loc["gold", "krippendorff_alpha"] == pytest.approx(nominal_alpha(counts))
    assert frame.loc["llm", "alpha_lost"] == pytest.approx(
        ordinal_alpha(counts) - ordinal_alpha(label_counts(ARMS["llm"], 5))
    )
    assert "ordinal alpha_K" in found.answer
    assert "(ordinal)" in table.notes[0]


def test_experiments_of_both_types_in_one_table_have_the_nominal_columns(logged):
    both = [ScoredExperiment(logged("ordinal")), ScoredExperiment(logged("nominal"))]
    head = several(both).tables[0].head

    assert "alpha_K" in head
    assert "ordinal alpha_K" not in head
    assert isinstance(several(both[:1]).tables[0].frame, pd.DataFrame)
    assert "ordinal alpha_K" in several(both[:1]).tables[0].head


def test_two_experiments_are_compared_by_the_ordinal_alpha_and_by_steps(logged):
    found = comparison(logged("ordinal"), logged("ordinal"))
    alphas, errors = (table.frame.set_index("arm") for table in found.tables)

    assert "krippendorff_alpha" not in alphas
    assert "krippendorff_alpha_ordinal" in alphas
    assert errors.loc["llm", "mean_absolute_error"] == 0
    assert errors.loc["llm", "mean_absolute_error_one"] == pytest.approx(
        np.abs(ARMS["llm"] - GOLD).mean()
    )
    (nominal,) = comparison(logged("ordinal"), logged("nominal")).tables
    assert "krippendorff_alpha" in nominal.frame
