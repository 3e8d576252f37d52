"""The attention of a GPU, computed on a CPU: all texts of a packed row at once."""

import numpy as np
import pytest
import torch
import transformers

from project.config.finetune import FinetuneConfig
from project.training import packed_batch
from project.training.batching import _layers, choose_batching
from project.training.encoder import Encoder
from project.training.packed_batch import (
    AttentionOptions,
    PackedBatch,
    attend_one_by_one,
    attend_together,
)
from project.training.packing import Packed
from project.training.padding import Padded
from project.training.targets import loss

PACKED = ["Bert", "Roberta", "DistilBert", "ModernBert", "Llama", "Mistral"]
LENGTHS = [9, 30, 1, 17, 16]
ROWS = [np.arange(5, 5 + n, dtype=np.int32) for n in LENGTHS]


@pytest.fixture
def load(tiny):
    """A function that loads a tiny model of an architecture, the same every time."""

    def loaded(name):
        config = FinetuneConfig(encoder=str(tiny(name)), precision="fp32", max_length=60)
        torch.manual_seed(0)
        return Encoder.find(config).model(3, config).eval()

    return loaded


def logits_and_gradients(batching, rows):
    logits = batching.logits(rows)
    logits.square().sum().backward()
    parameters = batching.model.named_parameters()
    return logits, {name: value.grad for name, value in parameters if value.grad is not None}


@pytest.mark.parametrize(
    "name", ["Bert", "Roberta", "DistilBert", "ModernBert", "Llama", "Mistral"]
)
def test_logits_and_gradients_are_those_of_padded_rows(load, monkeypatch, name):
    monkeypatch.setattr(packed_batch, "attend_one_by_one", attend_together)
    packed = choose_batching(load(name), "packed", "fp32")

    logits, gradients = logits_and_gradients(packed, ROWS)
    expected, expected_gradients = logits_and_gradients(Padded(load(name)), ROWS)

    assert isinstance(packed, Packed)
    assert torch.allclose(logits, expected, atol=1e-5)
    assert gradients.keys() == expected_gradients.keys()
    for key, value in expected_gradients.items():
        assert torch.allclose(gradients[key], value, atol=1e-4 * float(value.abs().max()) + 1e-7)


@pytest.mark.parametrize(
    "name", ["Bert", "Roberta", "DistilBert", "ModernBert", "Llama", "Mistral"]
)
def test_a_step_never_waits_for_a_number_from_the_device(tiny, name):
    settings = transformers.AutoConfig.from_pretrained(tiny(name), num_labels=3)
    settings.pad_token_id = settings.pad_token_id or 0
    with torch.device("meta"):  # where a tensor has no numbers, and to read one is an error
        model = transformers.AutoModelForSequenceClassification.from_config(settings)
        targets = torch.ones(len(ROWS), 3)
        weights = torch.ones(len(ROWS))
    packed = Packed(model.train(), _layers(model))

    loss(packed.logits(ROWS), targets, weights).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    assert any(value.grad is not None for value in model.parameters())


def test_padding_that_repeats_a_token_of_extreme_values_changes_no_gradient():
    batch = PackedBatch.of([2, 40], torch.device("cpu"))
    torch.manual_seed(0)
    inputs = [torch.randn(1, 2, 42, 8) for _ in range(3)]
    for value in inputs:
        value[:, :, 0] *= 1e4  # padding is filled with this token
    weight = torch.randn(1, 2, 42, 8)

    results = []
    for attend in (attend_one_by_one, attend_together):
        leaves = [value.clone().requires_grad_() for value in inputs]
        query, key, value = leaves
        mixed = attend(query, key, value, batch, options=AttentionOptions(0.0, 0.3))
        results.append([mixed, *torch.autograd.grad((mixed * weight).sum(), leaves)])

    for alone, together in zip(*results, strict=True):
        assert torch.allclose(alone[:, :, 2:], together[:, :, 2:], atol=1e-5)
        assert torch.allclose(alone, together, rtol=1e-4, atol=1e-2)


def test_layers_share_the_mask_of_their_kind_of_attention():
    batch = PackedBatch.of([3, 5], torch.device("cpu"))
    whole = AttentionOptions(0.0, 0.5)
    dropped = AttentionOptions(0.1, 0.25)
    windowed = AttentionOptions(0.0, 0.5, window=2)

    mask = batch.scores_mask(whole, torch.float32)

    assert mask.shape == (2, 1, 16, 16)
    assert batch.scores_mask(dropped, torch.float32) is mask
    assert not torch.equal(batch.scores_mask(windowed, torch.float32), mask)
    assert batch.scores_mask(whole, torch.bfloat16).dtype == torch.bfloat16
    assert (mask == 0).any(-1).all()  # every row sees something
