"""With many classes, every table says how many examples its scores rest on."""

import re

import numpy as np
import pytest
from sklearn.metrics import f1_score

from analysis.questions import divergence, errors
from analysis.questions.arms_classes import recall_table
from analysis.questions.arms_table import ScoredExperiment, result_table
from analysis.questions.errors_labels import read_label_errors
from analysis.questions.errors_transition import MAX_MAPPED, mapped
from analysis.render.classes import absent_classes, class_groups
from analysis.store.experiment import read_experiment
from project.stats.metrics import weighted_f1
from tests.helpers.stored import log_experiment, noisy

# Three classes with 60 examples each, twenty with three each, two without any.
LABELS = tuple(f"class {code:02d}" for code in range(25))
GOLD = np.concatenate([np.repeat([0, 1, 2], 60), np.repeat(np.arange(3, 23), 3)])
RARE = "20 rare classes (fewer than 10 {} examples each), 60 examples in all"
ABSENT = "2 of 25 classes (class 23, class 24)."


def of(part, experiment):
    """One part of the report."""
    return part.section(experiment)


def test_rare_classes_share_a_row_and_csv_files_have_each_of_them(store):
    # The LLM, and what learns from it, gives a third of the rare classes' examples their own class.
    llm = np.where((GOLD > 2) & (np.arange(len(GOLD)) % 3 > 0), 0, GOLD)
    arms = {"gold": np.tile(GOLD, (2, 1)), "llm": np.tile(llm, (2, 1))}
    experiment = read_experiment(log_experiment(store, GOLD, arms, llm=llm, label_set=LABELS))

    scored = ScoredExperiment(experiment)
    recall = recall_table(scored, result_table(scored))
    assert recall.head == [
        *("class", "n test", "the LLM itself, train", "the LLM itself, test", "gold", "llm")
    ]
    assert [row[0] for row in recall.rows[:3]] == ["class 00", "class 01", "class 02"]
    assert recall.rows[3] == [RARE.format("test"), "60", "33.3", "33.3", "100.0", "33.3"]
    weighted = 100 * f1_score(GOLD, llm, average="weighted")
    assert recall.rows[4][0] == "weighted F1 of all"
    assert recall.rows[4][-2:] == ["100.0", f"{weighted:.1f}"]
    assert {f"recall.{label}" for label in LABELS} <= set(recall.frame.columns)
    assert f"Without test examples: {ABSENT}" in recall.notes[0]

    section = of(errors, experiment)
    tables = {table.name: table for table in section.tables}
    transition = tables["noise_transition"]
    assert transition.head == ["gold", "n", "right", "most often given instead"]
    assert transition.rows[-1] == [RARE.format("training"), "60", "33", "class 00 (40)"]
    assert len(transition.frame) == 25 * 25
    tail = tables["tail"]
    # Here every row has as many examples.
    assert tail.rows[-1] == [RARE.format("test"), "60", "100.0", "33.3", tail.rows[-1][-1]]
    assert "66.7 [" in tail.rows[-1][-1]
    assert len(tail.frame) == 23
    of_three = tail.frame.set_index("class").loc["class 07"]
    assert of_three["lost"] == pytest.approx(2 / 3)
    assert np.isnan(of_three[["lost_low", "lost_high"]].to_numpy(dtype=float)).all()
    assert f"The group of {RARE.format('test')} of 240, loses 66.7 [" in section.answer
    shift = tables["shift"].frame.iloc[0]
    # 20 of 23 classes keep a third; the two without examples have no recall.
    assert shift["recall_lost"] == pytest.approx(20 / 23 * 2 / 3)
    assert shift["recall_lost_low"] < shift["recall_lost"] < shift["recall_lost_high"]

    by_class = of(divergence, experiment).tables[1]
    assert [row[1] for row in by_class.rows] == ["60", "60", "60", "60"]
    assert by_class.rows[-1][0] == RARE.format("test")
    assert by_class.frame.set_index("gold").loc["class 07", "total_low":"total_high"].isna().all()

    label_errors = read_label_errors(experiment)
    assert label_errors is not None
    shown, given, gold = mapped(label_errors, label_errors.transition())
    assert len(gold) == len(given) == MAX_MAPPED
    assert gold[-1] == "6 other classes"
    assert shown.share.shape == (MAX_MAPPED, MAX_MAPPED)
    assert np.nansum(shown.share, axis=1) == pytest.approx(1)


def test_few_classes_are_columns_with_their_examples(store):
    gold = np.repeat([0, 1, 2], [40, 30, 5])
    run = log_experiment(store, gold, {"gold": noisy(gold, 0.9, 2), "llm": noisy(gold, 0.8, 2, 1)})
    experiment = read_experiment(run)

    scored = ScoredExperiment(experiment)
    recall = recall_table(scored, result_table(scored))
    assert recall.head == ["labels", "a (n 40)", "b (n 30)", "c (n 5)", "weighted F1"]
    section = of(errors, experiment)
    assert re.search(r"c \(5 of 75\), (loses|gains) ", section.answer)
    assert "points of recall, too few for limits." in section.answer


def test_one_rare_class_or_few_classes_stay_rows_of_their_own():
    sizes = np.array([20] * 9 + [3])
    labels = [str(code) for code in range(10)]

    assert len(class_groups(labels, sizes, "texts")) == 10
    assert len(class_groups(labels[:3], np.array([20, 3, 3]), "texts")) == 3
    assert class_groups(labels, np.array([20] * 7 + [3, 2, 0]), "texts")[-1].codes == (7, 8)
    assert absent_classes(labels, sizes, "texts") == ""


@pytest.mark.parametrize("n_classes", [2, 4, 7])
def test_weighted_f1_is_that_of_scikit_learn(n_classes):
    random = np.random.default_rng(n_classes)
    gold, given = random.integers(0, 4, (2, 50)) % n_classes

    expected = f1_score(gold, given, labels=range(n_classes), average="weighted", zero_division=0)
    assert weighted_f1(gold, given, n_classes) == pytest.approx(expected)
    # An answer that is missing is wrong.
    assert weighted_f1(gold, np.where(gold == 0, -1, gold), n_classes) < 1
    assert np.isnan(weighted_f1(np.array([], dtype=int), np.array([], dtype=int), n_classes))
