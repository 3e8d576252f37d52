"""Reads labels from a server with prompts as text: listed tokens, or sampled replies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from project.annotation.engines.base import Answers
from project.annotation.engines.openai.faults import RequestRefused
from project.annotation.engines.openai.modes import ReadoutMode
from project.annotation.engines.openai.pace import gather_results
from project.annotation.engines.openai.parsing import (
    CodeReading,
    choices,
    listed_tokens,
    n_prompt_tokens,
    read_codes,
)
from project.annotation.engines.openai.probe import Probe
from project.annotation.engines.openai.readouts import (
    censored_answers,
    mark_filtered,
    sampled_answers,
)
from project.annotation.engines.openai.replies import parse_label, reply_text
from project.annotation.prompt import Prompt
from project.stats.types import Mask
from project.support.errors import Incomplete

T = TypeVar("T")

FILTER_CODES = ("content_filter", "content_policy_violation")
"""Error codes with which hosted APIs refuse a text because of its content."""

_MAX_REPLY_TOKENS = 64
_SPARE_TOKENS = 4  # for white space and quotes before a label


class Questions(NamedTuple):
    """Requests for ``n`` texts, without the fields that say what to return.

    Attributes
    ----------
    endpoint
        Path of the requests.
    bodies
        For each text, the fields with its prompt.
    truncated, lengths
        ``(n,)``: whether the text was cut, and the prompt's length in tokens.
    """

    endpoint: str
    bodies: list[dict[str, Any]]
    truncated: Mask
    lengths: npt.NDArray[np.int64]

    def take(self, rows: Sequence[int]) -> Questions:
        """The questions at ``rows``."""
        bodies = [self.bodies[row] for row in rows]
        return self._replace(
            bodies=bodies, truncated=self.truncated[rows], lengths=self.lengths[rows]
        )


class _Reading(NamedTuple):
    """Log probabilities of the labels in one reply, and the prompt tokens that were counted."""

    codes: CodeReading
    n_prompt_tokens: int


class _Samples(NamedTuple):
    """Labels of the replies to one request, and the prompt tokens that were counted."""

    labels: list[int]
    n_prompt_tokens: int


async def ask_texts(
    probe: Probe, mode: ReadoutMode, questions: Questions, codes: Sequence[str], *, chat: bool
) -> Answers:
    """Answers from the most probable tokens of the reply.

    Parameters
    ----------
    probe
        The server.
    mode
        A listed mode that the server supports.
    questions
        The requests.
    codes
        The labels, one character each.
    chat
        Whether the requests go to the chat endpoint.

    Raises
    ------
    Incomplete
        If a request fails. Its ``partial`` holds the rows that were answered, and their Answers.
    """
    # What a text has that the content filter refused: no label is listed.
    unread = _Reading(CodeReading([math.nan] * len(codes), math.nan), 0)

    def parse(data: Any) -> _Reading:
        listed = listed_tokens(choices(data, 1)[0], mode.n_listed)
        return _Reading(read_codes(listed, codes), n_prompt_tokens(data))

    def build(results: Sequence[Sequence[_Reading | None]], asked: Questions) -> Answers:
        readings = [reading or unread for (reading,) in results]
        shape = (len(readings), len(codes))
        bounds = np.array([reading.codes.log_bound for reading in readings])
        answers = censored_answers(
            np.array([reading.codes.log_probabilities for reading in readings]).reshape(shape),
            np.repeat(bounds, len(codes)).reshape(shape),
            n_listed=mode.n_listed,
            truncated=asked.truncated,
            prompt_tokens=_lengths([reading.n_prompt_tokens for reading in readings], asked),
        )
        return mark_filtered(answers, [reading is None for (reading,) in results])

    return await _ask_all(probe, questions, [mode.read_fields(chat=chat)], parse, build=build)


async def ask_samples(
    probe: Probe,
    mode: ReadoutMode,
    questions: Questions,
    prompt: Prompt,
    *,
    n: int,
    temperature: float,
) -> Answers:
    """Answers from ``n`` sampled replies to each text; errors are those of :func:`ask_texts`.

    Parameters
    ----------
    probe, questions
        See :func:`ask_texts`.
    mode
        A sampled mode that the server supports.
    prompt
        The prompt, for its labels.
    n, temperature
        How many replies, and the sampling temperature.
    """
    labels = [answer.strip() for answer in prompt.answers]
    # A completion would go on with the next demonstration after its line.
    stop = {} if prompt.chat else {"stop": ["\n"]}
    portions = [min(mode.max_samples, n - start) for start in range(0, n, mode.max_samples)]
    fields = [
        {**stop, **mode.sample_fields(portion, temperature, reply_tokens(prompt))}
        for portion in portions
    ]

    def parse(data: Any) -> _Samples:
        replies = [reply_text(choice) for choice in choices(data, len(data["choices"]))]
        return _Samples([parse_label(text, labels) for text in replies], n_prompt_tokens(data))

    def build(results: Sequence[Sequence[_Samples | None]], asked: Questions) -> Answers:
        answers = _sampled(results, asked, n_samples=n, n_classes=len(labels))
        return replace(answers, requests=len(portions), generated=n * reply_tokens(prompt))

    return await _ask_all(probe, questions, fields, parse, build=build)


def _sampled(
    results: Sequence[Sequence[_Samples | None]],
    asked: Questions,
    *,
    n_samples: int,
    n_classes: int,
) -> Answers:
    """Answers from the parts in which each text's samples were requested.

    A text of which the content filter refused any part has no samples.
    """
    filtered = [None in parts for parts in results]
    samples = np.full((len(results), n_samples), -1, dtype=np.int64)
    counts = [0] * len(results)
    for row, parts in enumerate(results):
        known = [part for part in parts if part is not None]
        if not filtered[row]:
            samples[row] = [label for part in known for label in part.labels]
            counts[row] = known[0].n_prompt_tokens
    answers = sampled_answers(
        samples, n_classes, truncated=asked.truncated, prompt_tokens=_lengths(counts, asked)
    )
    return mark_filtered(answers, filtered)


def reply_tokens(prompt: Prompt) -> int:
    """How many tokens are enough for any label of ``prompt``."""
    # A token has at least one byte, so no label takes more tokens than bytes.
    longest = max(len(answer.encode()) for answer in prompt.answers)
    return min(_MAX_REPLY_TOKENS, _SPARE_TOKENS + longest)


def _lengths(counts: Sequence[int], asked: Questions) -> npt.NDArray[np.int64]:
    """Prompt tokens as the server counted them, or the estimate where it counted none."""
    pairs = zip(counts, asked.lengths, strict=True)
    return np.array([count or estimate for count, estimate in pairs], dtype=np.int64)


async def _ask_all(
    probe: Probe,
    questions: Questions,
    fields: Sequence[Mapping[str, Any]],
    parse: Callable[[Any], T],
    *,
    build: Callable[[Sequence[Sequence[T | None]], Questions], Answers],
) -> Answers:
    """Answers to all questions, each of which is sent once with each of ``fields``.

    ``build`` makes Answers of the results ``(n, len(fields))``, None for a text that the content
    filter refused. If a request fails, the Incomplete holds the answers to the texts whose
    requests all succeeded.
    """
    n = len(questions.bodies)
    width = len(fields)
    try:
        results = await gather_results(
            _ask(probe, questions.endpoint, {**body, **more}, parse)
            for body in questions.bodies
            for more in fields
        )
    except Incomplete as error:
        # Results are by index of the request; a text's requests follow one another.
        done = error.partial
        indices = [range(row * width, (row + 1) * width) for row in range(n)]
        rows = [row for row in range(n) if all(index in done for index in indices[row])]
        parts = [[done[index] for index in indices[row]] for row in rows]
        error.partial = (rows, build(parts, questions.take(rows))) if rows else None
        raise
    return build([results[row * width : (row + 1) * width] for row in range(n)], questions)


async def _ask(
    probe: Probe, endpoint: str, fields: Mapping[str, Any], parse: Callable[[Any], T]
) -> T | None:
    """What ``parse`` returns for one response, None if the content filter refused the text."""

    def parse_unfiltered(data: Any) -> T | None:
        replies = choices(data, int(fields.get("n", 1)))
        if all(choice.get("finish_reason") == "content_filter" for choice in replies):
            return None
        return parse(data)

    try:
        return await probe.client.post(endpoint, {"model": probe.model, **fields}, parse_unfiltered)
    except RequestRefused as error:
        if error.code in FILTER_CODES:
            return None
        raise
