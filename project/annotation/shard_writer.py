"""Writes the answers to one shard as they come, and counts what they took."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np

from project.annotation.cache import AnswerCache
from project.annotation.engines.base import Answers


class ShardWriter:
    """Writes the answers to a shard as they come. Threads of the engine call it.

    Attributes
    ----------
    seconds
        What the answers took; annotators that run side by side share the machine, and each counts
        a part of the time.
    n_broken
        Answers that are not numbers.
    prompt_tokens, generated_tokens
        Tokens of all requests of the answers that are written.
    """

    def __init__(
        self, cache: AnswerCache, keys: Sequence[str], label_set: Sequence[str], n_parallel: int
    ) -> None:
        """Start the clock.

        Parameters
        ----------
        cache, label_set
            Where the answers are written, and the classes in their order.
        keys
            Keys of the items of the shard, in the order of their positions.
        n_parallel
            How many annotators share the machine.
        """
        self.seconds = 0.0
        self.n_broken = 0
        self.prompt_tokens = 0
        self.generated_tokens = 0
        self._cache = cache
        self._keys = keys
        self._label_set = label_set
        self._n_parallel = n_parallel
        self._unwritten = set(range(len(keys)))
        self._began = time.perf_counter()
        self._lock = threading.Lock()

    def write(self, positions: Sequence[int], answers: Answers) -> None:
        """Write the answers to the items at ``positions``."""
        with self._lock:
            now = time.perf_counter()
            seconds = (now - self._began) / self._n_parallel
            self._began = now
            keys = [self._keys[position] for position in positions]
            self.n_broken += self._cache.add(keys, answers, self._label_set, seconds)
            self._unwritten.difference_update(positions)
            self.seconds += seconds
            self.prompt_tokens += int(answers.prompt_tokens.sum()) * answers.requests
            self.generated_tokens += int(np.broadcast_to(answers.generated, len(keys)).sum())

    def unwritten(self) -> list[int]:
        """Positions of the items without an answer."""
        with self._lock:
            return sorted(self._unwritten)

    def write_rest(self, answers: Answers, positions: Sequence[int] | None = None) -> None:
        """Write those of ``answers`` that are not written yet.

        ``positions``: the items that they belong to; all items by default.
        """
        if positions is None:
            positions = range(len(self._keys))
        rest = [row for row, position in enumerate(positions) if position in self._unwritten]
        if rest:
            self.write([positions[row] for row in rest], answers.take(rest))
