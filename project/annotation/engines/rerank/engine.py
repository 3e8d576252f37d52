"""Annotates with a cross-encoder: a reranker or an NLI model scores each text with each label.

Every text is read once for each label, beside the label's text. All pairs of a shard are sorted by
length, so that batches have little padding. A model whose outputs change with padding is found out
when it is loaded, and gets batches of one length.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from project.annotation.engines.base import Answers, Arrived, Size
from project.annotation.engines.loading import loading_errors
from project.annotation.engines.rerank.outputs import Outputs, outputs_of
from project.annotation.engines.rerank.pair_tokens import PairTokens
from project.annotation.engines.rerank.scorer import Scorer
from project.annotation.engines.transformers.feeding import (
    Feeding,
    auto_dtype,
    exact_products,
    this_machine,
)
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig
from project.config.arm import Reads
from project.config.fields import AUTO
from project.support.errors import AssayError
from project.support.machine import cpu_cores, set_memory_limits
from project.support.models import annotator_source, quiet_transformers
from project.support.positions import max_positions

_KIND = "a cross-encoder"
_MOST_TEXTS = 512  # of a shard; each has a row for every label, so that these fill many passes


class RerankAnnotator:
    """A model for sequence classification that reads pairs, and its tokenizer.

    The prompt's answers are the texts of the labels; an empty one is not read (see
    :class:`project.annotation.pairs.PairPrompt`). Batching changes log probabilities by rounding
    alone, so it is no part of an answer's identity.
    """

    keyed_by = "text"
    lacks: Sequence[frozenset[Reads]] = (frozenset({"label_mass"}),)

    def __init__(self, config: AnnotateConfig, feeding: Feeding | None = None) -> None:
        """Find the model that ``config`` names; it is loaded at the first read.

        ``feeding``: how texts are fed to it; by default what suits this machine.
        """
        self._config = config
        self._source = annotator_source(config.annotator_model, config.annotator_revision)
        feeding = feeding or this_machine()
        self.shard_size = min(feeding.shard_size, _MOST_TEXTS)
        self._device = feeding.device
        self.dtype = auto_dtype() if config.annotator_dtype == AUTO else config.annotator_dtype
        self._batch_tokens = config.annotator_batch_tokens or feeding.batch_tokens
        self.name = self._source.name
        self.notes: list[str] = []
        identity = {
            "engine": "rerank",
            "model": self._source.identity,
            "dtype": self.dtype,
            "device": self._device,
        }
        if config.max_model_len:
            identity["max_model_len"] = str(config.max_model_len)
        self.identity: Mapping[str, str] = identity

    @functools.cached_property
    def outputs(self) -> Outputs:
        """What the outputs of the model mean."""
        return outputs_of(self._settings, self.name)

    @functools.cached_property
    def _settings(self) -> Any:
        with loading_errors(self._source, _KIND), quiet_transformers():
            return AutoConfig.from_pretrained(
                self._source.location, revision=self._source.revision, trust_remote_code=False
            )

    @functools.cached_property
    def tokens(self) -> PairTokens:
        """The model's tokenizer, for as many tokens as the model can read."""
        with loading_errors(self._source, _KIND), quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                self._source.location, revision=self._source.revision, trust_remote_code=False
            )
        # A tokenizer that knows no limit reports a number with 30 digits.
        limits = (
            int(tokenizer.model_max_length),
            max_positions(self._settings),
            self._config.max_model_len,
        )
        return PairTokens(tokenizer, limit=min(filter(None, limits)), name=self.name)

    @functools.cached_property
    def scorer(self) -> Scorer:
        """The model, on the GPU if there is one. Leaves a note where padding is not exact."""
        if self._device == "cpu":
            # Annotators in several processes would otherwise each use every core.
            torch.set_num_threads(max(1, cpu_cores() // (self._config.annotator_processes or 1)))
            set_memory_limits()
        _ = self.outputs  # refuses other models before any weights are read
        with loading_errors(self._source, _KIND), quiet_transformers():
            loaded: Any = AutoModelForSequenceClassification.from_pretrained(
                self._source.location,
                revision=self._source.revision,
                dtype=getattr(torch, self.dtype),
                use_safetensors=True,  # the other format, pickle, can run code
                trust_remote_code=False,
                output_loading_info=True,
            )
        model, report = loaded
        # transformers would fill missing weights at random.
        if report["missing_keys"]:
            raise AssayError(
                f"annotator_model {self.name} is no cross-encoder: its weights lack "
                f"{min(report['missing_keys'])}. Name a reranker or an NLI model."
            )
        scorer = Scorer(model.to(self._device).eval(), self.tokens, self._batch_tokens)
        scorer.check_padding(exact=self.dtype == "float32")
        if not scorer.padded:
            self.notes[:] = [
                f"annotator: padding changes the answers of {self.name}, so it reads batches of "
                "pairs of one length"
            ]
        return scorer

    def read(self, prompt: Prompt, items: Sequence[str], arrived: Arrived | None = None) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`."""
        del arrived  # a shard is written as a whole, so that its batches are always the same
        read = [answer for answer in prompt.answers if answer]
        with self._memory_errors(), exact_products():
            scorer = self.scorer
            pairs = self.tokens.pairs(items, read)
            logits = scorer.logits(pairs.rows).reshape(len(items), len(read), -1)
        is_one_label = len(read) < len(prompt.answers)
        classes = self.outputs.fits(logits[:, 0]) if is_one_label else self.outputs.classes(logits)
        answers = Answers.exact(classes, pairs.truncated, pairs.lengths.sum(axis=1))
        # The scores are compared with one another alone: what else would fit is not known.
        return dataclasses.replace(answers, label_mass=np.full(len(items), np.nan), generated=0)

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """See :class:`project.annotation.engines.base.Annotator`."""
        _ = self.scorer  # loaded before the clock of a probe starts
        pairs = self.tokens.pairs(items, [answer for answer in prompt.answers if answer])
        total = pairs.lengths.sum(axis=1)
        return Size(prefix=0, total=total, requests=1, exact=True, generated=0)

    def close(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""
        self.__dict__.pop("scorer", None)

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
