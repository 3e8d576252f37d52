"""Tables over tasks: quartiles by group and source, shifts, causes, and what few tasks allow."""

import math

import numpy as np
import pandas as pd
import pytest

from analysis.questions.suite_rows import FEATURES, ITSELF, SCORES, _consistency, _scores, by_data
from analysis.questions.suite_tables import feature_table, scores_over_tasks, shift_table


def rows_of(losses, *, group="GPT-4", lean=0.0, name="task {}"):
    """Rows of the LLM itself and of the arms gold and llm on one task for each loss."""
    rows = []
    for number, loss in enumerate(losses):
        for source in (ITSELF, "gold", "llm"):
            score = 0.8 - (loss if source == "llm" else 0.0)
            own_lean = lean if source == "llm" else 0.0
            scores = dict.fromkeys(SCORES, score)
            scores |= {"recall": score + own_lean / 2, "precision": score - own_lean / 2}
            rows.append(
                {
                    "task": f"{name.format(number)} {group}",
                    "data": name.format(number),
                    "group": group,
                    "source": source,
                    "n_seeds": 2,
                    **scores,
                    "alpha": math.nan if source == ITSELF else 0.9,
                    "loss": 0.8 - score,
                }
            )
    return pd.DataFrame(rows)


def test_scores_are_summed_up_by_group_and_source_with_limits_where_there_are_enough_tasks():
    many = [0.01, 0.02, 0.03, 0.05, 0.08, 0.13]
    rows = pd.concat([rows_of(many), rows_of([0.1, 0.2], group="small")], ignore_index=True)

    table = scores_over_tasks(rows)

    shown = {(row[0], row[1]): row for row in table.rows}
    assert shown["GPT-4", "llm"][2:] == [
        "6",
        "+4.0 [+1.0, +13.0]",
        *["76.0 (73 to 78)"] * 4,
        "90.0",
    ]
    assert shown["small", "llm"][3] == "+15.0"
    assert shown["GPT-4", "gold"][3] == ""
    assert [kind for kind in table.kinds if kind == "paper"] == ["paper"] * 3
    frame = table.frame.set_index(["group", "source"])
    assert frame.loc[("GPT-4", "llm"), "loss"] == pytest.approx(0.04)


def test_tasks_on_the_same_data_count_once():
    twice = pd.concat([rows_of([0.02]), rows_of([0.06])], ignore_index=True)

    (counted,) = by_data(twice[twice["source"] == "llm"], ["group"]).to_dict("records")

    assert counted["loss"] == pytest.approx(0.04)
    assert scores_over_tasks(twice).frame["n_tasks"].tolist() == [1, 1, 1]


def test_a_shift_from_precision_to_recall_is_told_from_none():
    leaning = shift_table(rows_of(np.linspace(0, 0.1, 7), lean=0.06)).frame
    found = leaning.set_index(["source", "of"]).loc[("llm", "all classes")]
    few = shift_table(rows_of([0.1, 0.2], lean=0.06))

    assert found["shift"] == pytest.approx(0.06)
    assert found["p"] == pytest.approx(4 * 2 / 2**7)  # Holm: one of four rows
    assert found["n_tasks"] == 7
    assert {row[-1] for row in few.rows} == {"-"}
    assert shift_table(rows_of([0.1]).query("source != 'gold'")).rows == []


def test_a_feature_that_foretells_the_loss_is_named_and_a_constant_one_is_not_fitted():
    generator = np.random.default_rng(0)
    accuracy = generator.uniform(0.5, 0.95, size=10)
    features = pd.DataFrame(
        {
            "task": [f"task {i}" for i in range(10)],
            "data": [f"data {i}" for i in range(10)],
            "group": "GPT-4",
            "loss": 0.5 * (1 - accuracy) + generator.normal(0, 0.01, size=10),
            "llm_accuracy": accuracy,
            "n_classes": 2.0,
            "largest_class": generator.uniform(0.5, 0.9, size=10),
            "words": generator.uniform(10, 200, size=10),
            "draws_alpha": math.nan,
        }
    )

    table = feature_table(features)

    said = {row[1]: row[-1] for row in table.rows}
    assert said[FEATURES["llm_accuracy"]] == "yes"
    assert said[FEATURES["n_classes"]] == "the same in all tasks"
    assert said[FEATURES["draws_alpha"]] == "needs 8 tasks"
    assert feature_table(features[:7]).rows == []
    frame = table.frame.set_index("feature")
    slope = 0.5 * accuracy.std(ddof=1)
    assert frame.loc["llm_accuracy", "slope"] == pytest.approx(-slope, rel=0.1)


def test_the_rarest_class_is_the_one_with_the_fewest_gold_examples():
    gold = np.array([0, 0, 0, 1, 1, 2])
    given = np.array([0, 0, 1, 1, 1, 1])

    accuracy, f1, precision, recall, rare_precision, rare_recall = _scores(gold, given, 4)

    assert accuracy == pytest.approx(4 / 6)
    assert precision == pytest.approx((1 + 2 / 4 + 0) / 3)
    assert recall == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert f1 == pytest.approx((0.8 + 2 / 3 + 0) / 3)
    assert (rare_precision, rare_recall) == (0, 0)


def test_test_texts_of_a_single_label_have_an_accuracy_and_no_mean_over_classes():
    gold = np.zeros(4, dtype=int)

    accuracy, *others = _scores(gold, gold, 2)

    assert accuracy == 1
    assert np.isnan(others).all()


def test_a_task_without_a_macro_f1_is_named_and_left_out_of_the_median():
    rows = rows_of([0.02, 0.04])
    alone = rows["task"] == "task 1 GPT-4"
    rows.loc[alone, ["macro_f1", "precision", "recall", "loss"]] = math.nan

    table = scores_over_tasks(rows)

    assert "same label: task 1 GPT-4." in " ".join(table.notes)
    frame = table.frame.set_index("source")
    assert frame.loc["llm", "macro_f1"] == pytest.approx(0.78)
    assert frame.loc["llm", "n_with_loss"] == 1
    assert "same label" not in " ".join(scores_over_tasks(rows_of([0.02])).notes)


def test_labels_that_all_draws_give_are_counted_apart_from_the_others():
    train = pd.DataFrame({"gold_label": ["a", "a", "b", "b", None]})
    answers = np.array([[0, 0, 1, 0, 0], [0, 1, 1, 0, 0]])

    found = _consistency(answers, train, ["a", "b"])

    assert found == {
        "consistent": 0.75,
        "right_consistent": pytest.approx(2 / 3),
        "right_others": 1.0,
    }
    assert math.isnan(_consistency(answers[:1], train, ["a", "b"])["consistent"])
