"""Label sources on a hand-made example, row by row."""

import numpy as np
import pandas as pd
import pytest

from project.config.arms import Arm
from project.config.finetune import FinetuneConfig
from project.config.labels import LabelConfig
from project.data.tables import class_columns, with_class_columns
from project.labels.external import external_labels
from project.labels.inputs import LabelInputs
from project.labels.shares import top_share
from project.labels.sources import arms, human_share, label
from project.labels.uncertainty import entropy
from project.support.errors import AssayError
from project.training.targets import targets

LABELS = ("a", "b")
GOLD = ["a", "a", "b", "b"]
P_A = [0.9, 0.4, 0.45, 0.2]  # entropy is highest for example 2, then 1, then 3, then 0


@pytest.fixture
def examples():
    return pd.DataFrame(
        {"example_id": list("wxyz"), "text": list("wxyz"), "gold_label": GOLD, "split": "train"}
    )


def answers(p_a, draw=0):
    p = np.array(p_a)
    table = pd.DataFrame(
        {
            "example_id": list("wxyz"),
            "draw": draw,
            "label": np.where(p >= 0.5, "a", "b"),
            "label_mass": 1.0,
            "log_bound": np.nan,
            "truncated": False,
            "error": None,
        }
    )
    return with_class_columns(table, np.log(np.stack([p, 1 - p], axis=1)), LABELS)


def made(arm, examples, draws, **settings):
    return label(arm, LabelInputs(examples, draws, LABELS, LabelConfig(**settings)))


def test_all_gold_labels_count_as_human(examples):
    table = made(Arm("gold"), examples, [])

    assert list(table["label"]) == GOLD
    assert human_share(table) == (4, 1.0)


def test_llm_labels_are_those_of_the_first_draw_with_their_distribution(examples):
    table = made(Arm("llm"), examples, [answers(P_A), answers([0.1] * 4, 1)])

    assert list(table["label"]) == ["a", "b", "b", "b"]
    assert human_share(table) == (0, 0.0)
    assert class_columns(table, LABELS, "probability.")[:, 0] == pytest.approx(P_A)


def test_entropy_replaces_the_top_share_by_gold_and_gives_the_reason(examples):
    table = made(Arm("entropy", replace_share=50), examples, [answers(P_A)])

    assert list(table["label"]) == ["a", "a", "b", "b"]
    assert list(table["source"]) == ["llm", "gold", "gold", "llm"]
    assert list(table["reason"]) == ["annotated", "highest entropy", "highest entropy", "annotated"]
    assert human_share(table) == (2, 0.5)
    assert np.isnan(class_columns(table, LABELS, "probability.")[1]).all()


def test_ensemble_replaces_where_the_draws_disagree(examples):
    table = made(
        Arm("ensemble", ensemble_size=2), examples, [answers(P_A), answers([0.1, 0.2, 0.3, 0.4], 1)]
    )

    assert list(table["source"]) == ["gold", "llm", "llm", "llm"]
    assert list(table["label"]) == ["a", "b", "b", "b"]


def test_a_share_is_rounded_half_up_and_ties_are_broken_by_the_seed_alone():
    ties = np.zeros(100)
    picks = [top_share(ties, 5, tie_seed=seed) for seed in (0, 0, 1)]

    assert [int(pick.sum()) for pick in picks] == [5, 5, 5]
    assert (picks[0] == picks[1]).all()
    assert (picks[0] != picks[2]).any()
    assert top_share(np.arange(10.0), 25, tie_seed=0).sum() == 3
    assert top_share(np.arange(10.0), 0, tie_seed=0).sum() == 0
    assert top_share(np.arange(10.0), 100, tie_seed=0).all()


def test_masks_pick_the_highest_values():
    assert top_share(np.array([0.1, 0.9, 0.5, 0.8]), 50, tie_seed=3).tolist() == [
        False,
        True,
        False,
        True,
    ]


def test_missing_draws_and_misaligned_annotations_are_refused(examples):
    with pytest.raises(AssayError, match="arm ensemble_3 needs 3 draws of annotations; got 1"):
        made(Arm("ensemble", ensemble_size=3), examples, [answers(P_A)])
    with pytest.raises(AssayError, match="not of the same examples, in the same order"):
        made(Arm("llm"), examples, [answers(P_A).iloc[::-1]])


def test_arms_are_listed_in_the_order_asked_for_with_one_entropy_arm_for_each_share():
    assert [arm.name for arm in arms(LabelConfig(), 5)] == [
        "gold",
        "llm",
        "entropy_5",
        "entropy_25",
        "ensemble_5",
    ]
    assert [arm.draws for arm in arms(LabelConfig(), 5)] == [0, 1, 1, 1, 5]
    with pytest.raises(
        AssayError, match="ensemble_size must be at least 2 for the arm ensemble; got 1"
    ):
        arms(LabelConfig(), 1)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"example_id": list("wxyz")},
            "must have the columns example_id and label; missing: label",
        ),
        (
            {"example_id": list("wxy"), "label": list("aab")},
            "lacks 1 of 4 training examples, 'z' among them",
        ),
        (
            {"example_id": list("wxyzz"), "label": list("aabbb")},
            "1 training examples are labelled twice",
        ),
        ({"example_id": list("wxyz"), "label": list("aabc")}, "label must be one of a, b; got 'c'"),
    ],
)
def test_a_labels_file_with_missing_or_wrong_rows_is_refused(examples, table, message):
    with pytest.raises(AssayError, match=message):
        external_labels(pd.DataFrame(table), examples, LABELS)


def test_a_labels_file_is_joined_by_id_and_may_have_more_rows(examples):
    table = external_labels(
        pd.DataFrame({"example_id": list("zyxwq"), "label": list("abbaa")}), examples, LABELS
    )

    assert list(table["label"]) == ["a", "b", "b", "a"]
    assert human_share(table) == (0, 0.0)


def test_a_labels_file_may_have_weights_and_soft_labels(examples):
    soft = {"probability.a": [0.9, 0.2, 0.5, 1.0], "probability.b": [0.1, 0.8, 0.5, 0.0]}
    file = pd.DataFrame(
        {"example_id": list("wxyz"), "label": list("abaa"), "weight": [1.0, 2.0, 0.0, 0.5], **soft}
    )

    table = external_labels(file, examples, LABELS)
    learned = targets(table, LABELS, FinetuneConfig(targets="soft"))

    assert learned.values == pytest.approx(
        np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [1.0, 0.0]])
    )
    assert learned.weights.tolist() == pytest.approx([1 / 0.875, 2 / 0.875, 0.0, 0.5 / 0.875])
    assert not any(
        column.startswith("probability.")
        for column in external_labels(file.drop(columns="probability.b"), examples, LABELS).columns
    )


def test_a_missing_label_ranks_first_and_is_no_training_label(examples):
    draw = answers(P_A).assign(label=["a", None, "b", "b"])

    assert np.isinf(entropy(draw, LABELS)).tolist() == [False, True, False, False]
    assert list(made(Arm("llm"), examples, [draw])["example_id"]) == ["w", "y", "z"]
    replaced = made(Arm("entropy", replace_share=25), examples, [draw])
    assert list(replaced[replaced["source"] == "gold"]["example_id"]) == ["x"]


def test_a_censored_class_counts_with_its_upper_bound_in_the_entropy(examples):
    draw = answers([0.9] * 4)
    draw["log_probability.a"], draw["log_probability.b"] = 0.0, np.nan
    draw["label_mass"], draw["log_bound"] = 0.5, np.log([0.1, 0.2, 0.5, 1e-9])

    # the known class has 0.5 before normalising, the censored one at most the bound
    expected = [
        -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
        for p in (0.1 / 0.6, 0.2 / 0.7, 0.5, 1e-9 / (0.5 + 1e-9))
    ]
    assert entropy(draw, LABELS) == pytest.approx(expected)
    assert list(made(Arm("entropy", replace_share=25), examples, [draw])["source"]) == [
        "llm",
        "llm",
        "gold",
        "llm",
    ]
