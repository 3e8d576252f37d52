"""Lets a vLLM engine in this process write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from project.annotation.engines.vllm.engine import VllmAnnotator
from project.annotation.engines.vllm.feed import FeedClosedError, Request
from project.annotation.writing.base import Reply, WriteRequest, without_thoughts
from project.config.annotation import AnnotateConfig
from project.support.errors import Incomplete
from project.support.redact import short_message


class VllmWriter:
    """A causal language model in a vLLM engine that writes."""

    def __init__(self, config: AnnotateConfig) -> None:
        """Find the model that ``config`` names; the engine starts at the first request."""
        self._annotator = VllmAnnotator(config)
        self.name = self._annotator.name
        self.identity: Mapping[str, str] = {**self._annotator.identity, "writes": "1"}

    def write(
        self, requests: Sequence[WriteRequest], arrived: Callable[[int, Reply], None]
    ) -> None:
        """See :class:`project.annotation.writing.base.Writer`."""
        tokens = self._annotator.tokens
        ends = tokens.written_ends()
        asked = [
            Request(
                tokens.written(request.prompt, request.max_tokens),
                SamplingParams(
                    max_tokens=request.max_tokens,
                    temperature=request.temperature,
                    seed=request.seed,
                    stop_token_ids=ends,
                    detokenize=False,
                    output_kind=RequestOutputKind.FINAL_ONLY,
                ),
            )
            for request in requests
        ]
        try:
            for position, output in self._annotator.feed.outputs(asked):
                (found,) = output.outputs
                written = [token for token in found.token_ids if token not in ends]
                arrived(
                    position,
                    Reply(
                        without_thoughts(tokens.decode(written)),
                        len(asked[position].tokens),
                        len(found.token_ids),
                        found.finish_reason == "stop",
                    ),
                )
        except FeedClosedError as error:
            raise Incomplete("the writing was stopped.") from error
        except (EngineDeadError, EngineGenerateError) as error:
            raise Incomplete(
                f"vLLM's engine died: {short_message(error)} Replies on disk are kept; run again "
                "to go on. Where its output above reports that GPU memory ran out, lower "
                "batch_texts or max_model_len first."
            ) from error

    def close(self) -> None:
        """See :class:`project.annotation.writing.base.Writer`."""
        self._annotator.close()
