"""Reads the JSON of a server's response: listed tokens and their log probabilities.

All functions are pure: they take parsed JSON and return numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from project.annotation.engines.openai.faults import MalformedResponse
from project.support.errors import AssayError

MINUS_INFINITY = -9999.0
"""What OpenAI-compatible servers write for a log probability of minus infinity."""

_CONTEXT_FIELDS = ("max_model_len", "context_length", "context_window")  # vLLM's, and other hosts'
_N_SPELLINGS = 2  # of a one-character label: with and without a space before it
_ROUNDING = 1e-3  # a log probability of 0 may be rounded up by this much
_MAX_TOTAL = 1.01  # listed probabilities may add up to this much, by rounding
_CONSTRAINED_TOLERANCE = 1e-2  # how far the probabilities of a constrained reply may be from 1


class ListedToken(NamedTuple):
    """A token in a server's list: its text, its id (None if unknown), its log probability."""

    text: str
    token: int | None
    log_probability: float


class ServerInfo(NamedTuple):
    """A server's models, and the context of the configured model in tokens, None if unknown.

    ``failure``: why the list of models could not be read; None if it could.
    """

    models: tuple[str, ...]
    context: int | None
    failure: AssayError | None = None


class CodeReading(NamedTuple):
    """Log probabilities of one-character labels, and the bound for those that are not listed."""

    log_probabilities: list[float]
    log_bound: float


def listed_tokens(choice: Mapping[str, Any], n_listed: int = 0) -> list[ListedToken]:
    """The tokens listed for the first position of a reply, the most probable first.

    Parameters
    ----------
    choice
        One choice of a response, from the chat endpoint or the completions endpoint.
    n_listed
        If given, the result holds at most this many tokens, and all of them are known to be the
        most probable ones. The sampled token is left out where it is the least probable of the
        list: it may be listed only because it was sampled.

    Raises
    ------
    MalformedResponse
        If there is no list, or its values are not the log probabilities of a distribution.
    """
    pairs, sampled = _raw_tokens(choice)
    if not all(isinstance(text, str) for text, _, _ in pairs):
        raise MalformedResponse("tokens that are no text")
    tokens = sorted(
        (ListedToken(text, _token_id(text, token), _number(value)) for text, token, value in pairs),
        key=lambda token: -token.log_probability,
    )
    # A token may be listed twice, once as the sampled one. A sum above 1 shows that the values are
    # no log probabilities, for instance logits.
    distinct = {token.token or token.text: token.log_probability for token in tokens}
    if math.fsum(map(math.exp, distinct.values())) > _MAX_TOTAL:
        raise MalformedResponse("probabilities that add up to more than 1")
    if n_listed:
        tokens = [token for token in tokens if math.isfinite(token.log_probability)]
        if len(tokens) > 1 and tokens[-1].text == sampled:
            tokens.pop()
        tokens = tokens[:n_listed]
    if not tokens:
        raise MalformedResponse("an empty list of tokens")
    return tokens


def _raw_tokens(choice: Mapping[str, Any]) -> tuple[list[tuple[Any, Any, Any]], Any]:
    """Text, id and log probability of the listed tokens, unchecked, and the sampled text."""
    try:
        logprobs = choice["logprobs"]
        if isinstance(logprobs.get("content"), list):
            first = logprobs["content"][0]
            top = first["top_logprobs"]
            pairs = [(token["token"], token.get("id"), token["logprob"]) for token in top]
            return pairs, first["token"]
        top = logprobs["top_logprobs"][0]
        return [(text, None, value) for text, value in top.items()], logprobs["tokens"][0]
    except (KeyError, TypeError, IndexError, AttributeError):
        raise MalformedResponse("no log probabilities of tokens") from None


def _token_id(text: str, token: Any) -> int | None:
    """The id in ``token_id:5``, or ``token`` if it is a number."""
    match = re.fullmatch(r"token_id:(\d{1,9})", text)
    if match:
        return int(match[1])
    return token if isinstance(token, int) else None


def _number(value: Any) -> float:
    """A log probability; raises MalformedResponse for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or math.isnan(value) or value > _ROUNDING:
        raise MalformedResponse("a log probability that is not a number of at most 0")
    return float(value) if value > MINUS_INFINITY else -math.inf


def log_probabilities_of(
    listed: Sequence[ListedToken], tokens: Sequence[int], token_of_text: Mapping[str, int]
) -> list[float]:
    """The log probability of each of ``tokens``, ``nan`` for a token that is not listed.

    Parameters
    ----------
    listed
        The tokens in the response.
    tokens
        Token ids.
    token_of_text
        Token ids by text, for a server that writes tokens as text.
    """
    values = {
        token_of_text.get(entry.text) if entry.token is None else entry.token: entry.log_probability
        for entry in listed
    }
    return [values.get(token, math.nan) for token in tokens]


def all_log_probabilities_of(
    listed: Sequence[ListedToken],
    tokens: Sequence[int],
    token_of_text: Mapping[str, int],
    *,
    constrained: bool,
) -> list[float]:
    """The log probability of each of ``tokens``, all of which must be listed.

    Parameters
    ----------
    listed, tokens, token_of_text
        See :func:`log_probabilities_of`.
    constrained
        Whether the reply was constrained to ``tokens``: then their probabilities must sum to 1.

    Raises
    ------
    MalformedResponse
        If a token is missing or the probabilities cannot be those of the tokens.
    """
    values = log_probabilities_of(listed, tokens, token_of_text)
    if any(math.isnan(value) for value in values):
        raise MalformedResponse("log probabilities of other tokens than the requested ones")
    total = math.fsum(map(math.exp, values))
    if total == 0:
        raise MalformedResponse("probability 0 for all of the requested tokens")
    if constrained and abs(total - 1) > _CONSTRAINED_TOLERANCE:
        raise MalformedResponse("log probabilities from before the reply was constrained")
    return values


def read_codes(listed: Sequence[ListedToken], codes: Sequence[str]) -> CodeReading:
    """The log probability of each of ``codes``, one-character labels; ``nan`` if not listed.

    A token counts for a code if they are equal without white space. The probabilities of several
    such tokens are added. The bound is the largest log probability that a missing code can have.
    """
    log_probabilities = []
    for code in codes:
        values = [token.log_probability for token in listed if token.text.strip() == code]
        log_probabilities.append(float(np.logaddexp.reduce(values)) if values else math.nan)
    return CodeReading(log_probabilities, listed[-1].log_probability + math.log(_N_SPELLINGS))


def n_prompt_tokens(data: Any) -> int:
    """The number of prompt tokens that the server reports, 0 if it reports none."""
    usage = data.get("usage")
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else 0
    return count if isinstance(count, int) and count > 0 else 0


def n_generated_tokens(data: Any) -> int:
    """The number of generated tokens that the server reports, thoughts included; 0 if none."""
    usage = data.get("usage")
    count = usage.get("completion_tokens") if isinstance(usage, dict) else 0
    return count if isinstance(count, int) and count > 0 else 0


def server_info(data: Any, model: str) -> ServerInfo:
    """The models in a server's list, and the context of ``model``."""
    listed = data.get("data") if isinstance(data, dict) else None
    models = {str(entry.get("id")): entry for entry in listed or () if isinstance(entry, dict)}
    configured = models.get(model, {})
    parent = models.get(str(configured.get("parent")), {})  # an adapter has its parent's context
    sizes = [entry.get(name) for entry in (configured, parent) for name in _CONTEXT_FIELDS]
    context = next((size for size in sizes if isinstance(size, int) and size > 1), None)
    return ServerInfo(tuple(models), context)
