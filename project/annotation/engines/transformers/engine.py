"""Annotates with a causal language model in transformers: one forward pass for many texts.

The instruction and the demonstrations are the same for every text of a draw, so their keys and
values are computed once. The texts follow one another in one row without padding, and the inner
nodes of the label trie follow their text (:mod:`project.annotation.engines.transformers.packed`).
Models for which that is not exact are read in batches of whole prompts
(:mod:`project.annotation.engines.transformers.unpacked`). Which way is exact is tried once, when
the model is loaded (:mod:`project.annotation.engines.transformers.self_check`).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from project.annotation.engines.base import Answers, Arrived, Size
from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.prompt_tokens import PromptTokens, TokenizedPrompts
from project.annotation.engines.transformers.packed import PackedModel
from project.annotation.engines.transformers.prepacked import prepack
from project.annotation.engines.transformers.self_check import Readers, exact_readers
from project.annotation.engines.transformers.unpacked import UnpackedModel, max_steady_positions
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig
from project.config.fields import AUTO
from project.stats.types import Floats
from project.support.errors import AssayError
from project.support.machine import cpu_cores, faster_cpu_dtype, keep_freed_memory
from project.support.models import ModelSource, annotator_source, quiet_transformers

_BATCH_TOKENS = {"cuda": 8192, "cpu": 1024}
_MAX_CONTEXT_WITHOUT_LIMIT = 2048
"""Models without learnt or rotary positions, such as BLOOM, state no limit and were trained on so
many tokens."""


class TransformersAnnotator:
    """A causal language model and its tokenizer.

    Float32 is the only dtype in which answers do not depend on batching (to 1e-4 in log
    probability).
    """

    keyed_by = "text"
    shard_size = 64

    def __init__(self, config: AnnotateConfig) -> None:
        """Find the model that ``config`` names; it is loaded at the first read."""
        self._config = config
        self._source = annotator_source(config.annotator_model, config.annotator_revision)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = config.annotator_dtype
        if self.dtype == AUTO:
            self.dtype = "bfloat16" if self._device == "cuda" else faster_cpu_dtype()
        self._batch_tokens = config.annotator_batch_tokens or _BATCH_TOKENS[self._device]
        self.name = self._source.name
        self.notes: list[str] = []
        identity = {
            "engine": "transformers",
            "model": self._source.identity,
            "dtype": self.dtype,
            "device": self._device,
        }
        if self.dtype != "float32":  # in float32 answers do not depend on batching
            identity["batch_tokens"] = str(self._batch_tokens)
        if config.max_model_len:
            identity["max_model_len"] = str(config.max_model_len)
        self.identity: Mapping[str, str] = identity

    @functools.cached_property
    def model(self) -> Any:
        """The model, on the GPU if there is one."""
        if self._device == "cpu":
            # Annotators in several processes would otherwise each use every core.
            torch.set_num_threads(max(1, cpu_cores() // (self._config.annotator_processes or 1)))
            keep_freed_memory()
        with _loading_errors(self._source), quiet_transformers():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                self._source.location,
                revision=self._source.revision,
                dtype=getattr(torch, self.dtype),
                use_safetensors=True,  # the other format, pickle, can run code
                output_loading_info=True,
            )
        model, report = loaded
        # transformers would fill missing weights at random.
        if report["missing_keys"]:
            raise AssayError(
                f"annotator_model {self.name} is no causal language model: its weights lack "
                f"{min(report['missing_keys'])}. Name a generative model."
            )
        model = model.to(self._device).eval()
        prepack(model, self._batch_tokens)
        return model

    @functools.cached_property
    def tokens(self) -> PromptTokens:
        """The model's tokenizer, for as many tokens as the model can read."""
        location = self._source.location
        revision = self._source.revision
        with _loading_errors(self._source), quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(location, revision=revision)
            settings = AutoConfig.from_pretrained(location, revision=revision).get_text_config()
        # A tokenizer that knows no limit reports a number with 30 digits.
        limit = int(
            getattr(settings, "max_position_embeddings", None)
            or min(tokenizer.model_max_length, _MAX_CONTEXT_WITHOUT_LIMIT)
        )
        context = min(limit, self._config.max_model_len or limit)
        return PromptTokens(tokenizer, context=context, name=self.name)

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """See :class:`project.annotation.engines.base.Annotator`."""
        tokenized = self.tokens.fit(prompt, items)
        with self._memory_errors():
            prefix = len(tokenized.prefix) if self.packed else 0
        return Size(prefix=prefix, total=tokenized.lengths, requests=1, exact=True)

    def close(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""
        for name in ("_readers", "model"):
            self.__dict__.pop(name, None)

    def read(self, prompt: Prompt, items: Sequence[str], arrived: Arrived | None = None) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`."""
        trie = self.tokens.trie(prompt)
        tokenized = self.tokens.fit(prompt, items)
        prefix = tokenized.prefix
        suffixes = tokenized.suffixes
        reads = np.empty((len(items), trie.n_reads))
        with self._memory_errors():
            packed, unpacked = self._readers
            alone = self._unpacked_indices(tokenized, trie)
            if alone:
                texts = [suffixes[index] for index in alone]
                reads[alone] = unpacked.reads(prefix, texts, trie)
            if packed is not None:
                for chunk in self._chunks(suffixes, len(trie.nodes) - 1, set(alone)):
                    logs = packed.logs(prefix, [suffixes[index] for index in chunk], trie)
                    reads[chunk] = _gather(logs, trie)
        return Answers.exact(trie.classes(reads), tokenized.truncated, tokenized.lengths)

    @contextlib.contextmanager
    def _memory_errors(self) -> Iterator[None]:
        """Turns a GPU out of memory into an error that names the parameter to lower."""
        try:
            yield
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise AssayError(
                f"{self.name} ran out of GPU memory with {self._batch_tokens} tokens in a forward "
                "pass. Lower annotator_batch_tokens (then max_model_len); answers on disk are kept."
            ) from error

    def _unpacked_indices(self, tokenized: TokenizedPrompts, trie: LabelTrie) -> list[int]:
        """Indices of texts that are read as whole prompts.

        All of them where packing is not exact, else those too long to share the prefix.
        """
        if self.packed is None:
            return list(range(len(tokenized.suffixes)))
        max_length = max_steady_positions(self.model.config.get_text_config())
        return np.flatnonzero(tokenized.lengths + trie.depth > max_length).tolist()

    def _chunks(
        self, suffixes: Sequence[Sequence[int]], n_extra: int, excluded: set[int]
    ) -> Iterator[list[int]]:
        """Indices of ``suffixes`` in chunks for one forward pass each, the short ones first.

        A chunk has at most ``batch_tokens`` tokens, with ``n_extra`` for every text, and all
        chunks have about the same size. Where a text is padded to the longest of its chunk,
        padding at most doubles the chunk.
        """
        indices = set(range(len(suffixes))) - excluded
        # Texts of similar length share a chunk, so that little of it is padding.
        order = sorted(indices, key=lambda index: len(suffixes[index]))
        sizes = [len(suffixes[index]) + n_extra for index in order]
        n_chunks = max(1, -(-sum(sizes) // self._batch_tokens))
        average = max(1, sum(sizes)) / n_chunks
        chunk: list[int] = []
        n_tokens = 0
        for index, size in zip(order, sizes, strict=True):
            # A text is added if that brings the chunk closer to the average size.
            is_full = n_tokens + size > min(average + size / 2, self._batch_tokens)
            is_mostly_padding = (len(chunk) + 1) * size > 2 * (n_tokens + size)
            if chunk and (is_full or is_mostly_padding):
                yield chunk
                chunk = []
                n_tokens = 0
            chunk.append(index)
            n_tokens += size
        if chunk:
            yield chunk

    @property
    def packed(self) -> PackedModel | None:
        """The model over rows of texts; None where that is not exact for it."""
        return self._readers.packed

    @property
    def unpacked(self) -> UnpackedModel:
        """The model over whole prompts."""
        return self._readers.unpacked

    @functools.cached_property
    def _readers(self) -> Readers:
        """The exact ways to read the model. Leaves a note where packing is not exact."""
        is_cpu = self._device == "cpu"
        readers = exact_readers(self.model, self._batch_tokens, self.dtype, split=is_cpu)
        if readers.packed is None:
            batches = (
                "in padded batches"
                if readers.unpacked.padded
                else "in batches of one length, since padding changes its answers"
            )
            self.notes[:] = [
                f"annotator: {self.name} cannot share the beginning of the prompt among texts with "
                f"exact answers, so every text is read with its whole prompt, {batches}"
            ]
        return readers


def _gather(logs: torch.Tensor, trie: LabelTrie) -> Floats:
    """The reads of ``trie``, ``(n, n_reads)``, taken from ``logs`` ``(n, n_nodes, vocabulary)``."""
    columns = [logs[:, node, list(trie.nodes[node].tokens)] for node in range(len(trie.nodes))]
    reads: Floats = torch.cat(columns, dim=1).double().cpu().numpy()
    return reads


@contextlib.contextmanager
def _loading_errors(source: ModelSource) -> Iterator[None]:
    """Turns what transformers raises for a model that cannot be loaded into one line."""
    try:
        yield
    except AssayError:
        raise
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise AssayError(
            f"annotator_model {source.name} could not be loaded as a causal language model: "
            f"{reason}"
        ) from error
