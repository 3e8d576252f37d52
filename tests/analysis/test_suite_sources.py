"""What the sources of labels of a suite win back, task by task and over tasks."""

import pandas as pd
import pytest

from analysis.questions.arms_table import ScoredExperiment
from analysis.questions.side_by_side import Judged
from analysis.questions.suite_rows import SuiteEntry
from analysis.questions.suite_sources import source_rows, sources_section
from analysis.questions.verdict import tolerances, verdict
from analysis.store.experiment import read_experiment
from tests.helpers.sections import GOLD
from tests.helpers.stored import log_experiment, noisy


def entry(store, name, accuracies):
    """A task whose arms have these accuracies, with three seeds each."""
    arms = {arm: noisy(GOLD, share, 3, k) for k, (arm, share) in enumerate(accuracies.items())}
    experiment = read_experiment(log_experiment(store, GOLD, arms))
    scored = ScoredExperiment(experiment)
    judged = Judged(name, scored, verdict(experiment, tolerances(scored.config, None, None)))
    return SuiteEntry(judged, "an LLM", name)


@pytest.fixture
def entries(store):
    arms = {"gold": 0.95, "llm": 0.7, "random_5": 0.72, "posterior_5": 0.9}
    return [
        entry(store, "lean", arms),
        entry(store, "no loss", {**arms, "llm": 0.95, "random_5": 0.95, "posterior_5": 0.95}),
        entry(store, "alone", {"gold": 0.95, "llm": 0.7}),
    ]


def test_rows_compare_every_source_with_llm_and_with_random_at_its_budget(entries):
    rows = source_rows(entries).set_index(["task", "source"])

    assert [*rows.index] == [
        (task, source) for task in ("lean", "no loss") for source in ("random_5", "posterior_5")
    ]
    best = rows.loc[("lean", "posterior_5")]
    assert 0.1 < best["over_llm_low"] < best["over_llm"] < 0.3
    assert 0.1 < best["over_random_low"] < best["over_random"] < best["over_llm"]
    assert 0.6 < best["closed"] < 0.95
    assert pd.isna(rows.loc[("lean", "random_5"), "over_random"])
    assert rows.loc["no loss", "closed"].isna().all()  # there is no gap to close


def test_the_answer_names_sources_that_close_half_of_the_gap_on_most_tasks(entries):
    section = sources_section(entries)

    assert section is not None
    assert "posterior_5 closes at least half of the gap to gold labels in most of the tasks" in (
        section.answer
    )
    assert "same budget: posterior_5 in 1 of 2 tasks" in section.answer
    (table,) = section.tables
    by_source = {row[0]: row for row in table.rows}
    assert by_source["posterior_5"][-1] == "1 of 1"
    assert by_source["random_5"][4:6] == ["-", "-"]
    assert section.notes[0].startswith("Left out: 1 of 3 tasks, which have no such source")


def test_a_suite_without_other_sources_or_losses_says_so(entries):
    assert sources_section(entries[2:]) is None
    section = sources_section(entries[1:2])
    assert section is not None
    assert "nothing to win back" in section.answer
