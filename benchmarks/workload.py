"""Prompts, texts and models for the benchmarks of annotation.

A prompt has about 500 tokens before the text and about 60 from there on.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from project.annotation.demonstrations import demonstration_sets
from project.annotation.engines.prompt_tokens import PromptTokens
from project.annotation.prompt import Prompt, build_prompt
from project.config.task import TaskConfig
from project.data.task import Task, load_task
from project.support.models import annotator_source, quiet_transformers

PREFIX_TOKENS = 500  # shared by all texts of a prompt
TEXT_TOKENS = (40, 66)  # of a text, uniformly distributed; the end of the prompt has 7 more
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
"""Qwen2 models with random weights: the time of a product does not depend on the numbers."""


class Workload(NamedTuple):
    """Texts, and one prompt for each repeat.

    Different prompts prevent a repeat from using the keys and values of the one before.
    """

    prompts: list[Prompt]
    texts: list[str]


@contextlib.contextmanager
def model_folder(name: str) -> Iterator[str]:
    """The value of ``annotator_model`` for ``name``.

    For a shape it is a temporary folder with a model of random weights.
    """
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
    """Prompts and texts from the bundled task, and one more prompt to warm up an engine.

    Parameters
    ----------
    tokens
        The tokenizer of the model.
    n_texts
        How many texts there are.
    repeats
        How many prompts there are.
    style
        How labels are written in the prompt.
    """
    task = load_task(TaskConfig())
    # As many demonstrations as bring the prefix closest to its length.
    candidates = [_prompts(task, n, repeats + 1, style) for n in range(1, 20)]
    lengths = [
        np.mean([len(tokens.fit(prompt, ["one", "another"]).prefix) for prompt in prompts])
        for prompts in candidates
    ]
    nearest = int(np.abs(np.array(lengths) - PREFIX_TOKENS).argmin())
    *prompts, warm = candidates[nearest]
    return Workload(prompts, _texts(task, tokens, n_texts)), warm


def _prompts(task: Task, n_demonstrations: int, n_draws: int, style: str) -> list[Prompt]:
    sets = demonstration_sets(task.split("demonstration"), n_demonstrations, n_draws, seed=0)
    return [
        build_prompt(task.label_set, task.description, demonstrations, style=style, draw=draw)
        for draw, demonstrations in enumerate(sets)
    ]


def _texts(task: Task, tokens: PromptTokens, n: int) -> list[str]:
    """``n`` different texts: texts of the task joined, and cut after a word."""
    source = [str(text) for split in ("train", "test") for text in task.split(split)["text"]]
    n_tokens = np.random.default_rng(0).integers(*TEXT_TOKENS, size=n, endpoint=True)
    texts = []
    for index, wanted in enumerate(n_tokens):
        turn, start = divmod(index, len(source))
        parts = [source[(start + step * (turn + 1)) % len(source)] for step in range(8)]
        words = " ".join(parts).split()
        lengths = np.cumsum([len(ids) for ids in tokens.encode([f" {word}" for word in words])])
        texts.append(" ".join(words[: int(np.searchsorted(lengths, wanted)) + 1]))
    return texts


def evenly(n: int, n_chosen: int, repeat: int) -> Sequence[int]:
    """``n_chosen`` indices out of ``n``, evenly spaced, different ones in each repeat."""
    step = max(1, n // n_chosen)
    return [(index * step + repeat) % n for index in range(min(n_chosen, n))]
