"""Annotate with a causal language model in transformers: one forward pass for many texts, no sampling.

The instruction and the demonstrations are the same for every text of a draw, so their keys and values are computed once, and
the texts follow one another in one row without padding; the inner nodes of the label trie follow their text in the same row
(:mod:`project.annotation.engines.transformers.packed`). Models for which that is not exact (a cache that is not plain full attention, positions that
are not given by ids) are read in batches of whole prompts (:mod:`project.annotation.engines.transformers.unpacked`); which it is, is tried once.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from project.annotation.engines.base import Answers, Size
from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.prompt_tokens import Fitted, PromptTokens
from project.annotation.engines.transformers.packed import PackedModel, prepack
from project.annotation.engines.transformers.self_check import settle
from project.annotation.engines.transformers.unpacked import PlainModel, steady_positions
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig
from project.config.fields import AUTO
from project.support.errors import AssayError
from project.support.machine import cpu_cores, faster_cpu_dtype, keep_freed_memory
from project.support.models import ModelSource, annotator_source, quiet_transformers


class TransformersAnnotator:
    """A causal LM and its tokenizer. Float32 is the only dtype in which answers do not depend on batching (to 1e-4 in log probability)."""

    keyed_by = "text"
    shard_size = 64

    def __init__(self, config: AnnotateConfig) -> None:
        """Find the model that ``config`` names; it is loaded at the first read."""
        self._config, self._source = (
            config,
            annotator_source(config.annotator_model, config.annotator_revision),
        )
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = config.annotator_dtype
        if self.dtype == AUTO:
            self.dtype = "bfloat16" if self._device == "cuda" else faster_cpu_dtype()
        self._batch_tokens = config.annotator_batch_tokens or (
            8192 if self._device == "cuda" else 1024
        )
        self.name = self._source.name
        self.notes: list[str] = []
        self.identity: Mapping[str, str] = {
            "engine": "transformers",
            "model": self._source.identity,
            "dtype": self.dtype,
            "device": self._device,
            # in float32 answers do not depend on how the texts are batched
            **({} if self.dtype == "float32" else {"batch_tokens": str(self._batch_tokens)}),
            **({"max_model_len": str(config.max_model_len)} if config.max_model_len else {}),
        }

    @functools.cached_property
    def model(self) -> Any:
        """The model, on the GPU where there is one."""
        if self._device == "cpu":
            torch.set_num_threads(max(1, cpu_cores() // (self._config.annotator_processes or 1)))
            keep_freed_memory()
        with _Loading(self._source), quiet_transformers():
            made: Any = AutoModelForCausalLM.from_pretrained(
                self._source.location,
                revision=self._source.revision,
                dtype=getattr(torch, self.dtype),
                use_safetensors=True,
                output_loading_info=True,
            )
        model, loaded = made
        if loaded["missing_keys"]:  # transformers would make them up at random
            raise AssayError(
                f"annotator_model {self.name} is no causal language model: its weights lack {min(loaded['missing_keys'])}. Name a generative model."
            )
        model = model.to(self._device).eval()
        prepack(model, self._batch_tokens)
        return model

    @functools.cached_property
    def tokens(self) -> PromptTokens:
        """The model's tokenizer."""
        with _Loading(self._source), quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                self._source.location, revision=self._source.revision
            )
            settings = AutoConfig.from_pretrained(
                self._source.location, revision=self._source.revision
            ).get_text_config()
        # models without learnt or rotary positions, such as BLOOM, state no limit: 2048 is what they were trained on
        limit = int(
            getattr(settings, "max_position_embeddings", None)
            or min(tokenizer.model_max_length, 2048)
        )
        return PromptTokens(
            tokenizer, context=min(limit, self._config.max_model_len or limit), name=self.name
        )

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """See :class:`project.annotation.engines.base.Annotator`."""
        fitted = self.tokens.fit(prompt, items)
        with self._memory():
            return Size(len(fitted.prefix) if self.packed else 0, fitted.lengths, 1, exact=True)

    def close(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""
        for name in ("_ways", "model"):
            self.__dict__.pop(name, None)

    def read(self, prompt: Prompt, items: Sequence[str]) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`."""
        trie, fitted = self.tokens.trie(prompt), self.tokens.fit(prompt, items)
        reads = np.empty((len(items), trie.n_reads))
        with self._memory():
            whole = self._whole(fitted, trie)
            if whole:
                reads[whole] = self.plain.reads(
                    fitted.prefix, [fitted.suffixes[index] for index in whole], trie
                )
            for chunk in self._chunks(fitted.suffixes, len(trie.nodes) - 1, set(whole)):
                assert self.packed is not None
                reads[chunk] = _gather(
                    self.packed.logs(
                        fitted.prefix, [fitted.suffixes[index] for index in chunk], trie
                    ),
                    trie,
                )
        return Answers.exact(trie.classes(reads), fitted.truncated, fitted.lengths)

    @contextlib.contextmanager
    def _memory(self) -> Iterator[None]:
        """Says what to lower where the GPU's memory does not suffice."""
        try:
            yield
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise AssayError(
                f"{self.name} ran out of GPU memory with {self._batch_tokens} tokens in a forward pass. Lower -P annotator_batch_tokens=... "
                "(then -P max_model_len=...); answers on disk are kept."
            ) from error

    def _whole(self, fitted: Fitted, trie: LabelTrie) -> list[int]:
        """The texts that are read as whole prompts: all where the model is not packed, else those too long for the prefix to be shared."""
        if self.packed is None:
            return list(range(len(fitted.suffixes)))
        return np.flatnonzero(
            fitted.lengths + trie.depth > steady_positions(self.model.config.get_text_config())
        ).tolist()

    def _chunks(
        self, suffixes: Sequence[Sequence[int]], extra: int, without: set[int]
    ) -> Iterator[list[int]]:
        """Positions of ``suffixes``, the short ones first, in chunks of at most ``batch_tokens`` tokens and of about equal size."""
        order = sorted(set(range(len(suffixes))) - without, key=lambda index: len(suffixes[index]))
        sizes = [len(suffixes[index]) + extra for index in order]
        most = max(1, sum(sizes)) / max(1, -(-sum(sizes) // self._batch_tokens))
        chunk: list[int] = []
        filled = 0
        for index, size in zip(order, sizes, strict=True):
            full = filled + size > min(most + size / 2, self._batch_tokens)
            if chunk and (
                full or (len(chunk) + 1) * size > 2 * (filled + size)
            ):  # padding, where there is any, at most doubles a chunk
                yield chunk
                chunk, filled = [], 0
            chunk.append(index)
            filled += size
        if chunk:
            yield chunk

    @property
    def packed(self) -> PackedModel | None:
        """The model over rows of texts; None where that is not exact for it."""
        return self._ways[0]

    @property
    def plain(self) -> PlainModel:
        """The model over whole prompts."""
        return self._ways[1]

    @functools.cached_property
    def _ways(self) -> tuple[PackedModel | None, PlainModel]:
        plain = PlainModel(self.model, self._batch_tokens)
        packed = settle(self.model, plain, self.dtype, split=self._device == "cpu")
        if packed is None:
            rows = (
                "in padded batches"
                if plain.padded
                else "in batches of one length, since padding moves its answers"
            )
            self.notes[:] = [
                f"annotator: {self.name} cannot share the prompt's beginning among texts with exact answers, so every text is read with its whole "
                f"prompt, {rows}"
            ]
        return packed, plain


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
            raise AssayError(
                f"annotator_model {self._source.name} could not be loaded as a causal language model: {reason}"
            ) from error
