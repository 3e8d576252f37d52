"""Models whose texts cannot share a prefix exactly are detected when loaded, and read whole."""

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
from project.annotation.engines.transformers.self_check import MAX_SHARE, exact_readers, sample_rows
from project.annotation.engines.transformers.unpacked import UnpackedModel
from project.annotation.prompt import build_prompts
from project.config.annotation import AnnotateConfig
from project.config.prompt import PromptConfig

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
IGNORE_POSITION_IDS = [
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
def test_a_usual_model_is_packed_and_padded(dtype):
    settings = LlamaConfig(**ROTARY, num_key_value_heads=2)
    model = random_model(LlamaForCausalLM, settings, getattr(torch, dtype))

    readers = exact_readers(model, 1024, dtype, split=True)

    assert readers.packed is not None
    assert readers.unpacked.padded


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("kind", "settings"), IGNORE_POSITION_IDS)
def test_a_model_that_ignores_position_ids_is_not_packed_in_any_dtype(kind, settings, dtype):
    model = random_model(kind, settings(**DECODER), getattr(torch, dtype))
    attention = model.config._attn_implementation

    readers = exact_readers(model, 1024, dtype, split=True)

    assert readers.packed is None
    assert readers.unpacked.padded
    assert model.config._attn_implementation == attention


def packing_error(model):
    """Median change by packing, as a share of the median change that another text makes."""
    unpacked = UnpackedModel(model, 1024)
    packed = PackedModel(model, split=True)
    rows = sample_rows(model.config.vocab_size)
    texts = [rows.text, rows.second_text]
    alone = torch.cat([unpacked.logs([[*rows.prefix, *text]]) for text in texts])
    in_a_row = packed.logs(rows.prefix, texts, LabelTrie([(5,), (6,)], "ab", ()))[:, 0]
    return float((in_a_row - alone).abs().median() / (alone[0] - alone[1]).abs().median())


def test_the_limit_lies_between_rounding_and_wrong_reading():
    deep = TransformersAnnotator(AnnotateConfig(annotator_dtype="bfloat16")).model
    wrong = [
        random_model(kind, settings(**DECODER), torch.bfloat16)
        for kind, settings in IGNORE_POSITION_IDS
    ]

    assert packing_error(deep) < MAX_SHARE / 2
    assert min(map(packing_error, wrong)) > 1.5 * MAX_SHARE


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_that_padding_changes_is_read_in_batches_of_one_length(dtype):
    model = random_model(TrOCRForCausalLM, TrOCRConfig(**DECODER), getattr(torch, dtype))

    packed, unpacked = exact_readers(model, 1024, dtype, split=True)

    assert packed is None
    assert not unpacked.padded
    texts = [[9, 10, 11], [12, 13], [14, 15, 16], [17] * 9]
    alone = np.concatenate([unpacked.reads([20, 21], [text], TRIE) for text in texts])
    assert unpacked.reads([20, 21], texts, TRIE) == pytest.approx(
        alone, abs=1e-5 if dtype == "float32" else 0.05
    )


@pytest.mark.parametrize("padded", [True, False])
def test_a_batch_of_whole_prompts_has_at_most_batch_tokens(padded):
    model = random_model(LlamaForCausalLM, LlamaConfig(**ROTARY, num_key_value_heads=2))
    unpacked = UnpackedModel(model, 100)
    unpacked.padded = padded
    batches = []
    model.register_forward_pre_hook(
        lambda _module, _args, named: batches.append(named["input_ids"].numel()), with_kwargs=True
    )

    texts = [[9] * length for length in (3, 30, 12, 12, 5, 80, 12, 40)]
    together = unpacked.reads([8] * 15, texts, TRIE)

    assert max(batches) <= 100
    assert len(batches) < len(texts) * len(TRIE.nodes)
    assert together == pytest.approx(
        np.concatenate([UnpackedModel(model, 1).reads([8] * 15, [text], TRIE) for text in texts]),
        abs=1e-4,
    )


def test_a_text_beyond_the_rotary_limit_does_not_share_the_prefix(tiny_llm, small_task, tmp_path):
    """Longrope rotates long prompts by other angles, so their prefix has other keys."""
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
        n_draws=1,
    )[0]
    texts = ["a", "a b c d e f g h " * 8, "one two", "x y z " * 10]
    lengths = engine.tokens.fit(prompt, texts).lengths

    together = engine.read(prompt, texts).log_probabilities

    assert min(lengths) < 200 < max(lengths)
    assert engine.packed
    trie, fitted = engine.tokens.trie(prompt), engine.tokens.fit(prompt, texts)
    one_by_one = UnpackedModel(engine.model, 1)
    for row, suffix in zip(together, fitted.suffixes, strict=True):
        alone = trie.classes(one_by_one.reads(fitted.prefix, [suffix], trie))[0]
        assert row == pytest.approx(alone - np.logaddexp.reduce(alone), abs=1e-4)


def test_a_model_that_is_not_packed_leaves_a_note_and_reuses_no_prefix(
    tiny_llm, small_task, tmp_path
):
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
        n_draws=1,
    )[0]

    assert engine.size(prompt, ["a text"]).prefix == 0
    (note,) = engine.notes
    assert "every text is read with its whole prompt, in padded batches" in note
