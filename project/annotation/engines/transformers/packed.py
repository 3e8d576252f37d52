"""Reads many texts in one row behind a shared prefix, without padding in the linear layers.

The keys and values of the prefix are computed once. Linear layers treat every token by itself, so
texts must be kept apart in the attention alone: see
:mod:`project.annotation.engines.transformers.attention`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.transformers.attention import (
    Attention,
    BlockAttention,
    Layer,
    Row,
    SplitAttention,
    to_device,
)

_NAME = "packed_row"
_MAX_LOGITS = 2**28  # numbers in float32 that are normalised at the same time: 1 GiB
_PROBE_TOKENS = 64  # of each text with which passes are timed
_UNSUPPORTED = ("softcap", "sliding_window", "s_aux", "position_bias")
"""Extras of some models' attention, which the packed attention does not compute."""


class _Prefix(NamedTuple):
    """Tokens of the prefix, and its keys and values by the index of the layer."""

    tokens: tuple[int, ...]
    layers: dict[int, Layer]


class PackedModel:
    """A causal language model with its attention replaced.

    Whether its answers are still exact must be checked by the caller.
    """

    def __init__(self, model: Any, *, split: bool) -> None:
        """``split``: attention in two parts, only on a CPU; else in blocks of texts.

        Raises NotImplementedError for a model whose attention cannot be replaced.
        """
        self._model = model
        self._device = model.device
        self._attention: type[Attention] = SplitAttention if split else BlockAttention
        self._prefix = _Prefix((), {})
        self._nodes = _NO_NODES
        self._nodes_of: LabelTrie | None = None
        self._unused_mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=self._device)
        model.set_attn_implementation(_NAME)
        if model.config.get_text_config()._attn_implementation != _NAME:
            raise NotImplementedError(f"{type(model).__name__} has an attention of its own")

    def logs(
        self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], trie: LabelTrie
    ) -> torch.Tensor:
        """Natural log probabilities of the next token, ``(n, n_nodes, vocabulary)``.

        Parameters
        ----------
        prefix, suffixes
            Text i is ``prefix + suffixes[i]``.
        trie
            The next token is read behind every text, and behind every text and inner node.
        """
        return self._behind(prefix, suffixes, trie).float().log_softmax(-1)

    @torch.inference_mode()
    def reads(
        self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], trie: LabelTrie
    ) -> torch.Tensor:
        """The reads of ``trie``: natural log probabilities ``(n, n_reads)`` on the model's device.

        The arguments are those of :meth:`logs`. On a GPU this returns before they are computed.
        """
        logits = self._behind(prefix, suffixes, trie)
        node, token = (to_device(index, self._device) for index in _read_indices(trie))
        # In float32, and normalised, the logits of a whole row of texts may not fit the memory.
        parts = logits.split(max(1, _MAX_LOGITS // logits[0].numel()))
        return torch.cat([part.float().log_softmax(-1)[:, node, token] for part in parts])

    def seconds(self, n_tokens: int) -> float:
        """What a forward pass over ``n_tokens`` takes, in texts of 64 tokens without a prefix."""
        texts = [list(range(_PROBE_TOKENS))] * max(1, n_tokens // _PROBE_TOKENS)
        trie = LabelTrie([(0,), (1,)], "ab", ())
        seconds = 0.0
        for _ in range(2):  # the first one also pays for memory and the choice of kernels
            began = time.perf_counter()
            self.reads((), texts, trie).cpu()  # which waits for the GPU
            seconds = time.perf_counter() - began
        return seconds

    @torch.inference_mode()
    def _behind(
        self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], trie: LabelTrie
    ) -> torch.Tensor:
        """Logits of the next token, ``(n, n_nodes, vocabulary)``; see :meth:`logs`."""
        if prefix and self._prefix.tokens != tuple(prefix):
            # One pass over the prefix alone stores its keys and values.
            layers: dict[int, Layer] = {}
            last = torch.tensor([len(prefix) - 1])
            self._logits([prefix], _NO_NODES, 0, layers, store=True, positions=last)
            self._prefix = _Prefix(tuple(prefix), layers)
        # The inner nodes follow their text. What is read: the last token of the text, whose next
        # token is the first of the reply, and every inner node.
        nodes = self._inner_nodes(trie)
        n_inner = len(nodes.tokens)
        sizes = torch.tensor([len(suffix) + n_inner for suffix in suffixes])
        last = sizes.cumsum(0) - n_inner - 1
        logits = self._logits(
            suffixes,
            nodes,
            len(prefix),
            self._prefix.layers if prefix else {},
            store=False,
            positions=(last[:, None] + torch.arange(n_inner + 1)).flatten(),
        )
        return logits.reshape(len(suffixes), len(trie.nodes), -1)

    def _inner_nodes(self, trie: LabelTrie) -> _InnerNodes:
        """The inner nodes below the root of ``trie``, kept while rows are read under it."""
        if self._nodes_of is not trie:
            self._nodes = _InnerNodes.of([node.path for node in trie.nodes[1:]])
            self._nodes_of = trie
        return self._nodes

    def _logits(
        self,
        texts: Sequence[Sequence[int]],
        nodes: _InnerNodes,
        start: int,
        layers: dict[int, Layer],
        *,
        store: bool,
        positions: torch.Tensor,
    ) -> torch.Tensor:
        """Logits at ``positions`` of a row of ``texts``, ``(n_positions, vocabulary)``.

        Parameters
        ----------
        texts
            Token ids of every text behind the prefix.
        nodes
            The trie's inner nodes, whose tokens follow every text.
        start
            Number of tokens of the prefix.
        layers
            Keys and values of the prefix by the index of the layer.
        store
            Whether to write the keys and values of this row to ``layers`` instead of reading them.
        positions
            Indices of tokens in the row.
        """
        ids = [token for text in texts for token in (*text, *nodes.tokens)]
        # Counted behind the prefix. That of a node is the position of its last token in the reply;
        # in the row, siblings with the same position follow one another.
        places = [
            place
            for text in texts
            for place in (*range(len(text)), *(len(text) + depth for depth in nodes.depths))
        ]
        row = Row(
            sizes=[len(text) + len(nodes.tokens) for text in texts],
            sees=nodes.sees,
            start=start,
            device=self._device,
            dtype=self._model.dtype,
        )
        with _replaced(_Replacement(self._attention(row), layers, store)):
            output = self._model(
                input_ids=to_device(torch.tensor([ids]), self._device),
                position_ids=to_device(start + torch.tensor([places]), self._device),
                use_cache=False,
                # transformers takes a mask with four dimensions as it is, and the replaced
                # attention does not look at it.
                attention_mask=self._unused_mask,
                logits_to_keep=to_device(positions, self._device),
            )
        logits: torch.Tensor = output.logits[0]
        return logits


class _InnerNodes(NamedTuple):
    """The inner nodes below the root of a trie.

    Attributes
    ----------
    tokens, depths
        The last token of each node's path, and how many tokens of the path stand before it.
    sees
        ``(n_inner, n_inner)``: whether node j is node i or an ancestor of it.
    """

    tokens: list[int]
    depths: list[int]
    sees: torch.Tensor

    @classmethod
    def of(cls, paths: Sequence[tuple[int, ...]]) -> _InnerNodes:
        """The nodes at ``paths``."""
        sees = [[path[: len(other)] == other for other in paths] for path in paths]
        return cls(
            tokens=[path[-1] for path in paths],
            depths=[len(path) - 1 for path in paths],
            sees=torch.tensor(sees, dtype=torch.bool).reshape(len(paths), len(paths)),
        )


_NO_NODES = _InnerNodes.of([])


def _read_indices(trie: LabelTrie) -> tuple[torch.Tensor, torch.Tensor]:
    """Index of the node and token id of every read of ``trie``, each ``(n_reads,)``."""
    pairs = [(index, token) for index, node in enumerate(trie.nodes) for token in node.tokens]
    node, token = torch.tensor(pairs).unbind(1)
    return node, token


class _Replacement(NamedTuple):
    """The attention of a forward pass, and the keys and values of its prefix.

    ``store``: write the keys and values of the row to ``layers`` instead.
    """

    attention: Attention
    layers: dict[int, Layer]
    store: bool


_CURRENT: ContextVar[_Replacement | None] = ContextVar("replaced_attention", default=None)


@contextlib.contextmanager
def _replaced(replacement: _Replacement) -> Iterator[None]:
    """Inside, models with our attention function use ``replacement``."""
    token = _CURRENT.set(replacement)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """An attention function with the signature of transformers.

    Returns ``(1, n_tokens, n_heads, head_size)``. Outside ``_replaced`` it is the usual one.
    Raises NotImplementedError for extras that it does not compute.
    """
    replacement = _CURRENT.get()
    if replacement is None:
        return sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask=attention_mask,
            scaling=scaling,
            **others,
        )
    if any(others.get(name) is not None for name in _UNSUPPORTED):
        raise NotImplementedError(f"attention with {', '.join(_UNSUPPORTED)}")
    attention, layers, store = replacement
    if store:
        layers[module.layer_idx] = (key.contiguous(), value.contiguous())
    prefix = None if store else layers.get(module.layer_idx)
    attended = attention(query, key, value, prefix=prefix, scale=scaling)
    return attended.transpose(1, 2), None


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, sdpa_mask)
