"""Annotates with vLLM in this process: one generated position, without a constraint.

The log probabilities of the label tokens are read, normalised over the whole vocabulary. Their
argmax is the answer that constrained greedy decoding would give, and one minus their sum, the label
mass, is the probability of all other tokens.

A label of several tokens takes one request for each node of the trie of all labels. The log
probabilities of a prompt's own tokens would be fewer requests, but vLLM computes a prompt anew for
these instead of reading its prefix cache.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from vllm import LLM, SamplingParams
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from project.annotation.engines.base import Answers, Arrived, Size
from project.annotation.engines.label_trie import LabelTrie, Node
from project.annotation.engines.prompt_tokens import PromptTokens, TokenizedPrompts
from project.annotation.engines.vllm.feed import Feed, FeedClosedError, Request
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig
from project.config.fields import AUTO
from project.support.errors import AssayError, Incomplete
from project.support.models import annotator_source
from project.support.redact import short_message

MAX_LOGPROB_TOKENS = 128  # vLLM's own limit of logprob_token_ids
_HANDED_OVER = 256  # texts whose answers are written together


class VllmAnnotator:
    """A causal language model in a vLLM engine.

    The shared prefix of a draw is reused by vLLM's own prefix cache.
    """

    keyed_by = "text"
    shard_size = 2048

    def __init__(self, config: AnnotateConfig) -> None:
        """Find the model that ``config`` names; the engine starts at the first read."""
        self._config = config
        self._lock = threading.Lock()
        self._source = annotator_source(config.annotator_model, config.annotator_revision)
        self.name = self._source.name
        identity = {
            "engine": "vllm",
            "model": self._source.identity,
            "dtype": config.annotator_dtype,
        }
        if config.max_model_len:
            identity["max_model_len"] = str(config.max_model_len)
        if config.tensor_parallel > 1:
            identity["tensor_parallel"] = str(config.tensor_parallel)
        if config.quantization != AUTO:
            identity["quantization"] = config.quantization
        self.identity: Mapping[str, str] = identity

    @functools.cached_property
    def engine(self) -> Any:
        """The ``vllm.LLM``."""
        config = self._config
        try:
            return LLM(
                model=self._source.location,
                revision=self._source.revision,
                dtype="auto" if config.annotator_dtype == AUTO else config.annotator_dtype,
                max_model_len=config.max_model_len,
                max_num_batched_tokens=config.annotator_batch_tokens,
                tensor_parallel_size=config.tensor_parallel,
                quantization=None if config.quantization == AUTO else config.quantization,
                enforce_eager=config.enforce_eager,
                max_num_seqs=config.max_num_seqs,
                gpu_memory_utilization=config.gpu_memory,
                seed=0,
                enable_prefix_caching=True,
                logprobs_mode="raw_logprobs",  # those of the model, before any sampling setting
                disable_log_stats=True,
                trust_remote_code=False,
                load_format="safetensors",
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise AssayError(
                f"vLLM could not start with {self.name}: {short_message(error, 500)} Where memory "
                "is short, lower max_model_len, change gpu_memory, or raise tensor_parallel; the "
                "output of vLLM above has the details."
            ) from error

    @functools.cached_property
    def tokens(self) -> PromptTokens:
        """The model's tokenizer."""
        max_model_len = int(self.engine.llm_engine.model_config.max_model_len)
        # One token of the context is generated.
        return PromptTokens(self.engine.get_tokenizer(), context=max_model_len - 1, name=self.name)

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """See :class:`project.annotation.engines.base.Annotator`."""
        tokenized = self.tokens.fit(prompt, items)
        n_requests = len(_asked(self.tokens.trie(prompt)))
        return Size(
            prefix=len(tokenized.prefix),
            total=tokenized.lengths,
            requests=n_requests,
            exact=True,
            generated=n_requests,  # vLLM generates one token in each request
        )

    @functools.cached_property
    def feed(self) -> Feed:
        """What gives the engine its requests; made under the lock, which every reader takes."""
        return Feed(self.engine.llm_engine)

    def close(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""
        self.stop()
        if "engine" in self.__dict__:
            self.__dict__.pop("tokens", None)
            self.__dict__.pop("feed", None)
            self.__dict__.pop("engine").llm_engine.engine_core.shutdown()

    def stop(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""
        if "feed" in self.__dict__:
            self.feed.close()

    def read(self, prompt: Prompt, items: Sequence[str], arrived: Arrived | None = None) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`."""
        with self._lock:  # the first of several readers starts the engine
            trie = self.tokens.trie(prompt)
            tokenized = self.tokens.fit(prompt, items)
            feed = self.feed
        requests = _requests(tokenized, trie)
        reads = _Reads(tokenized, trie)
        try:
            for position, output in feed.outputs(requests):
                reads.add(position, output)
                if arrived and len(reads.unsent) >= _HANDED_OVER:
                    reads.hand_over(arrived)
        except FeedClosedError as error:
            raise Incomplete("the annotation was stopped.") from error
        except (EngineDeadError, EngineGenerateError) as error:
            raise Incomplete(
                f"vLLM's engine died: {short_message(error)} Answers on disk are kept; run again "
                "to go on. Where its output above reports that GPU memory ran out, lower "
                "annotator_batch_tokens or max_model_len first."
            ) from error
        finally:
            if arrived:
                reads.hand_over(arrived)
        return reads.answers(range(len(items)))


class _Reads:
    """Log probabilities of the nodes of a trie, text by text, as requests are answered.

    ``unsent``: texts that are read and not handed over.
    """

    def __init__(self, tokenized: TokenizedPrompts, trie: LabelTrie) -> None:
        n = len(tokenized.suffixes)
        self.unsent: list[int] = []
        self._tokenized = tokenized
        self._trie = trie
        self._widths = [len(tokens) for _, tokens in _asked(trie)]
        self._starts = np.cumsum([0, *self._widths])
        self._values = np.full((n, trie.n_reads), np.nan)
        self._n_missing = [len(self._widths)] * n

    def add(self, position: int, output: Any) -> None:
        """The output of the request at this position; those of a text follow one another."""
        text, request = divmod(position, len(self._widths))
        start, width = self._starts[request], self._widths[request]
        # Position 0 of the flat list is the sampled token; the requested tokens follow in order.
        found = output.outputs[0].logprobs.logprobs[1 : 1 + width]
        self._values[text, start : start + width] = found
        self._n_missing[text] -= 1
        if not self._n_missing[text]:
            self.unsent.append(text)

    def hand_over(self, arrived: Arrived) -> None:
        """Hand over the answers to all texts that are read and were not handed over before."""
        texts, self.unsent = self.unsent, []
        if texts:
            arrived(texts, self.answers(texts))

    def answers(self, texts: Sequence[int]) -> Answers:
        """The answers to these texts."""
        rows = list(texts)
        answers = Answers.exact(
            self._trie.classes(self._values[rows]),
            self._tokenized.truncated[rows],
            self._tokenized.lengths[rows],
        )
        n_requests = len(self._widths)
        return replace(answers, requests=n_requests, generated=n_requests)


def _asked(trie: LabelTrie) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """What each text is asked: tokens behind its prompt, and label tokens that may follow."""
    return [(node.path, tokens) for node in trie.nodes for tokens in _portions(node)]


def _requests(tokenized: TokenizedPrompts, trie: LabelTrie) -> list[Request]:
    """All requests, text by text."""
    parts = [
        (
            path,
            SamplingParams(
                max_tokens=1,
                temperature=0.0,
                logprob_token_ids=list(tokens),
                flat_logprobs=True,
                detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
            ),
        )
        for path, tokens in _asked(trie)
    ]
    return [
        Request([*tokenized.prefix, *suffix, *path], parameters)
        for suffix in tokenized.suffixes
        for path, parameters in parts
    ]


def _portions(node: Node) -> list[tuple[int, ...]]:
    """The tokens of ``node`` in portions that vLLM accepts in one request."""
    return [
        node.tokens[start : start + MAX_LOGPROB_TOKENS]
        for start in range(0, len(node.tokens), MAX_LOGPROB_TOKENS)
    ]
