"""Annotates with vLLM in this process: one generated position, without a constraint.

The log probabilities of the label tokens are read, normalised over the whole vocabulary. Their
argmax is the answer that constrained greedy decoding would give, and one minus their sum, the label
mass, is the probability of all other tokens.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing.connection
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from vllm import LLM, SamplingParams
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from project.annotation.engines.base import Answers, Arrived, Size
from project.annotation.engines.label_trie import LabelTrie, Node
from project.annotation.engines.prompt_tokens import PromptTokens, TokenizedPrompts
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig
from project.config.fields import AUTO
from project.stats.types import Floats
from project.support.errors import AssayError, Incomplete
from project.support.models import annotator_source
from project.support.redact import short_message

MAX_LOGPROB_TOKENS = 128  # vLLM's own limit of logprob_token_ids


class VllmAnnotator:
    """A causal language model in a vLLM engine.

    The shared prefix of a draw is reused by vLLM's own prefix cache.
    """

    keyed_by = "text"
    shard_size = 2048

    def __init__(self, config: AnnotateConfig) -> None:
        """Find the model that ``config`` names; the engine starts at the first read."""
        self._config = config
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
        n_requests = sum(len(_portions(node)) for node in self.tokens.trie(prompt).nodes)
        return Size(
            prefix=len(tokenized.prefix),
            total=tokenized.lengths,
            requests=n_requests,
            exact=True,
            generated=n_requests,  # vLLM generates one token in each request
        )

    def close(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""
        if "engine" in self.__dict__:
            self.__dict__.pop("tokens", None)
            self.__dict__.pop("engine").llm_engine.engine_core.shutdown()

    def read(self, prompt: Prompt, items: Sequence[str], arrived: Arrived | None = None) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`."""
        trie = self.tokens.trie(prompt)
        tokenized = self.tokens.fit(prompt, items)
        requests = [(node.path, tokens) for node in trie.nodes for tokens in _portions(node)]
        outputs = self._outputs(tokenized, requests)
        values = _log_probabilities(outputs, [len(tokens) for _, tokens in requests])
        answers = Answers.exact(
            trie.classes(_reads(values, len(items), trie)), tokenized.truncated, tokenized.lengths
        )
        return replace(answers, requests=len(requests), generated=len(requests))

    def _outputs(
        self,
        tokenized: TokenizedPrompts,
        requests: Sequence[tuple[tuple[int, ...], tuple[int, ...]]],
    ) -> list[Any]:
        """The output of every request of every text; a request is a path and label tokens."""
        parameters = [
            SamplingParams(
                max_tokens=1,
                temperature=0.0,
                logprob_token_ids=list(tokens),
                flat_logprobs=True,
                detokenize=False,
            )
            for _, tokens in requests
        ]
        prefix = list(tokenized.prefix)
        prompts = [
            {"prompt_token_ids": [*prefix, *suffix, *path]}
            for suffix in tokenized.suffixes
            for path, _ in requests
        ]
        try:
            # All requests at once: vLLM batches them, and those of a draw share its prefix.
            with _watched(self.engine):
                return list(
                    self.engine.generate(
                        prompts, parameters * len(tokenized.suffixes), use_tqdm=False
                    )
                )
        except (EngineDeadError, EngineGenerateError) as error:
            raise Incomplete(
                f"vLLM's engine died: {short_message(error)} Answers on disk are kept; run again "
                "to go on. Where its output above reports that GPU memory ran out, lower "
                "annotator_batch_tokens or max_model_len first."
            ) from error


@contextlib.contextmanager
def _watched(engine: Any) -> Iterator[None]:
    """Inside, the death of the engine's process ends the wait for its answers.

    vLLM 0.32 would wait for ever.
    """
    core = engine.llm_engine.engine_core
    manager = getattr(getattr(core, "resources", None), "engine_manager", None)
    sentinels = [process.sentinel for process in getattr(manager, "processes", ())]
    ours, theirs = multiprocessing.Pipe()

    def watch() -> None:
        # Returns when a process ended, or when ``ours`` was closed below.
        ended = multiprocessing.connection.wait([*sentinels, theirs])
        if any(sentinel in sentinels for sentinel in ended):
            core.outputs_queue.put_nowait(EngineDeadError())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ours.close()
        thread.join()
        theirs.close()


def _portions(node: Node) -> list[tuple[int, ...]]:
    """The tokens of ``node`` in portions that vLLM accepts in one request."""
    return [
        node.tokens[start : start + MAX_LOGPROB_TOKENS]
        for start in range(0, len(node.tokens), MAX_LOGPROB_TOKENS)
    ]


def _log_probabilities(outputs: Sequence[Any], widths: Sequence[int]) -> Iterator[float]:
    """The log probabilities of the label tokens, request by request.

    Position 0 of a flat list is the sampled token; the requested tokens follow in their order.
    """
    for index, output in enumerate(outputs):
        yield from output.outputs[0].logprobs.logprobs[1 : 1 + widths[index % len(widths)]]


def _reads(values: Iterator[float], n_items: int, trie: LabelTrie) -> Floats:
    """The values as ``(n_items, n_reads)``."""
    flat = np.fromiter(values, dtype=np.float64, count=n_items * trie.n_reads)
    return flat.reshape(n_items, trie.n_reads)
