"""Linear layers with reordered weights compute what the layers they replace do."""

from __future__ import annotations

import pytest
import torch

from project.support.prepacked import PrepackedLinear, prepack
from project.training.precision import autocast

IDS = torch.tensor([[5, 17, 3, 42, 8, 23, 11]])


class Layers(torch.nn.Sequential):
    """Two linear layers with a dtype and a device, as a model of transformers has."""

    device = torch.device("cpu")
    dtype = torch.float32


def layers():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Layers(
            torch.nn.Linear(32, 64), torch.nn.LayerNorm(64), torch.nn.Linear(64, 4, bias=False)
        )
    return model.eval()


@pytest.mark.parametrize(("dtype", "noise"), [(torch.float32, 1e-6), (torch.bfloat16, 0.05)])
def test_prepacked_layers_give_the_products_of_the_layers_they_replace(dtype, noise):
    model = layers().to(dtype)
    model.dtype = dtype
    row = torch.linspace(-1, 1, 96, dtype=dtype).reshape(3, 32)
    with torch.inference_mode():
        expected = model(row)
        prepack(model, 16)
        found = model(row)

    assert isinstance(model[0], PrepackedLinear)
    torch.testing.assert_close(model[0].weight, layers()[0].weight.to(dtype), atol=0, rtol=0)
    torch.testing.assert_close(found, expected, atol=noise, rtol=0)


@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU has no bfloat16"
)
def test_a_float32_model_prepacked_in_bfloat16_answers_as_under_autocast():
    model = layers()
    row = torch.linspace(-1, 1, 96).reshape(3, 32)
    with torch.inference_mode(), autocast("bf16", "cpu"):
        expected = model(row)
        prepack(model, 16, torch.bfloat16)
        found = model(row)

    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)


def test_a_model_that_uses_its_layers_weights_directly_still_works():
    from transformers import MambaConfig, MambaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MambaForCausalLM(
            MambaConfig(vocab_size=100, hidden_size=32, state_size=8, num_hidden_layers=2)
        ).eval()
    with torch.inference_mode():
        expected = model(IDS, use_cache=False).logits
        prepack(model, 16)
        found = model(IDS, use_cache=False).logits

    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
