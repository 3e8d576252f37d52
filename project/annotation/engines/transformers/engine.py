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

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from project.annotation.engines.base import ANY_NUMBER, Answers, Arrived, Size
from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.loading import loading_errors
from project.annotation.engines.prompt_tokens import PromptTokens
from project.annotation.engines.transformers.feeding import (
    Feeding,
    auto_dtype,
    exact_products,
    fastest_batch,
    slices,
    this_machine,
)
from project.annotation.engines.transformers.packed import PackedModel
from project.annotation.engines.transformers.passes import Passes, PassSize
from project.annotation.engines.transformers.self_check import Readers, exact_readers
from project.annotation.engines.transformers.unpacked import UnpackedModel, max_steady_positions
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig
from project.config.fields import AUTO
from project.support.errors import AssayError
from project.support.machine import cpu_cores, set_memory_limits
from project.support.models import annotator_source, quiet_transformers
from project.support.prepacked import prepack

_MAX_CONTEXT_WITHOUT_LIMIT = 2048
"""Models without learnt or rotary positions, such as BLOOM, state no limit and were trained on so
many tokens."""


class TransformersAnnotator:
    """A causal language model and its tokenizer.

    Batching changes log probabilities by rounding alone: by at most 2.4e-6 in float32 and 0.028 in
    bfloat16, measured on a CPU. So it is no part of an answer's identity.
    """

    keyed_by = "text"

    def __init__(self, config: AnnotateConfig, feeding: Feeding | None = None) -> None:
        """Find the model that ``config`` names; it is loaded at the first read.

        ``feeding``: how texts are fed to it; by default what suits this machine.
        """
        self._config = config
        self._source = annotator_source(config.annotator_model, config.annotator_revision)
        self._feeding = feeding or this_machine()
        self.shard_size = self._feeding.shard_size
        self._device = self._feeding.device
        self.dtype = config.annotator_dtype
        if self.dtype == AUTO:
            self.dtype = auto_dtype()
        chosen = config.annotator_batch_tokens
        self._size = PassSize(chosen or self._feeding.batch_tokens, fixed=chosen is not None)
        self.name = self._source.name
        self.notes: list[str] = []
        identity = {
            "engine": "transformers",
            "model": self._source.identity,
            "dtype": self.dtype,
            "device": self._device,
        }
        if config.max_model_len:
            identity["max_model_len"] = str(config.max_model_len)
        self.identity: Mapping[str, str] = identity
        self.earlier_identities = _earlier(identity, config.annotator_dtype)

    @functools.cached_property
    def model(self) -> Any:
        """The model, on the GPU if there is one."""
        if self._device == "cpu":
            # Annotators in several processes would otherwise each use every core.
            torch.set_num_threads(max(1, cpu_cores() // (self._config.annotator_processes or 1)))
            set_memory_limits()
        with loading_errors(self._source, "a causal language model"), quiet_transformers():
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
        prepack(model, self._size.tokens)
        return model

    @functools.cached_property
    def tokens(self) -> PromptTokens:
        """The model's tokenizer, for as many tokens as the model can read."""
        location = self._source.location
        revision = self._source.revision
        with loading_errors(self._source, "a causal language model"), quiet_transformers():
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
        with self._memory_errors(), exact_products():
            passes = self._passes(self.tokens.trie(prompt), arrived)
            with passes.handing_over():
                for part in slices(len(items), self._feeding.first):
                    passes.add(self.tokens.fit(prompt, items[part.start : part.stop]), part.start)
                return passes.finish()

    def _passes(self, trie: LabelTrie, arrived: Arrived | None) -> Passes:
        """The forward passes of one call."""
        return Passes(
            self._readers,
            trie,
            size=self._size,
            max_length=max_steady_positions(self.model.config.get_text_config()),
            padded=self._feeding.split,
            queued=self._feeding.queued,
            # Where nothing is queued, a shard is short and is written as a whole: then a run that
            # was killed sends the same batches to the model as one that was not.
            arrived=arrived if self._feeding.queued else None,
            shrunk=self._note_smaller_passes,
        )

    def _note_smaller_passes(self, before: int) -> None:
        self.notes.append(
            f"annotator: {before} tokens in a forward pass did not fit the GPU's memory; "
            f"{self._size.tokens} do"
        )

    @contextlib.contextmanager
    def _memory_errors(self) -> Iterator[None]:
        """Turns a GPU out of memory into an error that names the parameter to lower."""
        try:
            yield
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise AssayError(
                f"{self.name} ran out of GPU memory with {self._size.tokens} tokens in a forward "
                "pass. Lower annotator_batch_tokens (then max_model_len); answers on disk are kept."
            ) from error

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
        readers = exact_readers(
            self.model, self._size.tokens, self.dtype, split=self._feeding.split
        )
        if readers.packed and self._device == "cuda" and not self._size.fixed:
            self._size.tokens = fastest_batch(readers.packed.seconds)
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


def _earlier(identity: Mapping[str, str], dtype: str) -> list[dict[str, str]]:
    """Identities under which older versions stored the same answers, up to rounding.

    Outside float32 they told batches of different sizes apart. On a GPU ``auto`` was always
    bfloat16, also where it is emulated.
    """
    dtypes = {identity["dtype"]}
    if dtype == AUTO and identity["device"] == "cuda":
        dtypes.add("bfloat16")
    return [
        {**identity, "dtype": name, "batch_tokens": ANY_NUMBER}
        for name in sorted(dtypes - {"float32"})
    ]
