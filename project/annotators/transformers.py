"""Annotate with a causal language model in transformers: one forward pass for many texts, no sampling.

The instruction and the demonstrations are the same for every text of a draw, so their keys and values are computed once.
The texts follow one another in one row without padding, behind a mask that lets every text see the prefix and itself alone;
the inner nodes of the label trie follow their text in the same row. Models for which that is not exact (a cache that is
not plain full attention, positions that are not given by ids) are read in padded batches of whole prompts.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.cache_utils import DynamicCache, DynamicLayer

from project.annotators import Answers, Size
from project.annotators.tokens import PromptTokens
from project.annotators.trie import LabelTrie
from project.config import AnnotateConfig
from project.errors import AssayError
from project.host import cpu_cores, faster_dtype
from project.models import ModelSource, annotator_source, quiet_transformers
from project.parameters import AUTO
from project.prompt import Prompt

_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.1}  # of the check at loading; answers differ far less
_SAMPLE = ([5, 9, 7, 11, 6], [8, 12, 5], [10, 6, 13], [3, 4, 8, 4])  # a prefix, a text, another of its length, the text behind it


class TransformersAnnotator:
    """A causal LM and its tokenizer. Float32 is the only dtype in which answers do not depend on batching (to 1e-4 in log probability)."""

    keyed_by = "text"
    shard_size = 64

    def __init__(self, config: AnnotateConfig) -> None:
        """Find the model that ``config`` names; it is loaded at the first read."""
        self._config, self._source = config, annotator_source(config.annotator_model, config.annotator_revision)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = config.annotator_dtype
        if self.dtype == AUTO:
            self.dtype = "bfloat16" if self._device == "cuda" else faster_dtype()
        self._batch_tokens = config.annotator_batch_tokens or (8192 if self._device == "cuda" else 512)
        self.name = self._source.name
        self.identity: Mapping[str, str] = {
            "engine": "transformers", "model": self._source.identity, "dtype": self.dtype, "device": self._device,
            # in float32 answers do not depend on how the texts are batched
            **({} if self.dtype == "float32" else {"batch_tokens": str(self._batch_tokens)}),
            **({"max_model_len": str(config.max_model_len)} if config.max_model_len else {}),
        }  # fmt: skip
        self._prefix: tuple[tuple[int, ...], DynamicCache | None] = ((), None)

    @functools.cached_property
    def model(self) -> Any:
        """The model, on the GPU where there is one."""
        if self._device == "cpu":
            torch.set_num_threads(cpu_cores())
        with _Loading(self._source), quiet_transformers():
            made: Any = AutoModelForCausalLM.from_pretrained(
                self._source.location, revision=self._source.revision, dtype=getattr(torch, self.dtype), use_safetensors=True,
                output_loading_info=True,
            )  # fmt: skip
        model, loaded = made
        if loaded["missing_keys"]:  # transformers would make them up at random
            raise AssayError(
                f"annotator_model {self.name} is no causal language model: its weights lack {min(loaded['missing_keys'])}. Name a generative model."
            )
        return model.to(self._device).eval()

    @functools.cached_property
    def tokens(self) -> PromptTokens:
        """The model's tokenizer."""
        with _Loading(self._source), quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(self._source.location, revision=self._source.revision)
            settings = AutoConfig.from_pretrained(self._source.location, revision=self._source.revision).get_text_config()
        # models without learnt or rotary positions, such as BLOOM, state no limit: 2048 is what they were trained on
        limit = int(getattr(settings, "max_position_embeddings", None) or min(tokenizer.model_max_length, 2048))
        return PromptTokens(tokenizer, context=min(limit, self._config.max_model_len or limit), name=self.name)

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """See :class:`project.annotators.Annotator`."""
        fitted = self.tokens.fit(prompt, items)
        return Size(len(fitted.prefix), fitted.lengths, 1, exact=True)

    def close(self) -> None:
        """See :class:`project.annotators.Annotator`."""
        self.__dict__.pop("model", None)
        self._prefix = ((), None)

    def read(self, prompt: Prompt, items: Sequence[str]) -> Answers:
        """See :class:`project.annotators.Annotator`."""
        trie, fitted = self.tokens.trie(prompt), self.tokens.fit(prompt, items)
        reads = np.empty((len(items), trie.n_reads))
        forward = self._packed if self.packs else self._plain
        try:
            for chunk in self._chunks(fitted.suffixes, len(trie.nodes) - 1, 0 if self.packs else len(fitted.prefix)):
                reads[chunk] = forward(fitted.prefix, [fitted.suffixes[index] for index in chunk], trie)
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise AssayError(
                f"{self.name} ran out of GPU memory with {self._batch_tokens} tokens in a forward pass. Lower -P annotator_batch_tokens=... "
                "(then -P max_model_len=...); answers on disk are kept."
            ) from error
        return Answers.read(trie.classes(reads), fitted.truncated, fitted.lengths)

    def _chunks(self, suffixes: Sequence[Sequence[int]], extra: int, prefix: int) -> Iterator[list[int]]:
        """Positions of ``suffixes``, the short ones first, in chunks of at most ``batch_tokens`` tokens and of about equal size."""
        order = sorted(range(len(suffixes)), key=lambda index: len(suffixes[index]))
        sizes = [len(suffixes[index]) + extra + prefix for index in order]
        most = max(1, sum(sizes)) / -(-sum(sizes) // self._batch_tokens)
        chunk: list[int] = []
        filled = 0
        for index, size in zip(order, sizes, strict=True):
            if (chunk and filled + size > most + size / 2) or (filled + size > self._batch_tokens and chunk):
                yield chunk
                chunk, filled = [], 0
            chunk.append(index)
            filled += size
        if chunk:
            yield chunk

    @torch.inference_mode()
    def _packed(self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], trie: LabelTrie) -> np.ndarray:
        """The trie's reads ``(n, n_reads)``, all texts in one row behind the prefix's keys and values."""
        device, inner, start = self._device, trie.nodes[1:], len(prefix)
        lengths = torch.tensor([len(suffix) for suffix in suffixes])
        sizes = lengths + len(inner)
        ids = [token for suffix in suffixes for token in (*suffix, *(node.path[-1] for node in inner))]
        depths = torch.tensor([len(node.path) - 1 for node in inner], dtype=torch.long)
        positions = torch.cat([torch.cat([torch.arange(int(n)), int(n) + depths]) for n in lengths]) + start
        mask = _mask(sizes, trie)
        mask = torch.cat([torch.ones(len(ids), start, dtype=torch.bool), mask], dim=1)
        ends = sizes.cumsum(0) - len(inner) - 1
        places = (ends[:, None] + torch.arange(len(inner) + 1)).flatten()
        output = self.model(
            input_ids=torch.tensor([ids], device=device), attention_mask=mask[None, None].to(device), position_ids=positions[None].to(device),
            past_key_values=self._cached(prefix), use_cache=True, logits_to_keep=places.to(device),
        )  # fmt: skip
        logs = output.logits[0].float().log_softmax(-1).reshape(len(suffixes), len(trie.nodes), -1)
        return _gather(logs, trie)

    @torch.inference_mode()
    def _plain(self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], trie: LabelTrie) -> np.ndarray:
        """The same reads from whole prompts, one row for each text and node of the trie, padded at the end."""
        rows = [[*prefix, *suffix, *node.path] for suffix in suffixes for node in trie.nodes]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=self._device)
        last = torch.tensor([len(row) - 1 for row in rows], device=self._device)
        mask = (torch.arange(width, device=self._device)[None] <= last[:, None]).long()
        kept, index = torch.unique(last, return_inverse=True)
        output = self.model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept)
        logs = output.logits[torch.arange(len(rows), device=self._device), index].float().log_softmax(-1)
        return _gather(logs.reshape(len(suffixes), len(trie.nodes), -1), trie)

    def _cached(self, prefix: Sequence[int]) -> DynamicCache:
        """A cache that begins with the keys and values of ``prefix``, which are computed when they are not at hand."""
        cache = DynamicCache(config=self.model.config)
        if self._prefix[0] != tuple(prefix) or self._prefix[1] is None:
            if prefix:
                self.model(input_ids=torch.tensor([list(prefix)], device=self._device), past_key_values=cache, use_cache=True, logits_to_keep=1)
            self._prefix = (tuple(prefix), cache)
            cache = DynamicCache(config=self.model.config)
        layers: Any = self._prefix[1].layers if prefix and self._prefix[1] is not None else ()
        for index, layer in enumerate(layers):
            cache.update(layer.keys, layer.values, index)
        return cache

    @functools.cached_property
    def packs(self) -> bool:
        """Whether packing is exact for this model: tried once on four short rows of tokens.

        Every layer's cache must be plain full attention; a text must be read as if it stood alone; and what another text
        in the row says must not move it.
        """
        if not all(type(layer) is DynamicLayer for layer in DynamicCache(config=self.model.config).layers):
            return False
        middle = int(self.model.config.get_text_config().vocab_size) // 2  # ordinary tokens: the first ones are often control tokens
        prefix, one, other, behind = ([middle + token for token in row] for row in _SAMPLE)
        trie = LabelTrie([(middle,), (middle + 1, middle), (middle + 1, middle + 1)], "abc", ())
        try:
            packed, moved = self._packed(prefix, [one, behind], trie), self._packed(prefix, [other, behind], trie)
        except (RuntimeError, TypeError, ValueError, NotImplementedError):  # a model that takes no such mask or positions says so in many ways
            return False
        finally:
            self._prefix = ((), None)
        alone = np.concatenate([self._plain(prefix, [text], trie) for text in (one, behind)])
        return bool(np.abs(packed - alone).max() < _TOLERANCE[self.dtype] and np.abs(packed[1] - moved[1]).max() < 1e-5)


def _mask(sizes: torch.Tensor, trie: LabelTrie) -> torch.Tensor:
    """Who sees whom in a row of texts of ``sizes`` tokens: its own text up to itself, and a node of the trie its ancestors alone."""
    segment = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    mask = (segment[:, None] == segment[None]).tril_()
    inner = [node.path for node in trie.nodes[1:]]
    if inner:
        sees = torch.tensor([[path[: len(other)] == other for other in inner] for path in inner])
        for end in sizes.cumsum(0).tolist():
            mask[end - len(inner) : end, end - len(inner) : end] = sees
    return mask


def _gather(logs: torch.Tensor, trie: LabelTrie) -> np.ndarray:
    """The columns of the trie's reads out of log probabilities ``(n, n_nodes, vocabulary)``."""
    columns = [logs[:, place, list(node.tokens)] for place, node in enumerate(trie.nodes)]
    return torch.cat(columns, dim=1).double().cpu().numpy()


class _Loading:
    """Turns what transformers raises for a model that cannot be loaded into one line."""

    def __init__(self, source: ModelSource) -> None:
        self._source = source

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | ValueError) and not isinstance(error, AssayError):
            reason = " ".join(str(error).split())
            raise AssayError(f"annotator_model {self._source.name} could not be loaded as a causal language model: {reason}") from error
