"""Reads the texts of one call in forward passes, and hands answers over as they come."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from project.annotation.engines.base import Answers, Arrived
from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.prompt_tokens import TokenizedPrompts
from project.annotation.engines.transformers.feeding import Transfer, chunks
from project.annotation.engines.transformers.packed import PackedModel
from project.annotation.engines.transformers.self_check import Readers
from project.stats.types import Floats

_MIN_TOKENS = 1024  # a GPU that cannot hold such a pass needs the user's decision
_UNPACKED_TEXTS = 64  # whole prompts that are read before their answers are handed over


@dataclass
class PassSize:
    """Most tokens of a forward pass. ``fixed``: the user has chosen them."""

    tokens: int
    fixed: bool

    def shrink(self) -> bool:
        """Halve it because the memory did not suffice; false where that is not allowed."""
        if self.fixed or self.tokens <= _MIN_TOKENS:
            return False
        self.tokens //= 2
        return True


class _Part(NamedTuple):
    """Texts that were tokenised together.

    ``start``: index of the first one in the call. ``reads``: ``(n, n_reads)``, filled pass by pass.
    """

    tokenized: TokenizedPrompts
    start: int
    reads: Floats

    def answers(self, trie: LabelTrie, indices: Sequence[int] | slice = slice(None)) -> Answers:
        """The answers to the texts at ``indices``; these must have been read."""
        return Answers.exact(
            trie.classes(self.reads[indices]),
            self.tokenized.truncated[indices],
            self.tokenized.lengths[indices],
        )


class _Queued(NamedTuple):
    """A forward pass whose reads are on their way."""

    part: _Part
    chunk: list[int]
    reads: Transfer


class Passes:
    """The forward passes of one call of the engine."""

    def __init__(
        self,
        readers: Readers,
        trie: LabelTrie,
        *,
        size: PassSize,
        max_length: float,
        padded: bool,
        queued: int,
        arrived: Arrived | None,
        shrunk: Callable[[int], None],
    ) -> None:
        """Nothing is read yet.

        Parameters
        ----------
        readers, trie
            The ways to read the model, and what is read.
        size
            Of a forward pass; halved where the GPU's memory does not suffice.
        max_length
            Most tokens of a prompt that can share its prefix with others.
        padded
            See :func:`project.annotation.engines.transformers.feeding.chunks`.
        queued
            Forward passes whose answers may be outstanding while the next ones are prepared.
        arrived
            Gets the answers of every pass, with positions in the call.
        shrunk
            Called with the tokens that did not fit.
        """
        self._readers = readers
        self._trie = trie
        self._size = size
        self._max_length = max_length
        self._padded = padded
        self._n_queued = queued
        self._arrived = arrived
        self._shrunk = shrunk
        self._parts: list[_Part] = []
        self._queue: deque[_Queued] = deque()

    def add(self, tokenized: TokenizedPrompts, start: int) -> None:
        """Read more texts; the last passes may still be outstanding when this returns."""
        n_texts = len(tokenized.suffixes)
        part = _Part(tokenized, start, np.empty((n_texts, self._trie.n_reads)))
        self._parts.append(part)
        alone = self._unpacked_indices(tokenized)
        for begin in range(0, len(alone), _UNPACKED_TEXTS):
            self._read_unpacked(part, alone[begin : begin + _UNPACKED_TEXTS])
        packed = self._readers.packed
        if packed is None:
            return
        indices = sorted(set(range(n_texts)) - set(alone))
        waiting = deque(self._chunks(tokenized, indices))
        while waiting:
            chunk = waiting.popleft()
            try:
                self._queue.append(self._begin(packed, part, chunk))
            except torch.cuda.OutOfMemoryError as error:
                self._make_room(error)
                left = [*chunk, *(index for other in waiting for index in other)]
                waiting = deque(self._chunks(tokenized, left))
            self._deliver(self._n_queued)

    def finish(self) -> Answers:
        """The answers to all texts, once all passes have ended."""
        self._deliver(0)
        return Answers.joined([part.answers(self._trie) for part in self._parts])

    @contextlib.contextmanager
    def handing_over(self) -> Iterator[None]:
        """Where reading ends with an error, or is interrupted, what was queued is handed over."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to report
                self._deliver(0)
            raise

    def _unpacked_indices(self, tokenized: TokenizedPrompts) -> list[int]:
        """Indices of texts that are read as whole prompts.

        All of them where packing is not exact, else those too long to share the prefix.
        """
        if self._readers.packed is None:
            return list(range(len(tokenized.suffixes)))
        lengths = tokenized.lengths + self._trie.depth
        return np.flatnonzero(lengths > self._max_length).tolist()

    def _chunks(self, tokenized: TokenizedPrompts, indices: Sequence[int]) -> Iterator[list[int]]:
        return chunks(
            [len(suffix) for suffix in tokenized.suffixes],
            indices,
            n_extra=len(self._trie.nodes) - 1,
            batch_tokens=self._size.tokens,
            padded=self._padded,
        )

    def _begin(self, packed: PackedModel, part: _Part, chunk: list[int]) -> _Queued:
        """Begin a forward pass over texts behind the shared prefix."""
        suffixes = [part.tokenized.suffixes[index] for index in chunk]
        reads = packed.reads(part.tokenized.prefix, suffixes, self._trie)
        return _Queued(part, chunk, Transfer(reads))

    def _read_unpacked(self, part: _Part, indices: list[int]) -> None:
        """Read whole prompts, and hand their answers over."""
        suffixes = [part.tokenized.suffixes[index] for index in indices]
        while True:
            try:
                reads = self._readers.unpacked.reads(part.tokenized.prefix, suffixes, self._trie)
                break
            except torch.cuda.OutOfMemoryError as error:
                self._make_room(error)
        self._store(part, indices, reads)

    def _make_room(self, error: torch.cuda.OutOfMemoryError) -> None:
        """Go on with smaller passes. Raises ``error`` where that is not allowed."""
        self._deliver(0)  # these are computed already
        before = self._size.tokens
        if not self._size.shrink():
            raise error
        torch.cuda.empty_cache()
        self._readers.unpacked.batch_tokens = self._size.tokens
        self._shrunk(before)

    def _deliver(self, n_left: int) -> None:
        """Wait for passes, the oldest first, until no more than ``n_left`` are outstanding."""
        while len(self._queue) > n_left:
            part, chunk, reads = self._queue.popleft()
            self._store(part, chunk, reads.wait())

    def _store(self, part: _Part, indices: list[int], reads: Floats) -> None:
        part.reads[indices] = reads
        if self._arrived:
            positions = [part.start + index for index in indices]
            self._arrived(positions, part.answers(self._trie, indices))
