"""Targets, weights and the loss, against values computed by hand."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch

from project.config.finetune import FinetuneConfig
from project.support.errors import AssayError
from project.training.targets import loss, targets

LABELS = ("a", "b", "c")


def table(labels, probabilities=None, weights=None, sources=None):
    made = pd.DataFrame(
        {
            "example_id": [f"id{index}" for index in range(len(labels))],
            "label": labels,
            "weight": weights or [1.0] * len(labels),
            "source": sources or ["llm"] * len(labels),
            "reason": "annotated",
        }
    )
    for index, label in enumerate(LABELS if probabilities else ()):
        made[f"probability.{label}"] = [row[index] for row in probabilities]
    return made


def test_hard_labels_are_one_hot_and_weigh_the_same():
    found = targets(table(["b", "a"], [[0.1, 0.8, 0.1], [0.5, 0.3, 0.2]]), LABELS, FinetuneConfig())

    assert found.values.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert found.weights.tolist() == [1, 1]


def test_soft_targets_are_the_probabilities_and_a_temperature_flattens_them():
    labels = table(["a", "b"], [[0.64, 0.16, 0.20], [0.25, 0.75, 0.0]])

    assert targets(labels, LABELS, FinetuneConfig(targets="soft")).values == pytest.approx(
        np.array([[0.64, 0.16, 0.20], [0.25, 0.75, 0.0]])
    )
    # square roots: 0.8, 0.4, sqrt(0.2), over their sum
    root = math.sqrt(0.2)
    flat = targets(labels, LABELS, FinetuneConfig(targets="soft", target_temperature=2.0)).values
    assert flat[0] == pytest.approx(np.array([0.8, 0.4, root]) / (1.2 + root))
    # squares: 1/16 and 9/16 over their sum
    assert targets(labels, LABELS, FinetuneConfig(targets="soft", target_temperature=0.5)).values[
        1
    ] == pytest.approx([0.1, 0.9, 0.0])


def test_a_mix_keeps_the_rest_of_the_hard_label_and_smoothing_spreads_its_share():
    labels = table(["a"], [[0.5, 0.3, 0.2]])

    assert targets(labels, LABELS, FinetuneConfig(targets="soft", target_mix=0.25)).values[
        0
    ] == pytest.approx([0.875, 0.075, 0.05])
    smoothed = targets(
        labels, LABELS, FinetuneConfig(targets="soft", target_mix=0.25, label_smoothing=0.3)
    ).values[0]
    assert smoothed == pytest.approx([0.7125, 0.1525, 0.135])  # 0.7 x mix + 0.1
    assert targets(labels, LABELS, FinetuneConfig(label_smoothing=0.3)).values[0] == pytest.approx(
        [0.8, 0.1, 0.1]
    )


def test_rows_without_probabilities_keep_their_hard_label_and_unknown_single_classes_are_zero():
    none = [math.nan] * 3
    labels = table(
        ["a", "b", "c"],
        [[0.9, 0.05, 0.05], none, [math.nan, 0.4, 0.6]],
        sources=["llm", "gold", "llm"],
    )

    assert targets(labels, LABELS, FinetuneConfig(targets="soft")).values == pytest.approx(
        np.array([[0.9, 0.05, 0.05], [0, 1, 0], [0, 0.4, 0.6]])
    )
    gold = table(["a", "b"], sources=["gold", "gold"])
    assert targets(gold, LABELS, FinetuneConfig(targets="soft")).values.tolist() == [
        [1, 0, 0],
        [0, 1, 0],
    ]


def test_balanced_class_weights_give_every_class_the_same_weight_and_a_mean_of_one():
    found = targets(table(["a", "a", "a", "b"]), LABELS, FinetuneConfig(class_weights="balanced"))

    assert found.weights == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2.0])
    own = targets(
        table(["a", "a", "a", "b"], weights=[1.0, 0.0, 2.0, 5.0]), LABELS, FinetuneConfig()
    )
    assert own.weights == pytest.approx([0.5, 0.0, 1.0, 2.5])
    both = targets(
        table(["a", "a", "b"], weights=[1.0, 3.0, 4.0]),
        LABELS,
        FinetuneConfig(class_weights="balanced"),
    )
    # 3/4, 3/4, 3/2 times 1, 3, 4 are 0.75, 2.25, 6 with a mean of 3
    assert both.weights == pytest.approx([0.25, 0.75, 2.0])


def test_a_class_without_labels_gets_no_weight():
    balanced = targets(table(["a", "b"]), LABELS, FinetuneConfig(class_weights="balanced"))

    assert np.isfinite(balanced.weights).all()
    assert balanced.weights == pytest.approx([1, 1])


def test_the_loss_is_the_weighted_cross_entropy_of_the_targets():
    # softmax of log 1, log 2, log 5 is 1/8, 2/8, 5/8
    logits = torch.tensor([[0.0, math.log(2), math.log(5)], [0.0, 0.0, 0.0]])
    values, weights = torch.tensor([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]), torch.tensor([2.0, 0.5])

    by_hand = 2.0 * (0.5 * math.log(8) + 0.5 * math.log(8 / 5)) + 0.5 * math.log(3)
    assert float(loss(logits, values, weights)) == pytest.approx(by_hand, rel=1e-6)
    assert loss(logits.bfloat16(), values, weights).dtype == torch.float32


@pytest.mark.parametrize(
    ("smoothing", "class_weights"), [(0.0, "none"), (0.2, "none"), (0.0, "balanced")]
)
def test_the_loss_equals_torch_s_cross_entropy_where_torch_has_it(smoothing, class_weights):
    torch.manual_seed(0)
    labels, logits = ["a", "b", "b", "c", "b", "a"], torch.randn(6, 3)
    found = targets(
        table(labels),
        LABELS,
        FinetuneConfig(label_smoothing=smoothing, class_weights=class_weights),
    )
    given = torch.tensor([LABELS.index(label) for label in labels])
    by_class = torch.tensor([1.0, 2 / 3, 2.0]) if class_weights == "balanced" else None

    reference = torch.nn.functional.cross_entropy(
        logits, given, weight=by_class, label_smoothing=smoothing
    )

    ours = (
        loss(
            logits,
            torch.tensor(found.values, dtype=torch.float32),
            torch.tensor(found.weights, dtype=torch.float32),
        )
        / 6
    )
    assert float(ours) == pytest.approx(float(reference), rel=1e-5)


@pytest.mark.parametrize(
    ("labels", "changes", "message"),
    [
        (table(["a", "b"], weights=[0.0, 0.0]), {}, "all 2 training examples have weight 0"),
        (
            table(["a", "b"], weights=[1.0, -2.0]),
            {},
            "weights of examples must be numbers from 0 up; that of example 'id1' is -2",
        ),
        (table(["a", "b"], weights=[1.0, math.nan]), {}, "that of example 'id1' is nan"),
        (
            table(["a", "b"]),
            {"targets": "soft"},
            "targets=soft needs the annotator's probabilities, in columns 'probability.a'",
        ),
        (
            table(["a", "b"], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.3]]),
            {"targets": "soft"},
            "must be probabilities that sum to 1; those of example 'id1' sum to 1.1",
        ),
        (
            table(["a", "b"], [[0.5, 0.7, -0.2], [1.0, 0.0, 0.0]]),
            {"targets": "soft"},
            "example 'id0' sum to 1, the least is -0.2",
        ),
    ],
)
def test_invalid_probabilities_and_weights_are_refused_by_name(labels, changes, message):
    with pytest.raises(AssayError, match=message):
        targets(labels, LABELS, dataclasses.replace(FinetuneConfig(), **changes))


def test_invalid_probabilities_are_ignored_with_hard_targets():
    assert targets(table(["a"], [[0.5, 0.3, 0.3]]), LABELS, FinetuneConfig()).values.tolist() == [
        [1, 0, 0]
    ]


def test_ordinal_targets_fall_with_the_distance_in_steps():
    labels = table(["a", "b"])
    # exp(0), exp(-1), exp(-2) and exp(-1), exp(0), exp(-1), over their sums
    first = np.exp([0, -1, -2]) / np.exp([0, -1, -2]).sum()
    second = np.exp([-1, 0, -1]) / np.exp([-1, 0, -1]).sum()
    found = targets(labels, LABELS, FinetuneConfig(ordinal_targets="absolute")).values
    assert found == pytest.approx(np.array([first, second]))

    squared = FinetuneConfig(ordinal_targets="squared", ordinal_sharpness=0.5)
    assert targets(labels, LABELS, squared).values[0] == pytest.approx(
        np.exp([0, -0.5, -2]) / np.exp([0, -0.5, -2]).sum()
    )
    assert targets(labels, LABELS, FinetuneConfig(ordinal_targets="none")).values.tolist() == [
        [1, 0, 0],
        [0, 1, 0],
    ]


def test_probabilities_of_the_llm_are_left_as_they_are_by_ordinal_targets():
    labels = table(["a", "b"], [[0.5, 0.3, 0.2], [math.nan] * 3], sources=["llm", "human"])
    config = FinetuneConfig(targets="soft", target_mix=0.5, ordinal_targets="absolute")
    found = targets(labels, LABELS, config).values

    assert found[0] == pytest.approx([0.75, 0.15, 0.1])
    assert found[1] == pytest.approx(np.exp([-1, 0, -1]) / np.exp([-1, 0, -1]).sum())
