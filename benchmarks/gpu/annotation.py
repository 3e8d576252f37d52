"""The transformers engine on a GPU, beside what people run today, all in one dtype.

The model is a slice of a decoder with 7 billion weights (the shape of Qwen2-7B, four of its 28
layers) with random weights. The sides are batched ``generate`` of one token over whole prompts, and
a loop that computes the prompt's keys and values once, copies them for every text of a batch and
pads the texts on the right. Both take the best of a few batch sizes.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config
from transformers.cache_utils import DynamicCache

from benchmarks.gpu.table import Row, alternate_for, seconds_of, speedup_row
from benchmarks.workload import workload
from project.annotation.engines.prompt_tokens import TokenizedPrompts
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.annotation.engines.transformers.feeding import auto_dtype
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig
from project.support.models import annotator_source, quiet_transformers

SHAPE: dict[str, Any] = {
    "vocab_size": 152064,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 4,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
}
SMALL_SHAPE: dict[str, Any] = {
    "vocab_size": 50000,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
_COMPARED = 16  # texts that are also read in float32 on the CPU


def measure(small: bool, seconds: float) -> list[Row]:
    """See :data:`benchmarks.gpu.table.Measure`."""
    dtype = "float32" if small else auto_dtype()
    with tempfile.TemporaryDirectory() as parent, quiet_transformers():
        folder = Path(parent) / ("small-decoder" if small else "7b-slice")
        _save_model(folder, SMALL_SHAPE if small else SHAPE, dtype)
        comparison = _Comparison(folder, dtype, n_texts=16 if small else 2048, small=small)
        rows = comparison.speed_rows(seconds / 2)
        return [*rows, comparison.answer_row(folder)]


def _save_model(folder: Path, shape: dict[str, Any], dtype: str) -> None:
    """Save random weights of ``shape`` and the bundled tokenizer to ``folder``."""
    tokenizer: Any = AutoTokenizer.from_pretrained(annotator_source("bundled", "main").location)
    config: Any = Qwen2Config(
        **shape,
        tie_word_embeddings=True,
        max_position_embeddings=8192,
        # Larger than usual, so that classes differ in their probability as with a trained model.
        initializer_range=0.05,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    with torch.device(device):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


class _Comparison:
    """The three sides over the same texts and prompt."""

    def __init__(self, folder: Path, dtype: str, *, n_texts: int, small: bool) -> None:
        self._dtype = dtype
        self._small = small
        self._engine = _engine(folder, dtype)
        # Labels as letters: each is one token, so that one position tells them apart on all sides.
        work, _ = workload(self._engine.tokens, n_texts=n_texts, repeats=1, style="letter")
        self._texts = work.texts
        self._prompt: Prompt = work.prompts[0]
        self._tokens: TokenizedPrompts = self._engine.tokens.fit(self._prompt, self._texts)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        plain: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
        self._model: Any = plain.to(device).eval()

    def speed_rows(self, seconds: float) -> list[Row]:
        """How many times faster our engine reads a text than both other sides."""
        sizes = (4,) if self._small else (16, 64, 256)
        generate = _fastest(self._generate, sizes)
        shared = _fastest(self._share_prefix, sizes)
        self._read()  # checks which way of reading is exact, and times batches
        taken = alternate_for(
            {"ours": self._read, "generate": generate, "shared": shared},
            seconds,
            min_repeats=1 if self._small else 3,
        )
        target = None if self._small else 1.0
        return [
            speedup_row(
                f"a text, {self._dtype}, against batched generate",
                taken["ours"],
                taken["generate"],
                target=target,
            ),
            speedup_row(
                f"a text, {self._dtype}, against a loop with a shared prefix",
                taken["ours"],
                taken["shared"],
                target=target,
            ),
        ]

    def answer_row(self, folder: Path) -> Row:
        """How far our label distributions are from those of float32 on the CPU."""
        texts = self._texts[:_COMPARED]
        ours = self._engine.read(self._prompt, texts).log_probabilities
        self._engine.close()
        trie = self._engine.tokens.trie(self._prompt)
        exact: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        rows = []
        with torch.inference_mode():
            for suffix in self._tokens.suffixes[:_COMPARED]:
                ids = torch.tensor([[*self._tokens.prefix, *suffix]])
                logits = exact(ids, logits_to_keep=1).logits[0, -1]
                rows.append(logits.double().log_softmax(-1)[list(trie.nodes[0].tokens)].numpy())
        theirs = np.array(rows)
        theirs -= np.logaddexp.reduce(theirs, axis=1)[:, None]
        difference = np.abs(ours - theirs)
        changed = (ours.argmax(axis=1) != theirs.argmax(axis=1)).mean()
        limit = 1e-4 if self._dtype == "float32" else None
        return Row(
            f"{self._dtype} away from float32 on the CPU, log probability of a class",
            f"median {np.median(difference):.2g}, most {difference.max():.2g}",
            f"{len(texts)} answers",
            f"{changed:.1%} other labels",
            target="" if limit is None else f"<= {limit:g}",
            met=None if limit is None else bool(difference.max() <= limit),
        )

    def _read(self) -> float:
        """Seconds for one text with our engine, tokenising included."""
        taken = seconds_of(lambda: self._engine.read(self._prompt, self._texts))
        return taken / len(self._texts)

    def _generate(self, size: int) -> float:
        """Seconds for one text with ``generate`` over batches of whole prompts."""
        chosen = self._tokens.suffixes[: 4 * size]

        def work() -> None:
            for batch in _batches(chosen, size):
                rows = [[*self._tokens.prefix, *suffix] for suffix in batch]
                ids, mask = _padded(rows, self._model.device, left=True)
                output = self._model.generate(
                    ids,
                    attention_mask=mask,
                    max_new_tokens=1,
                    do_sample=False,
                    output_scores=True,
                    return_dict_in_generate=True,
                    pad_token_id=0,
                )
                output.scores[0].float().log_softmax(-1)[:, :2].cpu()

        return seconds_of(work) / len(chosen)

    @torch.inference_mode()
    def _share_prefix(self, size: int) -> float:
        """Seconds for one text where the prefix is computed once and copied for every batch."""
        chosen = self._tokens.suffixes[: 16 * size]
        prefix = torch.tensor([self._tokens.prefix], device=self._model.device)

        def work() -> None:
            base: Any = DynamicCache(config=self._model.config)
            self._model(prefix, past_key_values=base, use_cache=True, logits_to_keep=1)
            layers = [(layer.keys, layer.values) for layer in base.layers]
            for batch in _batches(sorted(chosen, key=len), size):
                ids, mask = _padded(batch, self._model.device, left=False)
                cache = DynamicCache(config=self._model.config)
                for index, (key, value) in enumerate(layers):
                    shape = (len(batch), -1, -1, -1)
                    cache.update(key.expand(shape), value.expand(shape), index)
                seen = torch.ones(len(batch), prefix.shape[1], device=mask.device, dtype=mask.dtype)
                last = (mask.sum(1) - 1)[:, None]
                output = self._model(
                    ids,
                    attention_mask=torch.cat([seen, mask], dim=1),
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=last,
                )
                output.logits[:, 0].float().log_softmax(-1)[:, :2].cpu()

        return seconds_of(work) / len(chosen)


def _engine(folder: Path, dtype: str) -> TransformersAnnotator:
    return TransformersAnnotator(AnnotateConfig(annotator_model=str(folder), annotator_dtype=dtype))


def _fastest(side: Callable[[int], float], sizes: Sequence[int]) -> Callable[[], float]:
    """``side`` with the size at which it is fastest; sizes that do not fit the memory are out."""
    times: dict[int, float] = {}
    for size in sizes:
        try:
            side(size)  # the first time also pays for memory and the choice of kernels
            times[size] = side(size)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
    return functools.partial(side, min(times, key=lambda size: times[size]))


def _batches(rows: Sequence[list[int]], size: int) -> Iterator[Sequence[list[int]]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _padded(
    rows: Sequence[Sequence[int]], device: torch.device, *, left: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask ``(n_rows, width)`` of rows that are padded with zeros on one side."""
    width = max(map(len, rows))
    padding = [[0] * (width - len(row)) for row in rows]
    ids = [[*pad, *row] if left else [*row, *pad] for row, pad in zip(rows, padding, strict=True)]
    mask = [
        [*pad, *[1] * len(row)] if left else [*[1] * len(row), *pad]
        for row, pad in zip(rows, padding, strict=True)
    ]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)
