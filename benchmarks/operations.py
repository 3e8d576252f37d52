"""How many floating point operations reading a workload takes at least."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.prompt_tokens import TokenizedPrompts


class Decoder(NamedTuple):
    """The sizes of a model that the count of operations needs.

    ``weights``: of its linear layers without embedding and head; ``attention``: the number of heads
    times their size; ``hidden``, ``vocabulary``: the sizes of its head.
    """

    weights: int
    layers: int
    attention: int
    hidden: int
    vocabulary: int


def decoder(model: Any) -> Decoder:
    """The sizes of a causal language model of transformers."""
    config = model.config.get_text_config()
    head_size = (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    excluded = {id(module.weight) for module in ends if module is not None}
    weights = sum(
        weight.numel()
        for weight in model.parameters()
        if weight.ndim == 2 and id(weight) not in excluded
    )
    return Decoder(
        weights=weights,
        layers=config.num_hidden_layers,
        attention=config.num_attention_heads * head_size,
        hidden=config.hidden_size,
        vocabulary=config.vocab_size,
    )


def useful_operations(sizes: Decoder, tokenized: TokenizedPrompts, trie: LabelTrie) -> float:
    """Floating point operations that reading the texts takes at least; the prefix counts once.

    A multiplication and an addition are two operations.

    Counted: the linear layers for every token of the prefix, the texts and the inner nodes of the
    label trie; scores and weighted sums of the attention, each token with the tokens it can see
    (the prefix, and its own text up to itself); the head over the whole vocabulary where a label is
    read. Not counted: norms, rotations, activations, softmax, masked pairs, padding, tokenising.

    Parameters
    ----------
    sizes
        The sizes of the model.
    tokenized
        The prompts.
    trie
        Where the labels are told apart.
    """
    prefix = len(tokenized.prefix)
    n_inner = len(trie.nodes) - 1
    lengths = np.array([len(suffix) for suffix in tokenized.suffixes])
    tokens = prefix + int(lengths.sum()) + n_inner * len(lengths)
    # Pairs of a token and one that it sees: in the prefix, in the texts, at the inner nodes.
    pairs = prefix * (prefix + 1) / 2
    pairs += float((lengths * prefix + lengths * (lengths + 1) / 2).sum())
    pairs += float(sum((prefix + lengths + len(node.path)).sum() for node in trie.nodes[1:]))
    linear = 2 * sizes.weights * tokens
    attention = 4 * sizes.layers * sizes.attention * pairs
    head = 2 * sizes.hidden * sizes.vocabulary * len(lengths) * len(trie.nodes)
    return linear + attention + head
