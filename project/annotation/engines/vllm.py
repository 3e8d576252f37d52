"""Annotate with vLLM in this process: one generated position, no constraint, the label tokens' log probabilities over the whole vocabulary.

Without a constraint the argmax over the label tokens is the constrained greedy answer, and what the model gives to all other
tokens is not lost: it is one minus the label mass.
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

from project.annotation.engines.base import Answers, Size
from project.annotation.engines.label_trie import Node
from project.annotation.engines.prompt_tokens import PromptTokens
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig
from project.config.fields import AUTO
from project.support.errors import AssayError, Incomplete
from project.support.models import annotator_source
from project.support.redact import short_message

MOST_TOKENS = 128  # vLLM's own limit of logprob_token_ids


class VllmAnnotator:
    """A causal LM in a vLLM engine. The shared prefix of a draw is reused by vLLM's own prefix cache."""

    keyed_by = "text"
    shard_size = 2048

    def __init__(self, config: AnnotateConfig) -> None:
        """Find the model that ``config`` names; the engine starts at the first read."""
        self._config, self._source = (
            config,
            annotator_source(config.annotator_model, config.annotator_revision),
        )
        self.name = self._source.name
        self.identity: Mapping[str, str] = {
            "engine": "vllm",
            "model": self._source.identity,
            "dtype": config.annotator_dtype,
            **({"max_model_len": str(config.max_model_len)} if config.max_model_len else {}),
            **(
                {"tensor_parallel": str(config.tensor_parallel)}
                if config.tensor_parallel > 1
                else {}
            ),
        }

    @functools.cached_property
    def engine(self) -> Any:
        """The ``vllm.LLM``."""
        config = self._config
        dtype = "auto" if config.annotator_dtype == AUTO else config.annotator_dtype
        try:
            return LLM(
                model=self._source.location,
                revision=self._source.revision,
                dtype=dtype,
                max_model_len=config.max_model_len,
                max_num_batched_tokens=config.annotator_batch_tokens,
                tensor_parallel_size=config.tensor_parallel,
                gpu_memory_utilization=config.gpu_memory,
                seed=0,
                enable_prefix_caching=True,
                logprobs_mode="raw_logprobs",
                disable_log_stats=True,
                trust_remote_code=False,
                load_format="safetensors",
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise AssayError(
                f"vLLM could not start with {self.name}: {short_message(error, 500)} Where memory is short, lower -P max_model_len=..., "
                "change -P gpu_memory=..., or raise -P tensor_parallel=...; vLLM's own output above says more."
            ) from error

    @functools.cached_property
    def tokens(self) -> PromptTokens:
        """The model's tokenizer."""
        context = (
            int(self.engine.llm_engine.model_config.max_model_len) - 1
        )  # one token is generated
        return PromptTokens(self.engine.get_tokenizer(), context=context, name=self.name)

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """See :class:`project.annotation.engines.base.Annotator`."""
        fitted = self.tokens.fit(prompt, items)
        requests = sum(len(_reads(node)) for node in self.tokens.trie(prompt).nodes)
        return Size(len(fitted.prefix), fitted.lengths, requests, exact=True, generated=requests)

    def close(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""
        if "engine" in self.__dict__:
            self.__dict__.pop("tokens", None)
            self.__dict__.pop("engine").llm_engine.engine_core.shutdown()

    def read(self, prompt: Prompt, items: Sequence[str]) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`."""
        trie, fitted = self.tokens.trie(prompt), self.tokens.fit(prompt, items)
        asked = [(node.path, tokens) for node in trie.nodes for tokens in _reads(node)]
        wanted = [
            SamplingParams(
                max_tokens=1,
                temperature=0.0,
                logprob_token_ids=list(tokens),
                flat_logprobs=True,
                detokenize=False,
            )
            for _, tokens in asked
        ]
        prefix = list(fitted.prefix)
        prompts = [
            {"prompt_token_ids": [*prefix, *suffix, *path]}
            for suffix in fitted.suffixes
            for path, _ in asked
        ]
        outputs = self._generate(prompts, wanted * len(items))
        reads = np.fromiter(
            _values(outputs, [len(tokens) for _, tokens in asked]),
            dtype=np.float64,
            count=len(items) * trie.n_reads,
        )
        answers = Answers.exact(
            trie.classes(reads.reshape(len(items), trie.n_reads)), fitted.truncated, fitted.lengths
        )
        return replace(answers, requests=len(asked), generated=len(asked))

    def _generate(
        self, prompts: list[dict[str, list[int]]], wanted: list[SamplingParams]
    ) -> list[Any]:
        try:
            with _watched(self.engine):
                return list(self.engine.generate(prompts, wanted, use_tqdm=False))
        except (EngineDeadError, EngineGenerateError) as error:
            raise Incomplete(
                f"vLLM's engine died: {short_message(error)} Answers on disk are kept; run again to go on. Where its "
                "output above says that GPU memory ran out, lower -P annotator_batch_tokens=... or -P max_model_len=... first."
            ) from error


@contextlib.contextmanager
def _watched(engine: Any) -> Iterator[None]:
    """While inside, the death of the engine's process ends the wait for its answers: vLLM 0.32 would wait for ever."""
    core = engine.llm_engine.engine_core
    manager = getattr(getattr(core, "resources", None), "engine_manager", None)
    sentinels = [process.sentinel for process in getattr(manager, "processes", ())]
    ours, theirs = multiprocessing.Pipe()

    def watch() -> None:
        if any(one in sentinels for one in multiprocessing.connection.wait([*sentinels, theirs])):
            core.outputs_queue.put_nowait(EngineDeadError())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ours.close()
        thread.join()
        theirs.close()


def _reads(node: Node) -> list[tuple[int, ...]]:
    """The tokens of ``node`` in portions of as many as vLLM reads at once."""
    return [
        node.tokens[start : start + MOST_TOKENS]
        for start in range(0, len(node.tokens), MOST_TOKENS)
    ]


def _values(outputs: Sequence[Any], widths: Sequence[int]) -> Iterator[float]:
    """The log probabilities asked for: position 0 of a flat list is the sampled token, then come those asked for, in their order."""
    for index, output in enumerate(outputs):
        yield from output.outputs[0].logprobs.logprobs[1 : 1 + widths[index % len(widths)]]
