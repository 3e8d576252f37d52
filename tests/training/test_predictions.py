"""A model's predictions: independent of the batch, and refused where they are not numbers."""

import pytest
import torch

from project.support.errors import AssayError
from project.training.checkpoint import Checkpoint
from project.training.loop import train
from project.training.predict import predict
from tests.helpers.trainings import trained


def test_predictions_do_not_depend_on_the_batch_they_are_in(
    encoder, config, data, test_indices, tmp_path
):
    model, _ = trained(encoder, config, data, tmp_path)

    together, alone = (
        predict(model, data.tokens, test_indices, precision="fp32", batch_size=size)
        for size in (32, 1)
    )
    assert together == pytest.approx(alone, abs=1e-5)
    assert predict(
        model, data.tokens, test_indices[::-1], precision="fp32", batch_size=32
    ) == pytest.approx(together[::-1], abs=1e-5)


def test_predictions_that_are_not_numbers_are_refused_as_divergence(
    encoder, config, data, test_indices, tmp_path
):
    how, _ = train(
        encoder,
        config,
        data,
        seed=0,
        checkpoint=Checkpoint(tmp_path / "c", "d", 1e9),
        after_evaluation=lambda _: None,
    )
    with torch.no_grad():
        next(iter(how.model.parameters()))[:] = float("nan")

    with pytest.raises(
        AssayError, match="training diverged: predictions are not numbers. Lower learning_rate"
    ):
        predict(how, data.tokens, test_indices, precision="fp32", batch_size=8)
