"""Models whose texts cannot share a prefix exactly: found out when they are loaded, and read whole."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    BartConfig,
    BartForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MarianConfig,
    MarianForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PLBartConfig,
    PLBartForCausalLM,
    TrOCRConfig,
    TrOCRForCausalLM,
)

from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.annotation.engines.transformers.packed import PackedModel
from project.annotation.engines.transformers.self_check import _SHARE, _sample, settle
from project.annotation.engines.transformers.unpacked import PlainModel
from project.annotation.prompt import build_prompts
from project.config.experiment import AnnotateConfig, PromptConfig

SIZES: dict[str, Any] = {"vocab_size": 600, "max_position_embeddings": 512}
DECODER: dict[str, Any] = {
    **SIZES,
    "d_model": 48,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 96,
    "is_decoder": True,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "forced_eos_token_id": None,
}
ROTARY: dict[str, Any] = {
    **SIZES,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 0,
}
COUNT_THEMSELVES = [
    (MarianForCausalLM, MarianConfig),
    (BartForCausalLM, BartConfig),
    (PLBartForCausalLM, PLBartConfig),
]
TRIE = LabelTrie([(5,), (6, 5), (6, 6), (7, 7), (7, 8)], "abcde", ())


def random_model(kind, settings, dtype=torch.float32):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(settings)
        for weight in model.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=0.3)
    return model.to(dtype).eval()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_good_model_is_packed_and_padded(dtype):
    model = random_model(
        LlamaForCausalLM, LlamaConfig(**ROTARY, num_key_value_heads=2), getattr(torch, dtype)
    )
    plain = PlainModel(model, 1024)

    assert settle(model, plain, dtype, split=True) is not None
    assert plain.padded


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("kind", "settings"), COUNT_THEMSELVES)
def test_a_model_that_counts_its_positions_itself_is_not_packed_in_any_dtype(kind, settings, dtype):
    model = random_model(kind, settings(**DECODER), getattr(torch, dtype))
    before, plain = model.config._attn_implementation, PlainModel(model, 1024)

    assert settle(model, plain, dtype, split=True) is None
    assert plain.padded
    assert model.config._attn_implementation == before


def packed_movement(model):
    """By how much packing moves what is read, as a share of what another text changes; medians over the vocabulary."""
    plain, packed = PlainModel(model, 1024), PackedModel(model, split=True)
    prefix, one, _, behind = _sample(model.config.vocab_size)
    alone = torch.cat([plain.logs([[*prefix, *text]]) for text in (one, behind)])
    found = packed.logs(prefix, [one, behind], LabelTrie([(5,), (6,)], "ab", ()))[:, 0]
    return float((found - alone).abs().median() / (alone[0] - alone[1]).abs().median())


def test_the_gate_stands_between_rounding_and_errors_of_reading():
    deep = TransformersAnnotator(AnnotateConfig(annotator_dtype="bfloat16")).model
    wrong = [
        random_model(kind, settings(**DECODER), torch.bfloat16)
        for kind, settings in COUNT_THEMSELVES
    ]

    assert packed_movement(deep) < _SHARE / 2
    assert min(map(packed_movement, wrong)) > 1.5 * _SHARE


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_that_padding_moves_is_read_in_rows_of_one_length(dtype):
    model = random_model(TrOCRForCausalLM, TrOCRConfig(**DECODER), getattr(torch, dtype))
    plain = PlainModel(model, 1024)

    assert settle(model, plain, dtype, split=True) is None
    assert not plain.padded
    texts = [[9, 10, 11], [12, 13], [14, 15, 16], [17] * 9]
    alone = np.concatenate([plain.reads([20, 21], [text], TRIE) for text in texts])
    assert plain.reads([20, 21], texts, TRIE) == pytest.approx(
        alone, abs=1e-5 if dtype == "float32" else 0.05
    )


@pytest.mark.parametrize("padded", [True, False])
def test_no_batch_of_whole_prompts_has_more_tokens_than_asked_for(padded):
    model = random_model(LlamaForCausalLM, LlamaConfig(**ROTARY, num_key_value_heads=2))
    plain, batches = PlainModel(model, 100), []
    plain.padded = padded
    model.register_forward_pre_hook(
        lambda _module, _args, named: batches.append(named["input_ids"].numel()), with_kwargs=True
    )

    texts = [[9] * length for length in (3, 30, 12, 12, 5, 80, 12, 40)]
    together = plain.reads([8] * 15, texts, TRIE)

    assert max(batches) <= 100
    assert len(batches) < len(texts) * len(TRIE.nodes)
    assert together == pytest.approx(
        np.concatenate([PlainModel(model, 1).reads([8] * 15, [text], TRIE) for text in texts]),
        abs=1e-4,
    )


def test_rotations_that_depend_on_the_length_are_not_mixed_in_a_row(tiny_llm, small_task, tmp_path):
    """Longrope turns short prompts by other angles than long ones: a long text must not share the prefix of the short ones."""
    rope = {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "short_factor": [1.0] * 6,
        "long_factor": [8.0] * 6,
    }
    settings = Phi3Config(
        **ROTARY, eos_token_id=2, original_max_position_embeddings=200, rope_parameters=rope
    )
    random_model(Phi3ForCausalLM, settings).save_pretrained(tmp_path / "phi")
    AutoTokenizer.from_pretrained(tiny_llm).save_pretrained(tmp_path / "phi")
    engine = TransformersAnnotator(
        AnnotateConfig(annotator_model=str(tmp_path / "phi"), annotator_dtype="float32")
    )
    prompt = build_prompts(
        PromptConfig(n_demonstrations=0, label_style="letter"),
        small_task.label_set,
        "T",
        small_task.split("demonstration"),
        1,
    )[0]
    texts = ["a", "a b c d e f g h " * 8, "one two", "x y z " * 10]
    lengths = engine.tokens.fit(prompt, texts).lengths

    together = engine.read(prompt, texts).log_probabilities

    assert min(lengths) < 200 < max(lengths)
    assert engine.packed
    trie, fitted = engine.tokens.trie(prompt), engine.tokens.fit(prompt, texts)
    one_by_one = PlainModel(engine.model, 1)
    for row, suffix in zip(together, fitted.suffixes, strict=True):
        alone = trie.classes(one_by_one.reads(fitted.prefix, [suffix], trie))[0]
        assert row == pytest.approx(alone - np.logaddexp.reduce(alone), abs=1e-4)


def test_a_model_that_is_read_whole_says_so_and_promises_no_reuse(tiny_llm, small_task, tmp_path):
    random_model(MarianForCausalLM, MarianConfig(**DECODER)).save_pretrained(tmp_path / "marian")
    AutoTokenizer.from_pretrained(tiny_llm).save_pretrained(tmp_path / "marian")
    engine = TransformersAnnotator(
        AnnotateConfig(annotator_model=str(tmp_path / "marian"), annotator_dtype="float32")
    )
    prompt = build_prompts(
        PromptConfig(n_demonstrations=1),
        small_task.label_set,
        "T",
        small_task.split("demonstration"),
        1,
    )[0]

    assert engine.size(prompt, ["a text"]).prefix == 0
    assert [
        note
        for note in engine.notes
        if "every text is read with its whole prompt, in padded batches" in note
    ]
