"""Annotate with vLLM in this process: one generated position, no constraint, the label tokens' log probabilities over the whole vocabulary.

Without a constraint the argmax over the label tokens is the constrained greedy answer, and what the model gives to all other
tokens is not lost: it is one minus the label mass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from vllm import LLM, SamplingParams

from project.annotators import Answers
from project.annotators.tokens import PromptTokens
from project.config import AUTO, AnnotateConfig
from project.models import annotator_source
from project.prompt import Prompt


class VllmAnnotator:
    """A causal LM in a vLLM engine. The shared prefix of a draw is reused by vLLM's own prefix cache."""

    def __init__(self, engine: Any, *, name: str, weights: str) -> None:
        """``engine``: a ``vllm.LLM``; ``weights``: identity of its model's weights."""
        settings = engine.llm_engine.model_config
        self.name = name
        self.identity: Mapping[str, str] = {"engine": "vllm", "model": weights, "dtype": str(settings.dtype).removeprefix("torch.")}
        self._engine = engine
        self._tokens = PromptTokens(engine.get_tokenizer(), context=int(settings.max_model_len) - 1, name=name)

    @classmethod
    def open(cls, config: AnnotateConfig) -> VllmAnnotator:
        """Start an engine for the model that ``config`` names."""
        source = annotator_source(config.annotator_model, config.annotator_revision)
        dtype = "auto" if config.annotator_dtype == AUTO else config.annotator_dtype
        engine = LLM(
            model=source.location, revision=source.revision, dtype=dtype, seed=0, enable_prefix_caching=True, logprobs_mode="raw_logprobs",
            disable_log_stats=True, trust_remote_code=False, load_format="safetensors",
        )  # fmt: skip
        return cls(engine, name=source.name, weights=source.identity)

    def read(self, prompt: Prompt, texts: Sequence[str]) -> Answers:
        """See :class:`project.annotators.Annotator`."""
        codes = self._tokens.codes(prompt)
        fitted = [self._tokens.fit(prompt, text, len(codes.shared)) for text in texts]
        rows, path = [ids for ids, _ in fitted], np.zeros(len(texts))
        for token in codes.shared:
            path += self._next(rows, [token])[:, 0]
            rows = [[*row, token] for row in rows]
        classes = self._next(rows, codes.ids) + path[:, None]
        log_mass = np.logaddexp.reduce(classes, axis=1)
        return Answers(
            classes - log_mass[:, None], np.exp(log_mass),
            np.array([cut for _, cut in fitted], dtype=bool), np.array([len(row) for row in rows], dtype=np.int64),
        )  # fmt: skip

    def _next(self, rows: Sequence[Sequence[int]], tokens: Sequence[int]) -> np.ndarray:
        """``(n_rows, n_tokens)``: natural log probability of each of ``tokens`` as the next token of every row."""
        wanted = SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=list(tokens), flat_logprobs=True, detokenize=False)
        outputs = self._engine.generate([{"prompt_token_ids": list(row)} for row in rows], wanted, use_tqdm=False)
        # position 0 of the flat list is the sampled token, then come the tokens asked for, in their order
        return np.array([output.outputs[0].logprobs.logprobs[1 : 1 + len(tokens)] for output in outputs], dtype=np.float64)
