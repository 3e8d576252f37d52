"""The training loop: determinism, the best epoch, phases, weights and checkpoints on disk."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from project.support.errors import AssayError
from project.training import loop
from project.training.checkpoint import Checkpoint
from project.training.history import Evaluation, Underway, best_evaluation
from project.training.inputs import Phase
from project.training.loop import train
from project.training.predict import predict
from tests.helpers.trainings import trained, with_phase


def test_the_same_seed_gives_the_same_predictions_and_another_seed_different_ones(
    encoder, config, data, test_indices, tmp_path
):
    before = torch.random.get_rng_state()
    read = [
        predict(
            trained(encoder, config, data, tmp_path / str(n), seed)[0],
            data.tokens,
            test_indices,
            precision="fp32",
            batch_size=32,
        )
        for n, seed in enumerate((0, 0, 1))
    ]

    assert (read[0] == read[1]).all()
    assert (read[0] != read[2]).any()
    assert (torch.random.get_rng_state() == before).all()


def test_training_lowers_the_loss_and_ends_at_a_learning_rate_of_zero(
    encoder, config, data, tmp_path
):
    _, history = trained(
        encoder, dataclasses.replace(config, epochs=30, learning_rate=5e-3), data, tmp_path
    )

    assert history[-1].training_loss < 0.5 * math.log(4)
    assert history[-1].learning_rate == 0.0


def test_where_a_long_epoch_is_gets_told_and_changes_nothing(
    encoder, config, data, tmp_path, monkeypatch
):
    told: list[Underway] = []
    quiet = trained(encoder, config, data, tmp_path / "quiet")[1]
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_REPORTS", 0.0)
    _, history = train(
        encoder,
        config,
        data,
        seed=0,
        checkpoint=Checkpoint(tmp_path / "none", "", 1e9),
        after_evaluation=lambda evaluation: None,
        underway=told.append,
    )

    steps = [evaluation.step for evaluation in history]
    assert history == quiet
    assert [one.step for one in told] == [step for step in range(1, steps[-1]) if step not in steps]
    assert all(one.texts_per_second > 0 for one in told)


def test_the_best_epoch_by_validation_macro_f1_is_restored_and_ties_go_to_the_earlier(
    encoder, config, data, tmp_path
):
    from project.stats.scores import confusion, scores

    model, history = trained(encoder, config, data, tmp_path)
    given = predict(
        model, data.tokens, data.validation_indices, precision="fp32", batch_size=32
    ).argmax(axis=1)

    kept = scores(confusion(data.validation_labels, given, 4)).macro_f1
    assert kept == max(epoch.validation_macro_f1 for epoch in history)
    scored = [Evaluation(n, 0, 0, score, 0) for n, score in ((1, 0.5), (2, 0.7), (3, 0.7))]
    assert best_evaluation(scored).number == 2


def test_at_most_two_checkpoints_are_on_disk_at_any_time(
    encoder, config, data, tmp_path, monkeypatch
):
    import project.training.checkpoint

    seen: list[int] = []
    save = vars(project.training.checkpoint)["save_file"]

    def saved(*arguments):
        save(*arguments)
        seen.append(len(list(tmp_path.iterdir())))

    monkeypatch.setattr(project.training.checkpoint, "save_file", saved)
    trained(encoder, dataclasses.replace(config, epochs=5), data, tmp_path)

    assert seen == [1, 2, 2, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_the_error_of_a_diverging_seed_names_epoch_and_step(encoder, config, data, tmp_path):
    with pytest.raises(
        AssayError,
        match=r"training diverged .* in epoch \d, step \d+ of 36, at learning rate .*Lower "
        r"learning_rate",
    ):
        trained(
            encoder,
            dataclasses.replace(config, learning_rate=1e30, max_grad_norm=1e30, epochs=9),
            data,
            tmp_path,
        )


def test_fewer_examples_than_a_batch_are_one_step(encoder, config, data, tmp_path):
    few = dataclasses.replace(data, phases=(Phase(*(one[:3] for one in data.phases[0])),))

    _, history = trained(encoder, config, few, tmp_path)

    assert len(history) == 3
    assert all(
        math.isfinite(epoch.training_loss) and epoch.texts_per_second > 0 for epoch in history
    )


def test_a_second_phase_continues_with_the_first_one_s_weights_and_decides_the_best_epoch(
    encoder, config, data, test_indices, tmp_path
):
    first, n = data.phases[0], len(data.phases[0].indices)
    others = np.roll(first.targets, 1, axis=1)
    both = dataclasses.replace(
        data,
        phases=(first, Phase(first.indices[: n // 2], others[: n // 2], first.weights[: n // 2])),
    )

    how, history = trained(encoder, config, both, tmp_path)

    assert [(one.number, one.phase) for one in history] == [
        (1, 0),
        (2, 0),
        (3, 0),
        (4, 1),
        (5, 1),
        (6, 1),
    ]
    alone = trained(encoder, config, data, tmp_path / "alone")[1]
    assert [one.training_loss for one in history[:3]] == [one.training_loss for one in alone]
    assert history[3].learning_rate > history[2].learning_rate == 0  # a schedule of its own
    assert best_evaluation(history).number > 3
    given = predict(
        how, data.tokens, first.indices[: n // 2], precision="fp32", batch_size=32
    ).argmax(axis=1)
    assert (given == others[: n // 2].argmax(axis=1)).mean() > (
        given == first.targets[: n // 2].argmax(axis=1)
    ).mean()


def test_weights_decide_what_is_learned(encoder, config, data, tmp_path):
    weights = np.where(data.phases[0].targets[:, 0] == 1, 0.0, 1.0)
    blind = with_phase(data, weights=weights / weights.mean())
    recipe = dataclasses.replace(config, epochs=30, learning_rate=5e-3)

    model, _ = trained(encoder, recipe, blind, tmp_path)

    given = predict(
        model, data.tokens, data.phases[0].indices, precision="fp32", batch_size=32
    ).argmax(axis=1)
    assert not (given == 0).any()
    assert (given == data.phases[0].targets.argmax(axis=1))[weights > 0].mean() > 0.6
