"""Whether a training has left its start, without gold labels."""

import math

import numpy as np
import pytest

from project.training.history import Evaluation
from project.training.inputs import Phase
from project.training.not_learned import constant_loss, has_not_learned

VARIED = np.array([0, 1, 0, 1])


def phase(shares, weights=None):
    """A phase of 100 hard labels with these shares of the classes."""
    labels = np.repeat(np.arange(len(shares)), [round(100 * share) for share in shares])
    targets = np.eye(len(shares))[labels]
    return Phase(np.arange(100), targets, np.ones(100) if weights is None else weights[labels])


def after(loss):
    return [Evaluation(1, 9.0, 0.5, 0.5, 0.0), Evaluation(2, loss, 0.5, 0.5, 0.0)]


@pytest.mark.parametrize("n_classes", [2, 4, 20])
def test_a_loss_near_ln_k_of_balanced_labels_is_no_learning(n_classes):
    balanced = phase([1 / n_classes] * n_classes)

    assert constant_loss(balanced.targets, balanced.weights) == pytest.approx(math.log(n_classes))
    assert has_not_learned(after(0.99 * math.log(n_classes)), balanced, VARIED)
    assert not has_not_learned(after(0.9 * math.log(n_classes)), balanced, VARIED)


def test_the_limit_is_the_entropy_of_the_arm_s_own_label_shares():
    skewed = phase([0.9, 0.1])  # entropy 0.325, far below ln 2

    assert has_not_learned(after(0.33), skewed, VARIED)
    assert not has_not_learned(after(0.30), skewed, VARIED)


def test_weights_of_the_texts_count():
    balanced_by_weight = phase([0.9, 0.1], np.array([0.5 / 0.9, 0.5 / 0.1]))

    assert has_not_learned(after(0.69), balanced_by_weight, VARIED)


def test_one_predicted_class_is_no_learning_whatever_the_loss():
    assert has_not_learned(after(0.01), phase([0.5, 0.5]), np.zeros(30, dtype=int))
    assert not has_not_learned(after(0.01), phase([0.5, 0.5]), VARIED)


def test_one_predicted_text_alone_tells_nothing():
    assert not has_not_learned(after(0.01), phase([0.5, 0.5]), np.array([1]))


def test_labels_of_one_class_have_no_loss_to_fall_below():
    assert not has_not_learned(after(0.0), phase([1.0, 0.0]), VARIED)
