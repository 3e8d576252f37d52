"""Labels of which P(label | class) is known: the forward correction of Patrini et al. (2017)."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from project.config.finetune import FinetuneConfig
from project.stats.information import log_normalise
from project.support.errors import AssayError
from project.training.checkpoint import Checkpoint
from project.training.inputs import Phase
from project.training.linear import fit, fit_latent, probabilities
from project.training.not_learned import constant_latent_loss, constant_loss
from project.training.stacked import train_stacked
from project.training.targets import has_likelihood, latent_loss, loss, targets
from tests.helpers.trainings import trained, with_phase

LABELS = ("a", "b", "c")
CONFUSED = np.array([[0.8, 0.15, 0.05], [0.0, 0.9, 0.1], [0.3, 0.2, 0.5]])
"""P(label | class): rows are classes, columns labels."""


def by_hand(logits, likelihood, weights):
    """The loss and its gradient, in float64: softmax less the posterior, by the weights."""
    expected = np.exp(log_normalise(logits))
    joint = expected * likelihood
    of_label = joint.sum(axis=1, keepdims=True)
    slope = weights[:, None] * (expected - joint / of_label)
    return -(weights * np.log(of_label[:, 0])).sum(), slope


@pytest.mark.parametrize("scale", [1.0, 60.0])  # in float32, exp(-120) is 0
def test_the_loss_and_its_gradient_are_those_of_the_marginal_likelihood(scale):
    random = np.random.default_rng(0)
    logits = scale * random.normal(size=(12, 3))
    likelihood = CONFUSED[:, random.integers(0, 3, 12)].T
    weights = random.random(12)
    expected, slope = by_hand(logits, likelihood, weights)
    given = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    found = latent_loss(
        given,
        torch.tensor(likelihood, dtype=torch.float32),
        torch.tensor(weights, dtype=torch.float32),
    )
    found.backward()

    assert found.item() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(np.asarray(given.grad), slope, atol=1e-5)
    assert latent_loss(given.bfloat16(), *map(torch.tensor, (likelihood, weights))).isfinite()


def test_with_a_label_that_one_class_alone_can_have_it_is_the_cross_entropy_to_the_bit():
    torch.manual_seed(0)
    one_hot, weights = torch.eye(3)[[0, 2, 1, 1]], torch.rand(4)
    gradients, losses = [], []
    for of in (loss, latent_loss):
        logits = (5 * torch.randn(4, 3, generator=torch.manual_seed(1))).requires_grad_()
        losses.append(of(logits, one_hot, weights))
        losses[-1].backward()
        gradients.append(torch.as_tensor(logits.grad))

    assert torch.equal(*losses)
    assert torch.equal(*gradients)


def likely(data, likelihood):
    """``data`` with latent classes."""
    return dataclasses.replace(with_phase(data, targets=likelihood), latent=True)


def confusions(data, spread):
    """P(label | class) of the labels of ``data``; ``spread`` of a class has other labels."""
    one_hot = data.phases[0].targets
    return (1 - spread) * one_hot + spread / (one_hot.shape[1] - 1) * (1 - one_hot)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_without_confusions_a_training_has_the_bits_of_one_on_the_labels(
    encoder, config, data, tmp_path, precision
):
    encoder = dataclasses.replace(encoder, precision=precision)
    config = dataclasses.replace(config, epochs=2)
    first = [array[:16] for array in data.phases[0]]
    few = {"validation_indices": data.validation_indices[:4]}
    few["validation_labels"] = data.validation_labels[:4]
    data = dataclasses.replace(data, phases=(Phase(*first),), **few)
    plain, history = trained(encoder, config, data, tmp_path / "plain")
    same, as_before = trained(encoder, config, likely(data, confusions(data, 0)), tmp_path / "same")
    other, changed = trained(encoder, config, likely(data, confusions(data, 0.3)), tmp_path / "x")

    assert as_before == history
    assert changed != history
    for batching in (same, other):
        equal = [
            torch.equal(one, two)
            for one, two in zip(plain.model.parameters(), batching.model.parameters(), strict=True)
        ]
        assert all(equal) == (batching is same)


def test_stacked_seeds_learn_from_the_same_likelihood(encoder, config, data, tmp_path):
    config = dataclasses.replace(config, epochs=1, dropout=0.0)
    first = {}
    for name, inputs in {
        "plain": data,
        "same": likely(data, confusions(data, 0)),
        "other": likely(data, confusions(data, 0.3)),
    }.items():
        checkpoint = Checkpoint(tmp_path / f"{name}.safetensors", "x", 1e9)
        stack = train_stacked(
            encoder,
            config,
            inputs,
            seeds=(0, 1),
            checkpoint=checkpoint,
            after_evaluation=lambda place, evaluation: None,
        )
        first[name] = [history[0].training_loss for history in stack.histories]

    assert first["same"] == first["plain"]
    assert first["other"] != first["plain"]


def noisy(n_classes, spread, seed=0):
    """Points, true codes and P(label | class) of labels that confuse neighbouring classes."""
    random = np.random.default_rng(seed)
    true = random.integers(0, n_classes, 1200)
    points = (1.6 * np.eye(n_classes)[true] + random.normal(size=(1200, n_classes))).astype("f4")
    table = (1 - spread) * np.eye(n_classes) + spread * np.roll(np.eye(n_classes), 1, axis=1)
    table[0] = np.eye(n_classes)[0]  # the first class is never confused
    given = np.array([random.choice(n_classes, p=table[code]) for code in true])
    return points, true, given, table[:, given].T


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_regression_that_knows_the_confusions_beats_one_on_the_labels(n_classes):
    points, true, given, likelihood = noisy(n_classes, 0.45)
    train, test = slice(400), slice(400, None)
    right = [
        (probabilities(model, points[test], n_classes).argmax(axis=1) == true[test]).mean()
        for model in (
            fit(points[train], true[train]),
            fit_latent(points[train], likelihood[train], np.ones(400)),
            fit(points[train], given[train]),
        )
    ]

    assert right[0] + 0.02 > right[1] > right[2] + 0.03


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_regression_that_knows_of_almost_no_confusion_is_that_on_the_labels(n_classes):
    points, _, given, _ = noisy(n_classes, 0.2)
    one_hot = np.eye(n_classes)[given]
    weights = np.where(np.arange(1200) % 2, 0.5, 1.5)
    found, same, plain = (
        probabilities(model, points, n_classes)
        for model in (
            fit_latent(points, np.maximum(one_hot, 1e-9), weights),
            fit_latent(points, one_hot, weights),
            fit(points, given, weights),
        )
    )

    assert np.array_equal(same, plain)
    np.testing.assert_allclose(found, plain, atol=5e-3)


def test_the_best_constant_answer_undoes_the_confusions_of_the_label_shares():
    likelihood = CONFUSED[:, np.repeat([0, 1, 2], [50, 30, 20])].T
    weights = np.ones(100)
    shares = np.linalg.solve(CONFUSED.T, [0.5, 0.3, 0.2])  # inside of the simplex
    assert (shares > 0).all()

    entropy = -(np.array([0.5, 0.3, 0.2]) * np.log([0.5, 0.3, 0.2])).sum()
    assert constant_latent_loss(likelihood, weights) == pytest.approx(entropy, abs=1e-4)
    one_hot = np.eye(3)[[0, 0, 1, 2]]
    weights = np.array([1.0, 2.0, 0.5, 0.5])
    assert constant_latent_loss(one_hot, weights) == pytest.approx(constant_loss(one_hot, weights))


def table(rows):
    """A labels table: the rows of the LLM with their P(label | class), others of a human."""
    made = pd.DataFrame(
        {"example_id": [str(row) for row in range(len(rows))], "label": "a", "weight": 1.0}
    )
    made["source"] = ["gold" if row is None else "llm" for row in rows]
    for place, label in enumerate(LABELS):
        made[f"likelihood.{label}"] = [np.nan if row is None else row[place] for row in rows]
    return made


def test_targets_of_a_table_with_likelihoods_are_these_and_a_human_s_label_is_certain():
    rows = table([[0.8, 0.0, 0.3], None])

    assert has_likelihood(rows)
    assert targets(rows, LABELS, FinetuneConfig()).values.tolist() == [[0.8, 0, 0.3], [1, 0, 0]]
    for wrong in ([0.0, 0.0, 0.0], [1.2, 0.0, 0.3], [-0.1, 0.5, 0.3]):
        with pytest.raises(AssayError, match="numbers in .0, 1. with one above 0.*example '1'"):
            targets(table([[0.8, 0.0, 0.3], wrong]), LABELS, FinetuneConfig())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": "soft"}, "targets must be hard with the arms forward and evidence.*got soft"),
        ({"label_smoothing": 0.1}, "label_smoothing must be 0.0"),
        ({"ordinal_targets": "squared"}, "ordinal_targets must be none"),
    ],
)
def test_targets_that_cannot_stand_beside_a_likelihood_are_refused_by_name(changes, message):
    with pytest.raises(AssayError, match=message):
        targets(table([[0.8, 0.0, 0.3]]), LABELS, FinetuneConfig(**changes))
