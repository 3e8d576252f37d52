"""Reads many texts in one row behind a shared prefix, without padding in the linear layers.

The keys and values of the prefix are computed once. Linear layers treat every token by itself, so
texts must be kept apart in the attention alone: see
:mod:`project.annotation.engines.transformers.attention`.
"""

from __future__ import annotations

import contextlib
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
    Layer,
    MaskedAttention,
    Row,
    SplitAttention,
)

_NAME = "packed_row"
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
        """``split``: attention in two parts, only on a CPU; else behind a mask over the row.

        Raises NotImplementedError for a model whose attention cannot be replaced.
        """
        self._model = model
        self._device = model.device
        self._attention: type[Attention] = SplitAttention if split else MaskedAttention
        self._prefix = _Prefix((), {})
        model.set_attn_implementation(_NAME)
        if model.config.get_text_config()._attn_implementation != _NAME:
            raise NotImplementedError(f"{type(model).__name__} has an attention of its own")

    @torch.inference_mode()
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
        if prefix and self._prefix.tokens != tuple(prefix):
            # One pass over the prefix alone stores its keys and values.
            layers: dict[int, Layer] = {}
            last = torch.tensor([len(prefix) - 1])
            self._logits([prefix], (), 0, layers, store=True, positions=last)
            self._prefix = _Prefix(tuple(prefix), layers)
        # The inner nodes follow their text. What is read: the last token of the text, whose next
        # token is the first of the reply, and every inner node.
        paths = [node.path for node in trie.nodes[1:]]
        sizes = torch.tensor([len(suffix) + len(paths) for suffix in suffixes])
        last = sizes.cumsum(0) - len(paths) - 1
        logits = self._logits(
            suffixes,
            paths,
            len(prefix),
            self._prefix.layers if prefix else {},
            store=False,
            positions=(last[:, None] + torch.arange(len(paths) + 1)).flatten(),
        )
        return logits.float().log_softmax(-1).reshape(len(suffixes), len(trie.nodes), -1)

    def _logits(
        self,
        texts: Sequence[Sequence[int]],
        paths: Sequence[Sequence[int]],
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
        paths
            Paths of the trie's inner nodes, whose tokens follow every text.
        start
            Number of tokens of the prefix.
        layers
            Keys and values of the prefix by the index of the layer.
        store
            Whether to write the keys and values of this row to ``layers`` instead of reading them.
        positions
            Indices of tokens in the row.
        """
        node_tokens = [path[-1] for path in paths]
        ids = [token for text in texts for token in (*text, *node_tokens)]
        position_ids = start + _positions(texts, paths)
        row = Row(
            sizes=[len(text) + len(paths) for text in texts],
            sees=_ancestors(paths),
            start=start,
            device=self._device,
            dtype=self._model.dtype,
        )
        with _replaced(_Replacement(self._attention(row), layers, store)):
            output = self._model(
                input_ids=torch.tensor([ids], device=self._device),
                position_ids=position_ids[None].to(self._device),
                use_cache=False,
                # transformers takes a mask with four dimensions as it is, and the replaced
                # attention does not look at it.
                attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=self._device),
                logits_to_keep=positions.to(self._device),
            )
        logits: torch.Tensor = output.logits[0]
        return logits


def _positions(texts: Sequence[Sequence[int]], paths: Sequence[Sequence[int]]) -> torch.Tensor:
    """Position of every token of a row behind the prefix, ``(n_tokens,)``.

    That of a node is the position of its last token in the reply; in the row, siblings with the
    same position follow one another.
    """
    depths = torch.tensor([len(path) - 1 for path in paths], dtype=torch.long)
    by_text = [torch.cat([torch.arange(len(text)), len(text) + depths]) for text in texts]
    return torch.cat(by_text)


def _ancestors(paths: Sequence[Sequence[int]]) -> torch.Tensor:
    """Whether node j is node i or an ancestor of it, ``(n_inner, n_inner)``."""
    return torch.tensor(
        [[tuple(path[: len(other)]) == tuple(other) for other in paths] for path in paths],
        dtype=torch.bool,
    ).reshape(len(paths), len(paths))


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
