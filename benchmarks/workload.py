"""What the annotation benchmarks read: prompts with about 500 tokens ahead of the text, about 60 from there on, and a model."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.prompt_tokens import Fitted, PromptTokens
from project.annotation.prompt import Prompt, build_prompt, demonstration_sets
from project.config.experiment import TaskConfig
from project.data.task import Task, load_task
from project.support.models import annotator_source, quiet_transformers

PREFIX = 500  # tokens that all texts of a prompt share
TEXT = (40, 66)  # tokens of a text, alike often; what stands behind it takes another 7
SHAPES: dict[str, dict[str, Any]] = {
    "0.5B": {
        "vocab_size": 151936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "max_position_embeddings": 32768,
    },
}
"""Qwen2-shaped models with random weights: how long a product takes does not depend on what is multiplied."""


class Workload(NamedTuple):
    """One prompt for each repeat, so that no repeat finds the keys and values of the one before, and the texts of all."""

    prompts: list[Prompt]
    texts: list[str]


class Decoder(NamedTuple):
    """What the count of operations needs of a model.

    ``weights`` of its linear layers without embedding and head; ``attention``: heads times their size; ``hidden`` and ``vocabulary``:
    sizes of its head.
    """

    weights: int
    layers: int
    attention: int
    hidden: int
    vocabulary: int


@contextlib.contextmanager
def model_folder(name: str) -> Iterator[str]:
    """What to give as ``annotator_model`` for ``name``: a shape gets random weights in a folder that is gone afterwards."""
    if name not in SHAPES:
        yield name
        return
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config

    tokenizer: Any = AutoTokenizer.from_pretrained(annotator_source("bundled", "main").location)
    torch.manual_seed(0)
    config: Any = Qwen2Config(
        **SHAPES[name], bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id
    )
    with tempfile.TemporaryDirectory() as parent, quiet_transformers():
        folder = Path(parent) / f"qwen2-shape-{name}"
        model: Any = AutoModelForCausalLM.from_config(config)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        del model
        yield str(folder)


def workload(
    tokens: PromptTokens, *, n_texts: int, repeats: int, style: str = "name"
) -> tuple[Workload, Prompt]:
    """Prompts and texts out of the embedded catalogue: as many demonstrations as come nearest to the prefix, texts joined and cut.

    Also a prompt more, to make an engine ready with: its keys and values are of no use to any repeat.
    """
    task = load_task(TaskConfig())
    choices = [_prompts(task, n, repeats + 1, style) for n in range(1, 20)]
    lengths = [
        np.mean([len(tokens.fit(prompt, ["one", "another"]).prefix) for prompt in prompts])
        for prompts in choices
    ]
    nearest = int(np.abs(np.array(lengths) - PREFIX).argmin())
    *prompts, warm = choices[nearest]
    return Workload(prompts, _texts(task, tokens, n_texts)), warm


def _prompts(task: Task, n: int, draws: int, style: str) -> list[Prompt]:
    shown = demonstration_sets(task.split("demonstration"), n, draws, seed=0)
    return [
        build_prompt(task.label_set, task.description, rows, style=style, draw=draw)
        for draw, rows in enumerate(shown)
    ]


def _texts(task: Task, tokens: PromptTokens, n: int) -> list[str]:
    """``n`` texts of about ``TEXT`` tokens, each another joining of the catalogue's, cut after a word."""
    source = [str(text) for split in ("train", "test") for text in task.split(split)["text"]]
    rng, texts = np.random.default_rng(0), []
    for index, wanted in enumerate(rng.integers(*TEXT, size=n, endpoint=True)):
        turn, place = divmod(index, len(source))
        words = " ".join(
            source[(place + step * (turn + 1)) % len(source)] for step in range(8)
        ).split()
        lengths = np.cumsum([len(ids) for ids in tokens.encode([f" {word}" for word in words])])
        texts.append(" ".join(words[: int(np.searchsorted(lengths, wanted)) + 1]))
    return texts


def decoder(model: Any) -> Decoder:
    """The sizes of a transformers causal LM that the count of operations needs."""
    config = model.config.get_text_config()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    apart = {
        id(module.weight)
        for module in (model.get_input_embeddings(), model.get_output_embeddings())
        if module is not None
    }
    weights = sum(
        one.numel() for one in model.parameters() if one.ndim == 2 and id(one) not in apart
    )
    return Decoder(
        weights,
        config.num_hidden_layers,
        config.num_attention_heads * size,
        config.hidden_size,
        config.vocab_size,
    )


def useful_operations(sizes: Decoder, fitted: Fitted, trie: LabelTrie) -> float:
    """Floating point operations that reading the texts takes at least, the prefix computed once.

    A multiplication and an addition are two. Counted: the linear layers for every token of the prefix, the texts and the inner
    nodes of the label trie; scores and weighted sums of the attention, each token against the tokens it can see (causal: the
    prefix, its own text up to itself); the head over the whole vocabulary where a label is read. Not counted: norms, rotations,
    activations, softmax, masked pairs, padding, tokenising.
    """
    prefix, inner = len(fitted.prefix), len(trie.nodes) - 1
    lengths = np.array([len(suffix) for suffix in fitted.suffixes])
    tokens = prefix + int(lengths.sum()) + inner * len(lengths)
    seen = prefix * (prefix + 1) / 2 + float((lengths * prefix + lengths * (lengths + 1) / 2).sum())
    seen += float(sum((prefix + lengths + len(node.path)).sum() for node in trie.nodes[1:]))
    return (
        2 * sizes.weights * tokens
        + 4 * sizes.layers * sizes.attention * seen
        + 2 * sizes.hidden * sizes.vocabulary * len(lengths) * len(trie.nodes)
    )


def evenly(n: int, wanted: int, repeat: int) -> Sequence[int]:
    """``wanted`` positions out of ``n``, evenly spaced, others in every repeat."""
    step = max(1, n // wanted)
    return [(place * step + repeat) % n for place in range(min(wanted, n))]
