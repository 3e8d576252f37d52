"""The arithmetic of training is what the hardware computes itself."""

import dataclasses

import numpy as np
import pytest
import torch

from project.config.finetune import FinetuneConfig
from project.support.errors import AssayError
from project.training.checkpoint import Checkpoint
from project.training.encoder import Encoder
from project.training.inputs import Phase, TrainingInputs
from project.training.loop import train
from project.training.precision import Machine, autocast, float32_products, precision

OLD, T4, A100 = (Machine("cuda", fastest) for fastest in ("fp32", "fp16", "bf16"))


@pytest.mark.parametrize("machine", [OLD, T4, A100])
def test_auto_is_the_fastest_precision_that_every_gpu_has_in_hardware(machine):
    assert precision("auto", machine) == machine.fastest


@pytest.mark.parametrize("requested", ["bf16", "tf32"])
def test_a_precision_that_a_gpu_would_emulate_is_refused(requested):
    assert precision(requested, A100) == requested
    with pytest.raises(
        AssayError,
        match=rf"precision {requested} needs a GPU of compute capability 8.0 or more.*Use "
        "precision=auto, which is fp16 here",
    ):
        precision(requested, T4)


@pytest.mark.parametrize("requested", ["fp32", "fp16"])
def test_other_precisions_are_taken_as_requested(requested):
    assert precision(requested, T4) == requested


@pytest.mark.parametrize(
    ("precision", "products"), [("fp32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")]
)
@pytest.mark.parametrize("before", ["none", "ieee", "tf32"])
def test_tf32_is_used_where_it_is_asked_for_and_the_setting_comes_back(precision, products, before):
    settings = torch.backends.cuda.matmul
    original = settings.fp32_precision
    settings.fp32_precision = before  # some images for containers switch it on
    try:
        with float32_products(precision):
            assert settings.fp32_precision == products
        assert settings.fp32_precision == before
    finally:
        settings.fp32_precision = original


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16)],
)
def test_float32_products_are_not_cast(precision, dtype):
    with autocast(precision, "cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize(("precision", "products"), [("fp32", "ieee"), ("tf32", "tf32")])
def test_a_whole_training_has_the_products_of_its_precision(
    tiny_encoder, tmp_path, monkeypatch, precision, products
):
    config = FinetuneConfig(
        encoder=str(tiny_encoder), precision="fp32", epochs=1, learning_rate=1e-3
    )
    encoder = dataclasses.replace(Encoder.find(config), precision=precision)
    tokens = encoder.tokens(["word " * 5] * 8, tmp_path)
    phase = Phase(np.arange(8), np.eye(2)[[0, 1] * 4], np.ones(8))
    seen = []
    backward = torch.Tensor.backward

    def recorded(tensor):
        seen.append(torch.backends.cuda.matmul.fp32_precision)
        backward(tensor)

    monkeypatch.setattr(torch.Tensor, "backward", recorded)
    train(
        encoder,
        config,
        TrainingInputs(tokens, (phase,), np.arange(0), np.arange(0)),
        seed=0,
        checkpoint=Checkpoint(tmp_path / "x.safetensors", "x", 1e9),
        after_evaluation=lambda evaluation: None,
    )

    assert set(seen) == {products}
