"""The classification head is new in every seed, and an encoder that will not do is refused."""

import json
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from project.config.finetune import FinetuneConfig
from project.support.errors import AssayError
from project.support.models import quiet_transformers
from project.training.encoder import Encoder

OUTSIDE_THE_BASE = {
    "Bert": 2,
    "Roberta": 4,
    "DistilBert": 4,
    "DebertaV2": 4,
    "ModernBert": 4,
    "Llama": 1,
}
"""Architecture -> number of weights of its head."""


def recipe(folder, **changes):
    return FinetuneConfig(encoder=str(folder), precision="fp32", **changes)


def with_head(folder, kind, target, **options):
    """A copy of a tiny model as one for ``kind``, whose weights outside the base are all 7."""
    shutil.copytree(folder, target)
    with quiet_transformers(), torch.random.fork_rng():
        auto = getattr(transformers, f"AutoModelFor{kind}")
        model = auto.from_pretrained(folder, **options)
        with torch.no_grad():
            for name, value in model.named_parameters():
                if not name.startswith(f"{model.base_model_prefix}."):
                    value.fill_(7.0)
        model.save_pretrained(target)
    return target


def weights(encoder, config, seed):
    """The weights of a model of two classes, and the next random number."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return {**encoder.model(2, config).state_dict(), "next": torch.rand(1)}


@pytest.mark.parametrize("name", OUTSIDE_THE_BASE)
@pytest.mark.parametrize("n_old", [2, 5])
def test_a_checkpoint_s_head_is_replaced_by_the_one_that_a_checkpoint_without_head_gets(
    tiny, tmp_path, name, n_old
):
    plain = recipe(tiny(name))
    headed = recipe(
        with_head(tiny(name), "SequenceClassification", tmp_path / "m", num_labels=n_old)
    )
    encoder = Encoder.find(headed)

    assert len(encoder.old_head or ()) == OUTSIDE_THE_BASE[name]
    assert "is not used: the head is new in every seed" in encoder.note
    for seed in (0, 1):
        expected = weights(Encoder.find(plain), plain, seed)
        got = weights(encoder, headed, seed)
        assert got.keys() == expected.keys()
        assert all(torch.equal(got[key], expected[key]) for key in got)
    first, second = (weights(encoder, headed, seed) for seed in (0, 1))
    assert not all(torch.equal(first[key], second[key]) for key in first)


def test_a_head_of_another_kind_with_the_same_name_is_replaced_too(tiny, tmp_path):
    folder = with_head(tiny("DebertaV2"), "TokenClassification", tmp_path / "m", num_labels=2)

    assert Encoder.find(recipe(folder)).old_head == ("classifier.bias", "classifier.weight")
    assert not (weights(Encoder.find(recipe(folder)), recipe(folder), 0)["classifier.bias"]).any()


def test_a_masked_language_model_keeps_what_was_pre_trained(tiny, tmp_path):
    folder = with_head(tiny("ModernBert"), "MaskedLM", tmp_path / "m")
    encoder = Encoder.find(recipe(folder))

    assert encoder.old_head == ()
    assert encoder.note == ""
    assert (weights(encoder, recipe(folder), 0)["head.dense.weight"] == 7).all()


def test_an_encoder_that_was_not_tried_gets_a_new_head_all_the_same(tiny, tmp_path):
    folder = with_head(tiny("Bert"), "SequenceClassification", tmp_path / "m", num_labels=2)
    found = Encoder.find(recipe(folder))
    untried = Encoder(found.source, "fp32", 64)

    assert not (weights(untried, recipe(folder), 0)["classifier.bias"]).any()


def test_only_encoders_with_an_old_head_have_another_identity(tiny, tmp_path):
    folder = with_head(tiny("Bert"), "SequenceClassification", tmp_path / "m", num_labels=2)

    assert "new head" in Encoder.find(recipe(folder)).identity
    assert len(Encoder.find(recipe(tiny("Bert"))).identity) == 4


def test_lora_trains_a_new_head_on_a_checkpoint_with_one(tiny, tmp_path):
    folder = with_head(tiny("Bert"), "SequenceClassification", tmp_path / "m", num_labels=2)
    config = recipe(folder, lora_rank=2)

    model = weights(Encoder.find(config), config, 0)

    heads = [value for key, value in model.items() if "classifier" in key]
    assert heads
    assert all((value != 7).all() for value in heads)


def truncate(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def foreign_settings(folder):
    (folder / "config.json").write_text('{"model_type": "vit"}')


def more_layers(folder):
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "num_hidden_layers": 4}))


def wider(folder):
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "hidden_size": 64}))


def no_tokenizer(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()


def larger_tokenizer(folder):
    path = folder / "tokenizer.json"
    settings = json.loads(path.read_text())
    n_words = len(settings["model"]["vocab"])
    settings["model"]["vocab"] |= {f"new{i}": n_words + i for i in range(9)}
    path.write_text(json.dumps(settings))


def not_a_number(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["encoder.layer.0.output.dense.weight"].fill_(float("nan"))
    save_file(tensors, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "could not be loaded for sequence classification: Error while deserializing"),
        (foreign_settings, "Unrecognized configuration class .*ViTConfig.* Fetch or save its"),
        (more_layers, r"its files lack \d+ of the \d+ weights of its configuration, such as bert"),
        (wider, r"has the shape \(32,\), where its configuration says \(64,\)"),
        (no_tokenizer, "its folder holds no tokenizer"),
        (larger_tokenizer, r"its tokenizer has \d+ tokens and the model knows \d+"),
        (not_a_number, "its answer to a text is not a number"),
    ],
)
def test_an_encoder_that_will_not_do_is_refused_when_it_is_looked_for(
    tiny, tmp_path, damage, message
):
    folder = tmp_path / "m"
    shutil.copytree(tiny("Bert"), folder)
    damage(folder)

    with pytest.raises(AssayError, match=f"encoder m.*{message}") as raised:
        Encoder.find(recipe(folder))
    assert "\n" not in str(raised.value)


def test_lora_that_an_architecture_cannot_have_is_refused_when_it_is_looked_for(tiny):
    with pytest.raises(AssayError, match="lora_rank=2 cannot be used with an encoder of type dist"):
        Encoder.find(recipe(tiny("DistilBert"), lora_rank=2))
