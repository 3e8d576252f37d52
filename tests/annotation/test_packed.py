"""Rows of texts behind a shared prefix: each is read as if it stood alone."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.transformers.packed import PackedModel

# Measured on two kinds of CPU in float32: at most 1.4e-5. A wrong mask changes logs by units.
ROUNDING = 5e-5
PREFIX = [3, 14, 15, 92, 65, 35]
TEXTS = [[11], [12, 13, 14, 15, 16, 17, 18, 19, 20], [21, 22, 23], [24, 25, 26, 27]]
TRIES = {
    "one node": LabelTrie([(40,), (41,)], "ab", ()),
    "deep": LabelTrie(
        [(40,), (41, 42), (41, 43, 44), (41, 43, 45), (46, 47), (46, 48)], "abcdef", ()
    ),
}


def tiny(**settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {
            "vocab_size": 100,
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "attention_bias": True,
            "initializer_range": 0.3,
        }
        return LlamaForCausalLM(LlamaConfig(**{**sizes, **settings})).eval()


def alone(model, prefix, text, trie):
    """The definition: every whole prompt by itself, no mask, no cache."""
    with torch.inference_mode():
        return torch.stack(
            [
                model(torch.tensor([[*prefix, *text, *node.path]])).logits[0, -1].log_softmax(-1)
                for node in trie.nodes
            ]
        )


@pytest.mark.parametrize("split", [True, False], ids=["in two parts", "in blocks"])
@pytest.mark.parametrize("trie", list(TRIES.values()), ids=list(TRIES))
@pytest.mark.parametrize("prefix", [PREFIX, []], ids=["prefix", "no prefix"])
@pytest.mark.parametrize("heads", [2, 4], ids=["shared keys", "keys of their own"])
def test_every_text_of_a_row_is_read_as_if_it_stood_alone(split, trie, prefix, heads):
    model = tiny(num_key_value_heads=heads)
    expected = [alone(model, prefix, text, trie) for text in TEXTS]

    logs = PackedModel(model, split=split).logs(prefix, TEXTS, trie)

    for row, wanted in zip(logs, expected, strict=True):
        torch.testing.assert_close(row, wanted, atol=ROUNDING, rtol=0)


def test_only_a_new_prefix_is_computed():
    model, trie = tiny(), TRIES["one node"]
    packed = PackedModel(model, split=True)
    passes = []
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    for prefix in (PREFIX, PREFIX, [7, 8, 9]):
        logs = packed.logs(prefix, TEXTS, trie)
        expected = alone(model, prefix, TEXTS[2], trie)
        torch.testing.assert_close(logs[2], expected, atol=ROUNDING, rtol=0)
        passes.append(0)

    assert "".join(map(str, passes)).split("0")[:2] == [
        "111",
        "11",
    ]  # prefix, row and the definition; then without the prefix


def test_attention_with_unsupported_extras_is_refused():
    model = tiny()
    packed = PackedModel(model, split=True)
    forward = model.model.layers[0].self_attn.forward
    model.model.layers[0].self_attn.forward = lambda *args, **kwargs: forward(
        *args, **kwargs, softcap=30.0
    )

    with pytest.raises(NotImplementedError, match="softcap"):
        packed.logs(PREFIX, TEXTS, TRIES["one node"])
