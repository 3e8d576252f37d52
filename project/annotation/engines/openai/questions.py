"""Texts as prompts for a server, and what a way of reading them must provide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from project.annotation.engines.base import Answers
from project.annotation.engines.prompt_tokens import PromptTokens
from project.annotation.prompt import Prompt
from project.stats.types import Mask
from project.support.errors import AssayError

T = TypeVar("T")

CHARACTERS_PER_TOKEN = 4
"""An estimate, used where tokens cannot be counted."""

_TOKENISED_AT_ONCE = 256
_NO_LIMIT = 10**9  # tokens of a prompt as text without max_model_len
_MAX_CONTEXT = 10**6  # tokens, where neither the server nor the tokenizer names a context


class Question(NamedTuple):
    """One text as a prompt.

    Attributes
    ----------
    row
        Position of the text among those that are read together.
    prompt
        The prompt: text, token ids, or the messages of a chat.
    truncated
        Whether the text was cut.
    length
        Tokens of the prompt, an estimate where it is sent as text.
    """

    row: int
    prompt: Any
    truncated: bool
    length: int


class Refusal(NamedTuple):
    """The ``reason`` why a text has no answer, however often it is sent."""

    reason: str


class Readout(Protocol[T]):
    """How labels are read: the requests for each text, and the answers made of the responses.

    Attributes
    ----------
    endpoint
        Path of the requests.
    n_parts
        Requests for each text, which differ in their fields.
    batch_size
        Most texts in one request.
    n_generated
        Most tokens generated for each text.
    n_classes, n_samples
        The number of labels, and of sampled labels for each text (0: labels are not sampled).
    """

    endpoint: str
    n_parts: int
    batch_size: int
    n_generated: int
    n_classes: int
    n_samples: int

    def body(self, prompts: Sequence[Any], part: int) -> dict[str, Any]:
        """Fields of the request for one part of several prompts."""
        ...

    def parse(self, data: Any, n: int, part: int) -> Sequence[T]:
        """What the response to the request for ``n`` prompts says about each of them.

        Raises MalformedResponse for content that should be requested again, and RequestRefused
        for a text that would get no other response.
        """
        ...

    def answers(self, questions: Sequence[Question], values: Sequence[Sequence[T]]) -> Answers:
        """Answers from the values ``(n, n_parts)`` of ``n`` questions."""
        ...


def truncated_of(questions: Sequence[Question]) -> Mask:
    """Mask ``(n,)`` of the questions whose text was cut."""
    return np.array([question.truncated for question in questions], dtype=bool)


def lengths_of(questions: Sequence[Question], counted: Sequence[int] = ()) -> npt.NDArray[np.int64]:
    """Prompt tokens of every question ``(n,)``.

    ``counted``: as the server counted them, 0 where it counted none.
    """
    estimates = [question.length for question in questions]
    pairs = zip(counted or estimates, estimates, strict=True)
    return np.array([count or estimate for count, estimate in pairs], dtype=np.int64)


def refused_answers(
    questions: Sequence[Question], reasons: Sequence[str], like: Readout[Any]
) -> Answers:
    """Answers without a label for refused texts.

    Parameters
    ----------
    questions, reasons
        The texts, and why each of them has no answer.
    like
        The readout of the other answers.
    """
    n = len(questions)
    unknown = np.full(n, np.nan)
    n_samples = like.n_samples
    return Answers(
        log_probabilities=np.full((n, like.n_classes), np.nan),
        label=np.full(n, -1, dtype=np.int64),
        label_mass=unknown,
        log_bound=unknown,
        truncated=truncated_of(questions),
        prompt_tokens=lengths_of(questions),
        error=list(reasons),
        repeats=np.full((n, n_samples), -1, dtype=np.int64) if n_samples else None,
        requests=like.n_parts,
        generated=np.full(n, like.n_generated) if n_samples else like.n_generated,
    )


def token_questions(
    tokens: PromptTokens, prompt: Prompt, items: Sequence[str]
) -> Iterator[Question]:
    """Prompts as token ids; a few hundred texts are tokenised at a time."""
    for start in range(0, len(items), _TOKENISED_AT_ONCE):
        fitted = tokens.fit(prompt, items[start : start + _TOKENISED_AT_ONCE])
        rows = zip(fitted.suffixes, fitted.truncated, fitted.lengths, strict=True)
        for row, (suffix, truncated, length) in enumerate(rows, start):
            yield Question(row, [*fitted.prefix, *suffix], bool(truncated), int(length))


def text_questions(prompt: Prompt, items: Sequence[str], room: int) -> Iterator[Question]:
    """Prompts as text or as the messages of a chat; texts are cut to ``room`` characters."""
    n_fixed = fixed_characters(prompt)
    for row, item in enumerate(items):
        # A lone surrogate, half of a UTF-16 pair, cannot be sent as JSON in UTF-8.
        text = item.encode("utf-8", "surrogatepass").decode("utf-8", "replace")[:room]
        yield Question(
            row,
            prompt.messages(text) if prompt.chat else prompt.render(text),
            truncated=len(item) > room,
            length=estimated_tokens(n_fixed + len(text)),
        )


def fixed_characters(prompt: Prompt) -> int:
    """Characters of the prompt without its text."""
    return len(prompt.before) + len(prompt.after) + len(prompt.system)


def token_room(
    tokenizer: Any, context: int | None, n_generated: int, max_model_len: int | None
) -> int:
    """Most tokens of a prompt.

    Parameters
    ----------
    tokenizer
        The model's, whose own limit counts where neither the server nor the user names one.
    context
        What the server reports; None for nothing.
    n_generated
        Tokens of the reply.
    max_model_len
        The user's limit, if there is one.
    """
    if context is None:
        of_tokenizer = int(tokenizer.model_max_length)
        context = _MAX_CONTEXT if max_model_len else min(of_tokenizer, _MAX_CONTEXT)
    return min(context - n_generated, max_model_len or _MAX_CONTEXT)


def text_room(prompt: Prompt, max_model_len: int | None) -> int:
    """Most characters of a text, by an estimate of tokens if ``max_model_len`` is set."""
    n_fixed = fixed_characters(prompt)
    room = (max_model_len or _NO_LIMIT) * CHARACTERS_PER_TOKEN - n_fixed
    if room <= 0:
        raise AssayError(
            f"the prompt without its text has {n_fixed} characters, which is more than "
            f"max_model_len={max_model_len} allows. Lower n_demonstrations."
        )
    return room


def estimated_tokens(n_characters: int) -> int:
    """About how many tokens a text of ``n_characters`` has."""
    return -(-n_characters // CHARACTERS_PER_TOKEN)
