"""Lets a causal language model in transformers write: sampled replies, several in one batch."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.annotation.writing.base import Reply, WriteRequest, without_thoughts
from project.config.annotation import AnnotateConfig
from project.support.errors import AssayError

_BATCH_TOKENS = {"cpu": 4096, "cuda": 65_536}
"""Prompt and reply tokens of a batch, padding included."""


class TransformersWriter:
    """A causal language model that writes.

    Each reply has random numbers of its own, so that it does not depend on the others in its
    batch but for rounding.
    """

    def __init__(self, config: AnnotateConfig) -> None:
        """Find the model that ``config`` names; it is loaded at the first request."""
        self._annotator = TransformersAnnotator(config)
        self.name = self._annotator.name
        self.identity: Mapping[str, str] = {**self._annotator.identity, "writes": "1"}

    def write(
        self, requests: Sequence[WriteRequest], arrived: Callable[[int, Reply], None]
    ) -> None:
        """See :class:`project.annotation.writing.base.Writer`."""
        tokens = self._annotator.tokens
        prompts = [tokens.written(request.prompt, request.max_tokens) for request in requests]
        most = _BATCH_TOKENS[self._annotator.model.device.type]
        try:
            for batch in batches([len(prompt) for prompt in prompts], requests, most):
                for position, reply in zip(
                    batch, self._batch(batch, prompts, requests), strict=True
                ):
                    arrived(position, reply)
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise AssayError(
                f"{self.name} ran out of GPU memory while it wrote. Lower batch_texts; replies on "
                "disk are kept."
            ) from error

    def close(self) -> None:
        """See :class:`project.annotation.writing.base.Writer`."""
        self._annotator.close()

    @functools.cached_property
    def _ends(self) -> list[int]:
        return self._annotator.tokens.written_ends()

    def _batch(
        self,
        batch: Sequence[int],
        prompts: Sequence[Sequence[int]],
        requests: Sequence[WriteRequest],
    ) -> list[Reply]:
        """The replies to the requests at these positions, which have one temperature."""
        model = self._annotator.model
        width = max(len(prompts[index]) for index in batch)
        padding = self._ends[0]
        rows = [[padding] * (width - len(prompts[index])) + list(prompts[index]) for index in batch]
        mask = [[0] * (width - len(prompts[index])) + [1] * len(prompts[index]) for index in batch]
        max_tokens = max(requests[index].max_tokens for index in batch)
        noise = GumbelNoise([requests[index] for index in batch], model.device)
        with torch.inference_mode():
            output = model.generate(
                torch.tensor(rows, device=model.device),
                attention_mask=torch.tensor(mask, device=model.device),
                # The model's own settings may hold penalties and another way to sample.
                generation_config=GenerationConfig(
                    max_new_tokens=max_tokens,
                    do_sample=False,
                    eos_token_id=self._ends,
                    pad_token_id=padding,
                ),
                logits_processor=LogitsProcessorList([noise]),
            )
        written = output[:, width:].tolist()
        return [
            self._reply(written[row], len(prompts[index]), requests[index].max_tokens)
            for row, index in enumerate(batch)
        ]

    def _reply(self, written: list[int], n_prompt: int, max_tokens: int) -> Reply:
        written = written[:max_tokens]
        end = next((index for index, token in enumerate(written) if token in self._ends), None)
        text = self._annotator.tokens.decode(written[:end])
        return Reply(
            without_thoughts(text),
            n_prompt,
            len(written[:end]) + (end is not None),
            end is not None,
        )


def batches(
    lengths: Sequence[int], requests: Sequence[WriteRequest], max_tokens: int
) -> list[list[int]]:
    """Positions of requests that are written together, prompts of like lengths beside one another.

    Parameters
    ----------
    lengths
        Tokens of each prompt.
    requests
        The requests; those of a batch have the same temperature and length of the reply.
    max_tokens
        Most tokens of a batch with its padding; a single request may have more.
    """
    order = sorted(
        range(len(lengths)),
        key=lambda index: (requests[index].temperature, requests[index].max_tokens, lengths[index]),
    )
    found: list[list[int]] = []
    for index in order:
        request = requests[index]
        alike = found and (
            requests[found[-1][0]].temperature == request.temperature
            and requests[found[-1][0]].max_tokens == request.max_tokens
        )
        size = (len(found[-1]) + 1) * (lengths[index] + request.max_tokens) if found else 0
        if alike and size <= max_tokens:
            found[-1].append(index)
        else:
            found.append([index])
    return found


class GumbelNoise(LogitsProcessor):
    """Makes the largest logit a sample at a temperature, with random numbers of each row's own.

    The argmax of log probabilities plus Gumbel noise is distributed as a sample of them.
    """

    def __init__(self, requests: Sequence[WriteRequest], device: Any) -> None:
        self._temperature = requests[0].temperature
        self._generators = []
        for request in requests:
            key = hashlib.sha256(f"{request.seed}:{request.prompt}".encode("utf-8", "replace"))
            generator = torch.Generator(device=device)
            generator.manual_seed(int.from_bytes(key.digest()[:7]))
            self._generators.append(generator)

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Logits over the temperature plus noise, of every row ``(n_rows, n_tokens)``."""
        if not self._temperature:
            return scores
        logits = scores.float() / self._temperature
        noise = torch.empty_like(logits)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return logits - noise.clamp_min(1e-20).log()
