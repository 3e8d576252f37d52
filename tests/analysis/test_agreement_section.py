"""The agreement of the arms: the numbers of their definitions, and alpha where it is undefined."""

import numpy as np
import pytest

from analysis import report
from analysis.questions import agreement
from analysis.store.experiment import read_experiment
from analysis.store.raters import experiment_raters
from tests.helpers.stored import log_experiment, noisy
from tests.helpers.two_arms import GOLD, arms_of


def test_alpha_of_identical_predictions_is_reported_as_undefined(store, capsys):
    same = np.zeros((3, 120), dtype=int)
    run_id = log_experiment(store, GOLD, {"gold": noisy(GOLD, 0.9), "llm": same})
    report.publish(run_id, str(store / "out"))
    out = capsys.readouterr().out

    assert "undefined: all replicates give all examples one class" in " ".join(out.split())
    assert "has no alpha, all answers being one class" in " ".join(out.split())
    assert (
        "undefined" in (store / "out" / "reports" / run_id / "texts" / "agreement.md").read_text()
    )


def test_agreement_of_the_arms_has_the_numbers_of_their_definitions(store):
    predicted = arms_of(3)
    section = agreement.agreement_section(
        experiment_raters(read_experiment(log_experiment(store, GOLD, predicted)))
    )
    frame = section.tables[0].frame.set_index("raters")

    pairs = [
        (labels == other).mean()
        for index, labels in enumerate(predicted["llm"])
        for other in predicted["llm"][:index]
    ]
    assert frame.loc["llm", "churn"] == pytest.approx(1 - np.mean(pairs))
    between = section.tables[1].frame.set_index("raters")
    assert between.loc["llm", "llm"] == pytest.approx(np.mean(pairs))
    assert between.loc["gold", "llm"] == pytest.approx(
        np.mean([(gold == llm).mean() for gold in predicted["gold"] for llm in predicted["llm"]])
    )
    assert frame.loc["llm", "alpha_lost_low"] > 0
    assert "The raters of llm agree less than those of gold" in section.answer


def test_groups_that_never_disagree_are_not_known_to_agree_alike_on_other_texts(store):
    arms = {"gold": np.stack([GOLD] * 3), "llm": np.stack([GOLD] * 3)}
    section = agreement.agreement_section(
        experiment_raters(read_experiment(log_experiment(store, GOLD, arms)))
    )
    llm = section.tables[0].frame.set_index("raters").loc["llm"]

    # About 3 of 120 texts.
    assert llm["krippendorff_alpha_low"] == pytest.approx(0.96, abs=0.02)
    assert llm["alpha_lost"] == 0
    assert llm["alpha_lost_low"] == pytest.approx(-0.04, abs=0.02)
    assert llm["alpha_lost_high"] == pytest.approx(0.04, abs=0.02)
