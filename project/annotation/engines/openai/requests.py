"""Asks a server about many texts, in a way that it was found to know, and makes Answers of what it says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from project.annotation.engines.base import Answers
from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.openai.client import together
from project.annotation.engines.openai.faults import Refused
from project.annotation.engines.openai.modes import CONSTRAINED, EXACT, LISTED, MOST_TOKENS, Way
from project.annotation.engines.openai.parsing import (
    all_reads,
    censored,
    choices,
    code_reads,
    entries,
    parse_label,
    reply,
    sampled,
    token_reads,
    without_mass,
)
from project.annotation.engines.openai.probe import COMPLETIONS, Probe
from project.annotation.engines.prompt_tokens import Fitted
from project.annotation.prompt import Prompt
from project.support.errors import Incomplete

T = TypeVar("T")

FILTER_CODES = (
    "content_filter",
    "content_policy_violation",
)  # of texts that a hosted API will not read
_FILTERED = "the server's content filter refused the text"


class Questions(NamedTuple):
    """Requests, one for each text, that lack only what is asked of the reply. ``truncated`` and ``lengths`` ``(n,)``: see Answers."""

    endpoint: str
    asked: list[dict[str, Any]]
    truncated: npt.NDArray[np.bool_]
    lengths: npt.NDArray[np.int64]


class Read(NamedTuple):
    """What one request reads of each of its prompts: ``tokens`` behind ``path``, for a node of the trie and a column of its reads."""

    node: int
    column: int
    path: tuple[int, ...]
    tokens: tuple[int, ...]


def reads_of(trie: LabelTrie, kind: str) -> Iterator[Read]:
    """The reads that each text needs. Where replies are held to the label tokens, a node of one token tells nothing."""
    column = 0
    for place, node in enumerate(trie.nodes):
        width = MOST_TOKENS if kind == EXACT else len(node.tokens)
        for start in range(0, len(node.tokens), width):
            if kind != CONSTRAINED or len(node.tokens) > 1:
                yield Read(place, column + start, node.path, node.tokens[start : start + width])
        column += len(node.tokens)


async def ask_tokens(probe: Probe, way: Way, trie: LabelTrie, fitted: Fitted) -> Answers:
    """Answers from the log probabilities of the label tokens, to prompts as token ids."""
    prompts = [[*fitted.prefix, *suffix] for suffix in fitted.suffixes]
    reads = np.zeros(
        (len(prompts), trie.n_reads)
    )  # a token that no request asks for is certain: replies are held to it
    asked = list(reads_of(trie, way.kind))
    left = np.full(len(prompts), len(asked))
    bounds = np.full((len(prompts), len(trie.nodes)), np.nan)

    async def fill(start: int, one: Read) -> None:
        rows = [[*ids, *one.path] for ids in prompts[start : start + probe.batch]]
        body = {
            "model": probe.model,
            "prompt": rows if probe.batch > 1 else rows[0],
            **way.fields(one.tokens),
        }
        found = await probe.client.post(
            COMPLETIONS,
            body,
            lambda data: [
                _row(way, choice, one, probe.spelt) for choice in choices(data, len(rows))
            ],
        )
        for place, (values, bound) in enumerate(found, start):
            reads[place, one.column : one.column + len(values)] = values
            bounds[place, one.node] = bound
        left[start : start + probe.batch] -= 1

    def answers() -> Answers:
        classes = trie.classes(reads)
        if way.kind == LISTED:
            made = censored(
                classes, trie.most(reads, bounds), fitted.truncated, fitted.lengths, way.listed
            )
        else:
            made = Answers.read(classes, fitted.truncated, fitted.lengths)
        return replace(
            without_mass(made) if way.kind == CONSTRAINED else made,
            requests=len(asked),
            generated=len(asked),
        )

    try:
        await together(
            fill(start, one) for start in range(0, len(prompts), probe.batch) for one in asked
        )
    except Incomplete as error:
        if rows := np.flatnonzero(left == 0).tolist():
            error.partial = rows, answers().only(rows)
        else:
            error.partial = None
        raise
    return answers()


def _row(
    way: Way, choice: dict[str, Any], one: Read, spelt: dict[str, int]
) -> tuple[list[float], float]:
    """What a choice says of the tokens of a read, and the most that one of them can be that it does not list."""
    if way.kind == LISTED:
        found = entries(choice, way.listed)
        return token_reads(found, one.tokens, spelt), found[-1].value
    return all_reads(
        entries(choice), one.tokens, spelt, constrained=way.kind == CONSTRAINED
    ), math.nan


async def ask_texts(
    probe: Probe, way: Way, questions: Questions, codes: Sequence[str], *, chat: bool
) -> Answers:
    """Answers from the most probable tokens of the reply, to prompts as text; ``codes``: the labels, single characters."""

    def row(data: Any) -> tuple[list[float], float, int]:
        values, bound = code_reads(entries(choices(data, 1)[0], way.listed), codes)
        return values, bound, _counted(data)

    def answers(rows: Sequence[Any], asked: Questions) -> Answers:
        refused = [row if isinstance(row, str) else None for row in rows]
        found = [
            ([math.nan] * len(codes), math.nan, 0) if isinstance(row, str) else row for row in rows
        ]
        classes = np.array([values for values, _, _ in found]).reshape(-1, len(codes))
        most = np.repeat([[bound] for _, bound, _ in found], len(codes), axis=1).reshape(
            -1, len(codes)
        )
        lengths = np.array(
            [count or guess for (_, _, count), guess in zip(found, asked.lengths, strict=True)],
            dtype=np.int64,
        )
        return _with_refusals(
            censored(classes, most, asked.truncated, lengths, way.listed), refused
        )

    return await _all(
        probe,
        questions,
        [way.fields(chat=chat)],
        row,
        lambda rows, asked: answers([one for (one,) in rows], asked),
    )


async def ask_samples(
    probe: Probe, way: Way, questions: Questions, prompt: Prompt, n: int, temperature: float
) -> Answers:
    """Answers from ``n`` sampled replies to each text."""
    words = [answer.strip() for answer in prompt.answers]
    stop = {} if prompt.chat else {"stop": ["\n"]}
    portions = [min(way.most, n - start) for start in range(0, n, way.most)]
    fields = [
        {**stop, **way.samples(portion, temperature, reply_tokens(prompt))} for portion in portions
    ]

    def labels(data: Any) -> tuple[list[int], int]:
        return [
            parse_label(reply(choice), words) for choice in choices(data, len(data["choices"]))
        ], _counted(data)

    def answers(rows: Sequence[Sequence[Any]], asked: Questions) -> Answers:
        refused = [next((part for part in row if isinstance(part, str)), None) for row in rows]
        repeats = [
            [-1] * n if why else [k for part in row for k in part[0]]
            for row, why in zip(rows, refused, strict=True)
        ]
        counts = [0 if why else row[0][1] for row, why in zip(rows, refused, strict=True)]
        lengths = np.array(
            [count or guess for count, guess in zip(counts, asked.lengths, strict=True)],
            dtype=np.int64,
        )
        made = sampled(
            np.array(repeats, dtype=np.int64).reshape(-1, n), len(words), asked.truncated, lengths
        )
        return replace(
            _with_refusals(made, refused),
            requests=len(portions),
            generated=n * reply_tokens(prompt),
        )

    return await _all(probe, questions, fields, labels, answers)


async def _all(
    probe: Probe,
    questions: Questions,
    fields: Sequence[dict[str, Any]],
    read: Callable[[Any], Any],
    answers: Callable[[Sequence[Sequence[Any]], Questions], Answers],
) -> Answers:
    """Answers to all questions, each sent once with each of ``fields``; where that fails, to those that came through."""
    n, width = len(questions.asked), len(fields)
    try:
        found = await together(
            _one(probe, questions.endpoint, {**one, **more}, read)
            for one in questions.asked
            for more in fields
        )
    except Incomplete as error:
        rows = [
            row
            for row in range(n)
            if all(row * width + place in error.partial for place in range(width))
        ]
        if rows:
            kept = Questions(
                questions.endpoint,
                [questions.asked[row] for row in rows],
                questions.truncated[rows],
                questions.lengths[rows],
            )
            error.partial = (
                rows,
                answers(
                    [
                        [error.partial[row * width + place] for place in range(width)]
                        for row in rows
                    ],
                    kept,
                ),
            )
        else:
            error.partial = None
        raise
    return answers([found[row * width : (row + 1) * width] for row in range(n)], questions)


async def _one(
    probe: Probe, endpoint: str, fields: dict[str, Any], read: Callable[[Any], T]
) -> Any:
    """What ``read`` makes of the answer to one text; words where the server's filter does not let the text pass."""

    def unfiltered(data: Any) -> T | str:
        found = choices(data, int(fields.get("n", 1)))
        return (
            _FILTERED
            if all(choice.get("finish_reason") == "content_filter" for choice in found)
            else read(data)
        )

    try:
        return await probe.client.post(endpoint, {"model": probe.model, **fields}, unfiltered)
    except Refused as error:
        if error.code in FILTER_CODES:
            return _FILTERED
        raise


def reply_tokens(prompt: Prompt) -> int:
    """Tokens that hold any label: a token is at least a byte."""
    return min(64, 4 + max(len(answer.encode()) for answer in prompt.answers))


def _counted(data: Any) -> int:
    """Tokens of the prompt as the server counts them, 0 where it does not tell."""
    usage = data.get("usage")
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else 0
    return count if isinstance(count, int) and count > 0 else 0


def _with_refusals(answers: Answers, refused: Sequence[str | None]) -> Answers:
    """``answers`` with the reasons for which the server refused texts."""
    gone = np.array([why is not None for why in refused], dtype=bool)
    error = [why or said for why, said in zip(refused, answers.error, strict=True)]
    return replace(answers, error=error, label_mass=np.where(gone, np.nan, answers.label_mass))
