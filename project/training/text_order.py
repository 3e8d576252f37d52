"""The random order of the training texts, which a checkpoint can hold in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from project.stats.types import Codes


class TextOrder:
    """Mini-batches in a new random order in every epoch."""

    def __init__(self, seed: int) -> None:
        """``seed`` decides all orders."""
        self._random = np.random.default_rng([seed, 0])
        self._drawn: Codes | None = None
        self._state = self._random.bit_generator.state

    @property
    def state(self) -> Any:
        """What a checkpoint holds, ready for JSON.

        In the middle of an epoch it is the state before the epoch's order was drawn, so that a
        continued training draws the same order again.
        """
        return self._state

    @state.setter
    def state(self, value: Any) -> None:
        self._random.bit_generator.state = value
        self._state = value
        self._drawn = None

    def batch(self, step: int, n_texts: int, batch_size: int) -> Codes:
        """Positions of the texts of one mini-batch; the last one of an epoch may be smaller.

        Parameters
        ----------
        step
            Number of the step in its epoch, from 0.
        n_texts
            Number of training texts.
        batch_size
            Texts of a mini-batch.
        """
        if self._drawn is None:
            self._drawn = self._random.permutation(n_texts)
        order = self._drawn
        end = (step + 1) * batch_size
        if end >= n_texts:
            self._drawn = None
            self._state = self._random.bit_generator.state
        return order[step * batch_size : end]


class TextOrders:
    """The orders of all seeds; a checkpoint holds them as one."""

    def __init__(self, seeds: Sequence[int]) -> None:
        """Each seed decides its own orders."""
        self.of_seeds = [TextOrder(seed) for seed in seeds]

    @property
    def state(self) -> Any:
        """What a checkpoint holds, ready for JSON."""
        return [order.state for order in self.of_seeds]

    @state.setter
    def state(self, values: Any) -> None:
        for order, value in zip(self.of_seeds, values, strict=True):
            order.state = value
