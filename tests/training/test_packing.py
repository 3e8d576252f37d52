"""Mini-batches without padding give the same numbers; other architectures are padded."""

import dataclasses

import numpy as np
import pytest
import torch

from project.config.finetune import FinetuneConfig
from project.data.tables import codes
from project.support.errors import AssayError
from project.training.batching import choose_batching
from project.training.checkpoint import Checkpoint
from project.training.encoder import Encoder
from project.training.inputs import Phase, TrainingInputs
from project.training.loop import train
from project.training.packed_batch import (
    AttentionOptions,
    PackedBatch,
    attend_one_by_one,
    attend_together,
)
from project.training.packing import Packed
from project.training.padding import Padded, split_by_length
from project.training.targets import targets

PACKED = ["Bert", "Roberta", "Electra", "DistilBert", "ModernBert", "Llama", "Mistral"]
PADDED = ["DebertaV2", "XLNet", "MPNet", "Bart"]


@pytest.fixture
def setting(tiny, small_task, tmp_path):
    """A function that returns an encoder of an architecture, its recipe, and what to learn."""

    def make(name, **changes):
        config = FinetuneConfig(
            encoder=str(tiny(name)),
            epochs=3,
            train_batch_size=8,
            learning_rate=3e-3,
            precision="fp32",
            max_length=60,
            **changes,
        )
        encoder = Encoder.find(config)
        train_rows, held = small_task.split("train"), small_task.split("validation")
        tokens = encoder.tokens([*train_rows["text"], *held["text"]], tmp_path / "tokens")
        labels = train_rows.assign(label=train_rows["gold_label"], weight=1.0, source="gold")
        learned, n = targets(labels, small_task.label_set, config), len(train_rows)
        held_codes = codes(held["gold_label"], small_task.label_set)
        return (
            encoder,
            config,
            TrainingInputs(
                tokens,
                (Phase(np.arange(n), learned.values, learned.weights),),
                np.arange(n, n + len(held)),
                held_codes,
            ),
        )

    return make


@pytest.fixture
def no_dropout(monkeypatch):
    """Dropout is zero wherever a model has it: what is left must be equal."""
    whole = Encoder.model

    def model(encoder, *arguments):
        made = whole(encoder, *arguments)
        for module in made.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            for name in ("attention_dropout", "dropout_prob"):
                if isinstance(getattr(module, name, None), float):
                    setattr(module, name, 0.0)
        return made

    monkeypatch.setattr(Encoder, "model", model)


def losses(setting, tmp_path, seed=0):
    encoder, config, data = setting
    how, history = train(
        encoder,
        config,
        data,
        seed=seed,
        checkpoint=Checkpoint(tmp_path / "x.safetensors", "x", 1e9),
        after_evaluation=lambda evaluation: None,
    )
    return how.name, [epoch.training_loss for epoch in history]


@pytest.mark.parametrize("name", PACKED)
def test_packed_and_padded_trainings_have_the_same_losses_to_1e5(
    setting, no_dropout, tmp_path, name
):
    packed, padded = (losses(setting(name, batching=how), tmp_path) for how in ("packed", "padded"))

    assert (packed[0], padded[0]) == ("packed", "padded")
    assert packed[1] == pytest.approx(padded[1], abs=1e-5)
    assert packed[1][-1] < packed[1][0]


@pytest.mark.parametrize("name", PADDED)
def test_an_architecture_that_cannot_be_packed_exactly_is_padded_or_refused(
    setting, no_dropout, tmp_path, name
):
    auto, padded = (losses(setting(name, batching=how), tmp_path) for how in ("auto", "padded"))

    assert auto == padded
    assert auto[0] == "padded"
    with pytest.raises(
        AssayError, match=r"batching=packed is not exact for a model of type .*Use batching=auto"
    ):
        losses(setting(name, batching="packed"), tmp_path)


@pytest.mark.parametrize("how", ["packed", "padded"])
def test_gradient_accumulation_gives_the_same_losses(setting, no_dropout, tmp_path, how):
    whole, parts = (
        losses(setting("Bert", batching=how, gradient_accumulation=n), tmp_path)[1] for n in (1, 3)
    )

    assert parts == pytest.approx(whole, abs=1e-5)


def test_packed_and_padded_trainings_have_different_digests(setting):
    _, config, _ = setting("Bert")

    assert (
        config.hyper_parameters()
        != dataclasses.replace(config, batching="padded").hyper_parameters()
    )


def model(setting, name, precision="fp32"):
    encoder, config, _ = setting(name)
    torch.manual_seed(0)
    return dataclasses.replace(encoder, precision=precision).model(3, config)


ROWS = [np.arange(5, 5 + n, dtype=np.int32) for n in (9, 30, 1, 17)]


@pytest.mark.parametrize("name", PACKED)
def test_texts_of_a_packed_row_do_not_change_each_other_s_logits_in_training(setting, name):
    how = choose_batching(model(setting, name), "packed", "fp32")
    how.model.train()

    given = []
    for first in (ROWS[0], ROWS[0] + 40):
        torch.manual_seed(1)
        given.append(how.logits([first, *ROWS[1:]]))

    assert torch.equal(given[0][1:], given[1][1:])
    assert not torch.equal(given[0][0], given[1][0])


def test_the_exactness_check_finds_attention_across_texts(setting, monkeypatch):
    def everything(query, key, value, batch, *, options):
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, scale=options.scale
        )

    tiny = model(setting, "Bert")
    assert choose_batching(tiny, "auto", "fp32").name == "packed"
    monkeypatch.setattr("project.training.packed_batch.attend_one_by_one", everything)
    assert choose_batching(model(setting, "Bert"), "auto", "fp32").name == "padded"


def test_a_model_that_cannot_be_packed_is_unchanged(setting):
    tiny = model(setting, "MPNet").eval()
    before = Padded(tiny).logits(ROWS)

    how = choose_batching(tiny, "auto", "fp32")

    assert isinstance(how, Padded)
    assert torch.equal(how.logits(ROWS), before)
    assert not [
        hook
        for module in tiny.modules()
        for hook in (*module._forward_pre_hooks, *module._forward_hooks)
    ]


def test_a_model_is_packed_in_bf16_too(setting):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        how = choose_batching(model(setting, "ModernBert"), "auto", "bf16")

    assert isinstance(how, Packed)


@pytest.mark.parametrize(("causal", "window"), [(False, None), (True, None), (False, 4), (True, 4)])
def test_both_attentions_have_the_same_values_and_gradients(causal, window):
    places = PackedBatch.of([5, 12, 1, 8], torch.device("cpu"))
    torch.manual_seed(0)
    given = [torch.randn(1, 2, 26, 4, requires_grad=True) for _ in range(3)]
    weight = torch.randn(1, 2, 26, 4)

    results = []
    for mix in (attend_one_by_one, attend_together):
        options = AttentionOptions(0.0, 0.5, causal, window)
        mixed = mix(given[0], given[1], given[2], places, options=options)
        results.append([mixed, *torch.autograd.grad((mixed * weight).sum(), given)])

    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_attention_with_dropout_keeps_the_mean_and_has_the_expected_spread():
    places, ones = PackedBatch.of([100, 50], torch.device("cpu")), torch.ones(1, 64, 150, 4)
    torch.manual_seed(0)

    mixed = attend_one_by_one(
        torch.zeros_like(ones),
        torch.zeros_like(ones),
        ones,
        places,
        options=AttentionOptions(0.3, 0.5),
    )

    assert float(mixed.mean()) == pytest.approx(1.0, abs=0.01)
    assert float(mixed.std()) == pytest.approx(
        0.5 * (0.3 / 0.7 / 100) ** 0.5 + 0.5 * (0.3 / 0.7 / 50) ** 0.5, rel=0.1
    )


def test_parts_of_similar_length_save_padding_unless_a_pass_costs_more():
    lengths = [10, 200, 11, 190, 12]

    assert [part.tolist() for part in split_by_length(np.arange(5), lengths, 64)] == [
        [0, 2, 4],
        [3, 1],
    ]
    assert [part.tolist() for part in split_by_length(np.arange(5), lengths, 10_000)] == [
        [0, 2, 4, 3, 1]
    ]
