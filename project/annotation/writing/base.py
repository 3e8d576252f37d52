"""The Writer protocol: a model that answers prompts with texts of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

_THOUGHTS = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)


class WriteRequest(NamedTuple):
    """A prompt for a model to answer.

    Attributes
    ----------
    prompt
        The user's message; a model without a chat template reads it as plain text.
    max_tokens
        Most tokens of the reply.
    temperature
        Sampling temperature; 0 for the most probable token each time.
    seed
        Seed of the sampling. The same request gives the same reply from the same model on the
        same machine; a server may not promise that.
    """

    prompt: str
    max_tokens: int
    temperature: float
    seed: int


class Reply(NamedTuple):
    """A model's reply.

    Attributes
    ----------
    text
        The reply, without thoughts.
    prompt_tokens, generated_tokens
        Tokens that were read and written, 0 where a server does not count them.
    is_whole
        Whether it ended by itself, and not because its tokens were used up.
    """

    text: str
    prompt_tokens: int
    generated_tokens: int
    is_whole: bool


def without_thoughts(text: str) -> str:
    """A reply without the thoughts that some models and servers leave before it."""
    return _THOUGHTS.sub("", text).strip()


class Writer(Protocol):
    """One model that writes.

    Nothing heavy is loaded before the first ``write``.

    Attributes
    ----------
    name
        For people.
    identity
        All that can change a reply, except the request.
    """

    name: str
    identity: Mapping[str, str]

    def write(
        self, requests: Sequence[WriteRequest], arrived: Callable[[int, Reply], None]
    ) -> None:
        """Answer all requests.

        Parameters
        ----------
        requests
            The prompts.
        arrived
            Called with the position of a request and its reply as soon as it is known, one call
            at a time.

        Raises
        ------
        AssayError
            For a prompt that is too long, or a server that refuses it.
        Incomplete
            If the engine dies or the server fails. Replies that were handed over are kept.
        """
        ...

    def close(self) -> None:
        """Free memory, processes and connections."""
        ...
