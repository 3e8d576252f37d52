"""The encoder: every architecture, LoRA, remote code, dropout, tokens on disk."""

import dataclasses
import json
import pickle
import sys

import numpy as np
import pytest
import torch
import transformers

from project.config.finetune import FinetuneConfig
from project.support.errors import AssayError
from project.support.models import ModelSource
from project.training.checkpoint import Checkpoint
from project.training.encoder import Encoder
from project.training.inputs import Phase, TrainingInputs
from project.training.loop import train
from project.training.padding import Padded
from project.training.predict import predict
from project.training.tokens import Tokens

ARCHITECTURES = [
    "Bert",
    "Roberta",
    "DistilBert",
    "XLNet",
    "DebertaV2",
    "ModernBert",
    "Electra",
    "MPNet",
    "Llama",
    "Mistral",
]


@pytest.fixture
def config(tiny):
    """A function that gives the recipe of a tiny model of an architecture."""

    def make(name, **changes):
        small = {
            "epochs": 2,
            "train_batch_size": 8,
            "learning_rate": 3e-3,
            "precision": "fp32",
            **changes,
        }
        return FinetuneConfig(encoder=str(tiny(name)), **small)

    return make


def learn(config, folder, words):
    """The batching and history of a training on sixteen texts of two classes with own words."""
    encoder = Encoder.find(config)
    texts = [" ".join(words[index * 7 : index * 7 + 1 + index % 5]) for index in range(24)]
    tokens, targets = encoder.tokens(texts, folder / "tokens"), np.eye(2)[np.arange(16) % 2]
    data = TrainingInputs(
        tokens, (Phase(np.arange(16), targets, np.ones(16)),), np.arange(16, 24), np.arange(8) % 2
    )
    return train(
        encoder,
        config,
        data,
        seed=0,
        checkpoint=Checkpoint(folder / "x.safetensors", "x", 0),
        after_evaluation=lambda evaluation: None,
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_trained_and_changes_all_its_weights(config, tmp_path, words, name):
    settings = config(name)
    before = Encoder.find(settings).model(2, settings).state_dict()

    how, history = learn(settings, tmp_path, words)

    assert [evaluation.number for evaluation in history] == [1, 2]
    after = how.model.state_dict()
    unmoved = {
        key
        for key, value in after.items()
        if value.is_floating_point() and torch.equal(value, before[key])
    }
    # XLNet has weights that a classifier does not use: a mask, segments, a bias of all keys
    assert {key.rpartition(".")[2] for key in unmoved} <= (
        {"mask_emb", "seg_embed", "r_s_bias"} if name == "XLNet" else set()
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_architecture_s_predictions_depend_on_the_batch_they_are_in(
    config, tmp_path, words, name
):
    how, _ = learn(config(name), tmp_path, words)
    tokens = Tokens(next((tmp_path / "tokens").iterdir()))

    together, alone = (
        predict(how, tokens, np.arange(24), precision="fp32", batch_size=size) for size in (24, 1)
    )

    assert len(set(tokens.lengths(np.arange(24)).tolist())) > 2
    assert together == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize("name", ["Llama", "Mistral", "Bert", "Roberta"])
def test_lora_trains_its_matrices_and_the_classification_layer_alone(config, tmp_path, words, name):
    settings = config(name, lora_rank=2, epochs=3, checkpoint_seconds=0)
    torch.manual_seed(0)
    encoder = Encoder.find(settings)

    how, history = learn(settings, tmp_path, words)

    learning = {key for key, value in how.model.named_parameters() if value.requires_grad}
    assert learning
    assert all("lora_" in key or "modules_to_save" in key for key in learning)
    assert any("modules_to_save" in key for key in learning)
    whole = sum(value.numel() for value in encoder.model(2, config(name)).parameters())
    assert (
        sum(value.numel() for key, value in how.model.named_parameters() if key in learning)
        < 0.2 * whole
    )
    frozen = {
        key.replace(".base_layer", "").removeprefix("base_model.model."): value
        for key, value in how.model.named_parameters()
    }
    plain = encoder.model(2, config(name)).state_dict()
    assert all(
        torch.equal(frozen[key], value)
        for key, value in plain.items()
        if key in frozen and frozen[key].requires_grad is False
    )
    assert all(
        value.any() for key, value in how.model.named_parameters() if "lora_B" in key
    )  # they begin at zero
    assert len(history) == 3
    assert how.name == "packed"


def test_lora_keeps_the_weights_that_do_not_learn_in_the_dtype_of_the_precision(config):
    settings = config("Llama", lora_rank=2, precision="bf16")

    model = Encoder.find(settings).model(2, settings)

    assert {value.dtype for value in model.parameters() if value.requires_grad} == {torch.float32}
    assert {value.dtype for value in model.parameters() if not value.requires_grad} == {
        torch.bfloat16
    }


def test_the_error_without_peft_names_what_to_install(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    settings = config("Llama", lora_rank=2)

    with pytest.raises(
        AssayError,
        match="lora_rank=2 needs the package peft, which is not installed here: run `pip install "
        "peft`",
    ):
        Encoder.find(settings).model(2, settings)


def test_a_causal_model_answers_at_a_text_s_last_token_in_every_batch(config):
    settings = config("Llama")
    model = Encoder.find(settings).model(3, settings).eval()
    model.config.pad_token_id = 0
    short, long = np.array([5, 6, 7], dtype=np.int32), np.arange(5, 25, dtype=np.int32)

    together, alone = Padded(model).logits([short, long]), Padded(model).logits([short])

    assert torch.allclose(together[0], alone[0], atol=1e-6)
    assert not torch.allclose(Padded(model).logits([short[:2]])[0], alone[0], atol=1e-4)


def test_a_causal_model_without_a_padding_token_gets_one(tiny_llm):
    settings = FinetuneConfig(encoder=str(tiny_llm), precision="fp32")
    assert transformers.AutoConfig.from_pretrained(tiny_llm).pad_token_id is None

    model = Encoder.find(settings).model(2, settings)

    assert (
        model.config.pad_token_id
        == transformers.AutoTokenizer.from_pretrained(tiny_llm).eos_token_id
    )
    assert Padded(model).logits([np.array([5, 6]), np.array([5, 6, 7])]).shape == (2, 2)


@pytest.fixture
def with_code(tiny, tmp_path):
    """A folder whose model is Python code that leaves a mark when it runs."""
    folder = tmp_path / "with-code"
    folder.mkdir()
    for path in tiny("Bert").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    settings = json.loads((folder / "config.json").read_text())
    settings["model_type"] = "own"
    settings["auto_map"] = {
        "AutoConfig": "own.OwnConfig",
        "AutoModelForSequenceClassification": "own.OwnModel",
    }
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "own.py").write_text(
        "from pathlib import Path\n"
        "from transformers import BertConfig, BertForSequenceClassification\n"
        f"Path({str(tmp_path / 'mark')!r}).touch()\n"
        "class OwnConfig(BertConfig):\n    model_type = 'own'\n"
        "class OwnModel(BertForSequenceClassification):\n    config_class = OwnConfig\n"
    )
    return folder


def test_code_that_comes_with_a_model_runs_only_with_remote_code(with_code, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    with pytest.raises(
        AssayError,
        match=r"encoder with-code comes with Python code of its own.* set remote_code to the "
        r"encoder's name",
    ):
        Encoder.find(FinetuneConfig(encoder=str(with_code)))
    assert not (tmp_path / "mark").exists()
    with pytest.raises(
        AssayError, match=r"remote_code must repeat the encoder's name, .*with-code'; got 'true'"
    ):
        FinetuneConfig(encoder=str(with_code), remote_code="true")

    settings = FinetuneConfig(encoder=str(with_code), remote_code=str(with_code), precision="fp32")
    model = Encoder.find(settings).model(2, settings)

    assert type(model).__name__ == "OwnModel"
    assert (tmp_path / "mark").exists()


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return Encoder.find(FinetuneConfig(encoder=str(tiny_encoder), precision="fp32"))


def test_texts_longer_than_the_encoder_reads_are_cut_and_counted(encoder, tmp_path):
    tokens = encoder.tokens(["kettle " * 300, "kettle", "kettle " * 62], tmp_path)

    assert encoder.max_length == 64
    assert tokens.lengths(np.array([0, 1, 2])).tolist() == [64, 3, 64]
    assert [tokens.n_cut(np.array(rows)) for rows in ([0, 1, 2], [1, 2])] == [1, 0]


@pytest.mark.parametrize(
    ("name", "most"),
    [("Roberta", 64), ("XLNet", 256), ("Bert", 64), ("ModernBert", 64), ("MPNet", 62)],
)
def test_max_length_is_at_most_the_model_s_own(config, name, most):
    assert Encoder.find(config(name)).max_length == most


def test_texts_are_tokenised_again_only_when_something_changed(encoder, tmp_path, monkeypatch):
    first = encoder.tokens(["a kettle", "kettle"], tmp_path)
    made: list[int] = []
    whole = Encoder.encode

    def counted(self, texts):
        made.append(len(texts))
        return whole(self, texts)

    monkeypatch.setattr(Encoder, "encode", counted)

    again = encoder.tokens(["a kettle", "kettle"], tmp_path)
    assert made == []
    assert [row.tolist() for row in again.rows([0, 1])] == [
        row.tolist() for row in first.rows([0, 1])
    ]
    encoder.tokens(["a kettle", "kettles"], tmp_path)
    dataclasses.replace(encoder, max_length=8).tokens(["a kettle", "kettle"], tmp_path)
    assert made == [2, 2]
    assert len(list(tmp_path.iterdir())) == 3


def test_tokens_are_pickled_as_a_path_and_mapped_into_memory(encoder, tmp_path):
    tokens = encoder.tokens(["kettle " * 50] * 100, tmp_path)
    tokens.rows([0])

    sent = pickle.dumps(tokens)

    assert len(sent) < 500
    received = pickle.loads(sent)  # noqa: S301  (written above)
    assert isinstance(received, Tokens)
    assert len(received) == 100
    assert isinstance(received[0].base, np.memmap)
    assert received[99].tolist() == tokens[99].tolist()


def test_special_tokens_written_in_a_text_stay_text(tmp_path):
    tokens = Encoder.find(FinetuneConfig()).tokens(["a [SEP] kettle", "a kettle"], tmp_path)

    assert [(row == tokens[1][-1]).sum() for row in tokens.rows([0, 1])] == [1, 1]


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Albert", "classifier_dropout_prob"),
        ("DebertaV2", "cls_dropout"),
        ("DistilBert", "seq_classif_dropout"),
        ("Roberta", "classifier_dropout"),
    ],
)
def test_dropout_is_set_before_the_head_of_other_architectures(tmp_path, name, field):
    small = {
        "vocab_size": 99,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "embedding_size": 16,
    }
    if name == "DistilBert":
        small = {"vocab_size": 99, "dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
    settings = getattr(transformers, f"{name}Config")(**small)
    getattr(transformers, f"{name}Model")(settings).save_pretrained(tmp_path)
    encoder = Encoder(ModelSource(name, str(tmp_path), None, "test"), "fp32", 64)

    model = encoder.model(2, FinetuneConfig(dropout=0.37))

    assert getattr(model.config, field) == 0.37
    assert 0.37 in {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}


def test_a_dropout_that_cannot_be_set_is_refused(tmp_path):
    settings = transformers.MPNetConfig(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    transformers.MPNetModel(settings).save_pretrained(tmp_path)
    encoder = Encoder(ModelSource("mpnet", str(tmp_path), None, "test"), "fp32", 64)

    encoder.model(2, FinetuneConfig())
    with pytest.raises(AssayError, match="dropout cannot be set for encoder mpnet"):
        encoder.model(2, FinetuneConfig(dropout=0.2))


def test_unknown_encoders_and_impossible_precisions_are_refused():
    with pytest.raises(
        AssayError, match="encoder: no-such/encoder .* could not be found on the hub"
    ):
        Encoder.find(FinetuneConfig(encoder="no-such/encoder"))
    if not torch.cuda.is_available():
        with pytest.raises(AssayError, match="precision fp16 needs a GPU"):
            Encoder.find(FinetuneConfig(precision="fp16"))


def test_the_bundled_encoder_reads_the_embedded_task(small_task, tmp_path):
    settings = FinetuneConfig(precision="fp32")
    encoder = Encoder.find(settings)
    tokens = encoder.tokens(list(small_task.split("test")["text"]), tmp_path)

    assert tokens.n_cut(np.arange(len(tokens))) == 0
    model = encoder.model(4, settings)
    logs = predict(Padded(model), tokens, np.arange(4), precision="fp32", batch_size=4)
    assert np.exp(logs).sum(axis=1) == pytest.approx(1)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(
        22.7e6, rel=0.01
    )
