"""Reads labels from a server with prompts as token ids: the log probabilities of label tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from project.annotation.engines.base import Answers
from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.openai.modes import (
    CONSTRAINED,
    EXACT,
    LISTED,
    MAX_NAMED_TOKENS,
    ReadoutMode,
)
from project.annotation.engines.openai.pace import gather_results
from project.annotation.engines.openai.parsing import (
    all_log_probabilities_of,
    choices,
    listed_tokens,
    log_probabilities_of,
)
from project.annotation.engines.openai.probe import COMPLETIONS, Probe
from project.annotation.engines.openai.readouts import censored_answers, without_mass
from project.annotation.engines.prompt_tokens import TokenizedPrompts
from project.support.errors import Incomplete


class TokenRead(NamedTuple):
    """What one request reads for each of its prompts.

    The log probabilities of ``tokens`` after the reply ``path``. They fill the reads of the label
    trie from ``column`` on, for the node with index ``node``.
    """

    node: int
    column: int
    path: tuple[int, ...]
    tokens: tuple[int, ...]


class _TokenValues(NamedTuple):
    """Log probabilities of a read's tokens, and the bound for those that are not listed."""

    log_probabilities: list[float]
    log_bound: float


def token_reads(trie: LabelTrie, kind: str) -> Iterator[TokenRead]:
    """The reads that each text needs in a readout mode of this kind.

    A constrained reply at a node with one token has that token with probability 1, so there is
    nothing to read.
    """
    column = 0
    for index, node in enumerate(trie.nodes):
        width = MAX_NAMED_TOKENS if kind == EXACT else len(node.tokens)
        for start in range(0, len(node.tokens), width):
            if kind != CONSTRAINED or len(node.tokens) > 1:
                tokens = node.tokens[start : start + width]
                yield TokenRead(index, column + start, node.path, tokens)
        column += len(node.tokens)


async def ask_tokens(
    probe: Probe, mode: ReadoutMode, trie: LabelTrie, fitted: TokenizedPrompts
) -> Answers:
    """Answers to prompts as token ids.

    Parameters
    ----------
    probe
        The server.
    mode
        An exact, constrained or listed mode that the server supports.
    trie
        Where the labels are told apart.
    fitted
        The prompts.

    Raises
    ------
    Incomplete
        If a request fails. Its ``partial`` holds the rows with all their reads, and their Answers.
    """
    prompts = [[*fitted.prefix, *suffix] for suffix in fitted.suffixes]
    reads = list(token_reads(trie, mode.kind))
    readout = _Readout(mode, trie, fitted, n_reads=len(reads))

    async def ask(start: int, read: TokenRead) -> None:
        batch = [[*ids, *read.path] for ids in prompts[start : start + probe.batch_size]]

        def parse(data: Any) -> list[_TokenValues]:
            return [
                _token_values(mode, choice, read, probe) for choice in choices(data, len(batch))
            ]

        body = {
            "model": probe.model,
            "prompt": batch if probe.batch_size > 1 else batch[0],
            **mode.read_fields(read.tokens),
        }
        readout.record(start, read, await probe.client.post(COMPLETIONS, body, parse))

    try:
        await gather_results(
            ask(start, read) for start in range(0, len(prompts), probe.batch_size) for read in reads
        )
    except Incomplete as error:
        error.partial = readout.partial()
        raise
    return readout.answers()


def _token_values(
    mode: ReadoutMode, choice: dict[str, Any], read: TokenRead, probe: Probe
) -> _TokenValues:
    """The log probabilities in one choice of a response for the tokens of a read."""
    if mode.kind == LISTED:
        listed = listed_tokens(choice, mode.n_listed)
        values = log_probabilities_of(listed, read.tokens, probe.token_of_text)
        return _TokenValues(values, listed[-1].log_probability)
    values = all_log_probabilities_of(
        listed_tokens(choice),
        read.tokens,
        probe.token_of_text,
        constrained=mode.kind == CONSTRAINED,
    )
    return _TokenValues(values, math.nan)


class _Readout:
    """Log probabilities read so far, for all prompts."""

    def __init__(
        self, mode: ReadoutMode, trie: LabelTrie, fitted: TokenizedPrompts, *, n_reads: int
    ) -> None:
        n = len(fitted.suffixes)
        self._mode = mode
        self._trie = trie
        self._fitted = fitted
        self._n_reads = n_reads
        # Reads that no request fills are those of constrained replies: log probability 0.
        self._reads = np.zeros((n, trie.n_reads))
        self._bounds = np.full((n, len(trie.nodes)), np.nan)
        self._n_missing = np.full(n, n_reads)

    def record(self, start: int, read: TokenRead, values: Sequence[_TokenValues]) -> None:
        """Store what a request read.

        Parameters
        ----------
        start
            Index of the request's first prompt; the others follow it.
        read
            What the request reads for each prompt.
        values
            The response, one entry for each prompt.
        """
        columns = slice(read.column, read.column + len(read.tokens))
        for row, (log_probabilities, log_bound) in enumerate(values, start):
            self._reads[row, columns] = log_probabilities
            self._bounds[row, read.node] = log_bound
        self._n_missing[start : start + len(values)] -= 1

    def answers(self) -> Answers:
        """The answers to all prompts."""
        classes = self._trie.classes(self._reads)
        truncated = self._fitted.truncated
        lengths = self._fitted.lengths
        if self._mode.kind == LISTED:
            answers = censored_answers(
                classes,
                self._trie.upper_bounds(self._reads, self._bounds),
                n_listed=self._mode.n_listed,
                truncated=truncated,
                prompt_tokens=lengths,
            )
        else:
            answers = Answers.exact(classes, truncated, lengths)
        if self._mode.kind == CONSTRAINED:
            answers = without_mass(answers)
        return replace(answers, requests=self._n_reads, generated=self._n_reads)

    def partial(self) -> tuple[list[int], Answers] | None:
        """The rows with all their reads, and their answers; None if there are none."""
        rows: list[int] = np.flatnonzero(self._n_missing == 0).tolist()
        return (rows, self.answers().take(rows)) if rows else None
