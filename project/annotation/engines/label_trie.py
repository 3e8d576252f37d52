"""How answers are read off a model: the tokens that tell the labels apart, as a trie.

A label is read up to the first token that no other label shares: its probability is that of a reply
that begins with these tokens. If one label begins another (``1`` and ``10``), the shorter one is
read with the end of the reply behind it. Labels that differ in their first token, such as ``yes``
and ``no``, need one position of the model. Others, such as ``New York`` and ``New Delhi``, need one
position for each inner node of the trie.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from project.stats.types import Floats
from project.support.errors import AssayError


class Node(NamedTuple):
    """An inner node: after the reply's tokens ``path``, one of ``tokens`` may come next."""

    path: tuple[int, ...]
    tokens: tuple[int, ...]


class _Columns(NamedTuple):
    """Columns of the reads that give a label's probability.

    It is the product over ``product``, times the sum over ``ends`` if there are any.
    """

    product: tuple[int, ...]
    ends: tuple[int, ...]


class LabelTrie:
    """The reads that give the probability of every label.

    A read is the log probability of one token at one node. ``nodes``: the root first, every node
    after its parent.
    """

    def __init__(
        self, answer_tokens: Sequence[Sequence[int]], answers: Sequence[str], ends: Sequence[int]
    ) -> None:
        """Build the trie.

        Parameters
        ----------
        answer_tokens
            Tokens of each answer.
        answers
            The answers as text, for errors.
        ends
            Tokens that can end a reply.

        Raises
        ------
        AssayError
            If two labels cannot be told apart.
        """
        self.nodes: list[Node] = []
        self._columns: dict[int, _Columns] = {}
        self._answer_tokens = [tuple(tokens) for tokens in answer_tokens]
        self._answers = answers
        self._ends = tuple(ends)
        self._n_reads = 0
        # From the root, which all labels share; the nodes below it follow by recursion.
        self._grow((), tuple(range(len(answer_tokens))), ())

    @property
    def n_reads(self) -> int:
        """Number of probabilities that are read for one text."""
        return self._n_reads

    @property
    def depth(self) -> int:
        """Most tokens of a reply that the model must read before a label is told apart."""
        return max(len(node.path) for node in self.nodes)

    def classes(self, reads: Floats) -> Floats:
        """Natural log probability of every label, ``(n, n_classes)``, before normalising.

        ``reads``: ``(n, n_reads)``, node by node. A label is ``nan`` where one of its reads is
        ``nan``. Ends of a reply that are ``nan`` count for nothing beside others that are not.
        """
        labels = range(len(self._answer_tokens))
        return np.stack([self._label(reads, label) for label in labels], axis=1)

    def _label(self, reads: Floats, label: int) -> Floats:
        """Natural log probability of one label, given by its index, ``(n,)``."""
        columns = self._columns[label]
        total: Floats = reads[:, list(columns.product)].sum(axis=1)
        if columns.ends:
            ends = reads[:, list(columns.ends)]
            is_unknown = np.isnan(ends)
            log_sum = np.logaddexp.reduce(np.where(is_unknown, -np.inf, ends), axis=1)
            total = total + np.where(is_unknown.all(axis=1), np.nan, log_sum)
        return total

    def upper_bounds(self, reads: Floats, bounds: Floats) -> Floats:
        """Natural log of the most that every label's probability can be, ``(n, n_classes)``.

        ``bounds``, ``(n, n_nodes)``: the most that a read of the node can be where it is ``nan``.
        """
        node = np.repeat(np.arange(len(self.nodes)), [len(node.tokens) for node in self.nodes])
        return self.classes(np.where(np.isnan(reads), bounds[:, node], reads))

    def _grow(
        self, path: tuple[int, ...], members: tuple[int, ...], product: tuple[int, ...]
    ) -> None:
        """Add the node at ``path`` and all nodes below it.

        ``members``: indices of the labels that begin with ``path``. ``product``: columns of the
        reads from the root to this node.
        """
        depth = len(path)
        ended = [label for label in members if len(self._answer_tokens[label]) == depth]
        if len(ended) > 1:
            first, second = (self._answers[label].strip() for label in ended[:2])
            raise AssayError(
                f"labels {first!r} and {second!r} are the same tokens to this model and cannot be "
                "told apart. Rename one of them, or set label_style=letter."
            )
        longer = [label for label in members if len(self._answer_tokens[label]) > depth]
        children = tuple(dict.fromkeys(self._answer_tokens[label][depth] for label in longer))
        # A label that ends here is told from the longer ones by how the reply goes on.
        ends = tuple(token for token in self._ends if token not in children) if ended else ()
        if ended and not ends:
            raise AssayError(
                f"label {self._answers[ended[0]].strip()!r} begins another label, and this model "
                "has no token that ends a reply. Rename one of them, or set label_style=letter."
            )
        first_column = self._n_reads
        self.nodes.append(Node(path, (*children, *ends)))
        self._n_reads += len(children) + len(ends)
        if ended:
            end_columns = tuple(range(first_column + len(children), self._n_reads))
            self._columns[ended[0]] = _Columns(product, end_columns)
        for column, token in enumerate(children, start=first_column):
            below = tuple(label for label in longer if self._answer_tokens[label][depth] == token)
            if len(below) == 1:  # no other label shares this token
                self._columns[below[0]] = _Columns((*product, column), ())
            else:
                self._grow((*path, token), below, (*product, column))
