"""The readout of prompts as token ids: the log probabilities of label tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from project.annotation.engines.base import Answers
from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.openai.choices import choices
from project.annotation.engines.openai.modes import (
    CONSTRAINED,
    EXACT,
    LISTED,
    MAX_NAMED_TOKENS,
    ReadoutMode,
)
from project.annotation.engines.openai.parsing import (
    all_log_probabilities_of,
    listed_tokens,
    log_probabilities_of,
)
from project.annotation.engines.openai.probe import Probe
from project.annotation.engines.openai.questions import Question, lengths_of, truncated_of
from project.annotation.engines.openai.readouts import censored_answers, without_mass
from project.annotation.engines.openai.trials import COMPLETIONS


class TokenRead(NamedTuple):
    """What one request reads for each of its prompts.

    The log probabilities of ``tokens`` after the reply ``path``. They fill the reads of the label
    trie from ``column`` on, for the node with index ``node``.
    """

    node: int
    column: int
    path: tuple[int, ...]
    tokens: tuple[int, ...]


class TokenValues(NamedTuple):
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


class TokenReadout:
    """Reads the log probabilities of label tokens, with prompts as token ids.

    The attributes are those of :class:`project.annotation.engines.openai.questions.Readout`.
    """

    endpoint = COMPLETIONS
    n_samples = 0

    def __init__(self, probe: Probe, mode: ReadoutMode, trie: LabelTrie, n_classes: int) -> None:
        """Set what is read.

        Parameters
        ----------
        probe
            The server.
        mode
            An exact, constrained or listed mode that the server supports.
        trie, n_classes
            Where the labels are told apart, and their number.
        """
        self._reads = list(token_reads(trie, mode.kind))
        self._probe = probe
        self._mode = mode
        self._trie = trie
        self.batch_size = probe.batch_size
        self.n_parts = len(self._reads)
        self.n_generated = len(self._reads)
        self.n_classes = n_classes

    def body(self, prompts: Sequence[Any], part: int) -> dict[str, Any]:
        """Fields of the request for one read of several prompts."""
        read = self._reads[part]
        batch = [[*ids, *read.path] for ids in prompts]
        return {
            "model": self._probe.model,
            "prompt": batch if self.batch_size > 1 else batch[0],
            **self._mode.read_fields(read.tokens),
        }

    def parse(self, data: Any, n: int, part: int) -> Sequence[TokenValues]:
        """The log probabilities of one read, for each of the ``n`` prompts."""
        return [self._values(choice, self._reads[part]) for choice in choices(data, n)]

    def _values(self, choice: dict[str, Any], read: TokenRead) -> TokenValues:
        token_of_text = self._probe.token_of_text
        if self._mode.kind == LISTED:
            listed = listed_tokens(choice, self._mode.n_listed)
            values = log_probabilities_of(listed, read.tokens, token_of_text)
            return TokenValues(values, listed[-1].log_probability)
        values = all_log_probabilities_of(
            listed_tokens(choice),
            read.tokens,
            token_of_text,
            constrained=self._mode.kind == CONSTRAINED,
        )
        return TokenValues(values, math.nan)

    def answers(
        self, questions: Sequence[Question], values: Sequence[Sequence[TokenValues]]
    ) -> Answers:
        """Answers from all reads of every text."""
        n = len(questions)
        # Reads that no request fills are those of constrained replies: log probability 0.
        reads = np.zeros((n, self._trie.n_reads))
        bounds = np.full((n, len(self._trie.nodes)), np.nan)
        for part, read in enumerate(self._reads):
            columns = slice(read.column, read.column + len(read.tokens))
            reads[:, columns] = [of_text[part].log_probabilities for of_text in values]
            bounds[:, read.node] = [of_text[part].log_bound for of_text in values]
        classes = self._trie.classes(reads)
        truncated = truncated_of(questions)
        lengths = lengths_of(questions)
        if self._mode.kind == LISTED:
            answers = censored_answers(
                classes,
                self._trie.upper_bounds(reads, bounds),
                n_listed=self._mode.n_listed,
                truncated=truncated,
                prompt_tokens=lengths,
            )
        else:
            answers = Answers.exact(classes, truncated, lengths)
        if self._mode.kind == CONSTRAINED:
            answers = without_mass(answers)
        return replace(answers, requests=self.n_parts, generated=self.n_generated)
