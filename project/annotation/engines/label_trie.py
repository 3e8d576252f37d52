"""How answers are read off a model: the tokens that tell the labels apart, as a trie. Pure.

A label is read at the first token that no other label shares, given the tokens before it: its probability is that of a reply
that begins with these tokens. Where one label goes on where another ends (``1`` and ``10``), the shorter one is read with the
end of the reply behind it. Label names that differ in their first token need one position of the model, all others one
position for each inner node of the trie.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from project.stats.types import Floats
from project.support.errors import AssayError


class Node(NamedTuple):
    """An inner node: after the reply's tokens ``path``, the probabilities of ``tokens`` as the next one are read."""

    path: tuple[int, ...]
    tokens: tuple[int, ...]


class _Steps(NamedTuple):
    """Columns of the reads whose product, times the sum of those in ``ends`` if any, is a label's probability."""

    product: tuple[int, ...]
    ends: tuple[int, ...]


class LabelTrie:
    """The reads that give the probability of every label. ``nodes``: the root first, every node after its parent."""

    def __init__(
        self, tails: Sequence[Sequence[int]], answers: Sequence[str], ends: Sequence[int]
    ) -> None:
        """``tails[k]``: tokens of answer k behind the prompt; ``ends``: tokens that can end a reply."""
        self.nodes: list[Node] = []
        self._steps: dict[int, _Steps] = {}
        self._tails, self._answers, self._ends, self._n_reads = (
            [tuple(tail) for tail in tails],
            answers,
            tuple(ends),
            0,
        )
        self._grow((), tuple(range(len(tails))), ())

    @property
    def n_reads(self) -> int:
        """How many probabilities are read for one text."""
        return self._n_reads

    @property
    def depth(self) -> int:
        """Tokens of a reply that stand before the last read."""
        return max(len(node.path) for node in self.nodes)

    def classes(self, reads: Floats) -> Floats:
        """Natural log probability of every label, ``(n, n_classes)``, from the reads ``(n, n_reads)``, node by node.

        A label one of whose reads is ``nan`` is ``nan``; ends of a reply that are ``nan`` count for nothing beside others that are not.
        """
        columns = []
        for k in range(len(self._tails)):
            steps = self._steps[k]
            total = reads[:, list(steps.product)].sum(axis=1)
            if steps.ends:
                ends = reads[:, list(steps.ends)]
                unknown = np.isnan(ends)
                total = total + np.where(
                    unknown.all(axis=1),
                    np.nan,
                    np.logaddexp.reduce(np.where(unknown, -np.inf, ends), axis=1),
                )
            columns.append(total)
        return np.stack(columns, axis=1)

    def most(self, reads: Floats, bounds: Floats) -> Floats:
        """Natural log of the most that every label's probability can be, ``(n, n_classes)``.

        A read that is ``nan`` is at most the one of ``bounds`` ``(n, n_nodes)`` that belongs to its node.
        """
        node = np.repeat(np.arange(len(self.nodes)), [len(node.tokens) for node in self.nodes])
        return self.classes(np.where(np.isnan(reads), bounds[:, node], reads))

    def _grow(
        self, path: tuple[int, ...], members: tuple[int, ...], product: tuple[int, ...]
    ) -> None:
        """The node at ``path`` that ``members`` share, and all below it; ``product``: the reads that lead here."""
        depth = len(path)
        ended = [k for k in members if len(self._tails[k]) == depth]
        if len(ended) > 1:
            raise AssayError(
                f"labels {self._answers[ended[0]].strip()!r} and {self._answers[ended[1]].strip()!r} are the same tokens to this model and cannot be "
                "told apart. Rename one of them, or use -P label_style=letter."
            )
        going_on = [k for k in members if len(self._tails[k]) > depth]
        children = tuple(dict.fromkeys(self._tails[k][depth] for k in going_on))
        ends = tuple(token for token in self._ends if token not in children) if ended else ()
        if ended and not ends:
            raise AssayError(
                f"label {self._answers[ended[0]].strip()!r} begins another label, and this model has no token that ends a reply. "
                "Rename one of them, or use -P label_style=letter."
            )
        first = self._n_reads
        self.nodes.append(Node(path, (*children, *ends)))
        self._n_reads += len(children) + len(ends)
        if ended:
            self._steps[ended[0]] = _Steps(
                product, tuple(range(first + len(children), self._n_reads))
            )
        for place, token in enumerate(children):
            below = tuple(k for k in going_on if self._tails[k][depth] == token)
            steps = (*product, first + place)
            if len(below) == 1:
                self._steps[below[0]] = _Steps(steps, ())
            else:
                self._grow((*path, token), below, steps)
