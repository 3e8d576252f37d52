"""Attention of several texts in one row behind a shared prefix: no text attends to another.

``MaskedAttention`` puts a mask over the whole row, for a GPU. On a CPU a mask more than doubles the
time of torch's kernels, so there ``SplitAttention`` computes two parts: all tokens over the prefix,
where nothing is masked, and every text over itself, padded to the longest text of the row. It
merges them exactly by their log-sum-exps, as in Dao et al. (2022), *FlashAttention*, section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

Layer = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of one layer, each ``(1, n_key_value_heads, n_tokens, head_size)``."""

# Unlike torch's public function this one also returns the log-sum-exp.
_flash: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


@dataclass(frozen=True)
class Row:
    """The layout of a row of texts.

    Attributes
    ----------
    sizes
        Tokens of each text, the inner nodes of the label trie included; these come last.
    sees
        ``(n_inner, n_inner)``: whether an inner node (row) attends to another one (column).
    start
        Tokens of the prefix.
    device, dtype
        Those of the model.
    """

    sizes: Sequence[int]
    sees: torch.Tensor
    start: int
    device: torch.device
    dtype: torch.dtype


class Attention(Protocol):
    """Attention over one row, made for its layout."""

    def __init__(self, row: Row) -> None: ...

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        prefix: Layer | None,
        scale: float | None,
    ) -> torch.Tensor:
        """The attended values ``(1, n_heads, n_tokens, head_size)``.

        Parameters
        ----------
        query
            ``(1, n_heads, n_tokens, head_size)``.
        key, value
            ``(1, n_key_value_heads, n_tokens, head_size)`` of the row.
        prefix
            Keys and values of the prefix, None without one.
        scale
            Factor of the scores; None for 1 / sqrt(head_size).
        """
        ...


class MaskedAttention:
    """Attention of a row behind one mask over the prefix and the row."""

    def __init__(self, row: Row) -> None:
        sizes = torch.tensor(row.sizes)
        text = torch.repeat_interleave(torch.arange(len(sizes)), sizes)  # of every token
        mask = (text[:, None] == text[None]).tril_()
        # Inner nodes are alternative replies: one attends to its ancestors, not to its siblings.
        if n_inner := len(row.sees):
            for end in sizes.cumsum(0).tolist():
                mask[end - n_inner : end, end - n_inner : end] = row.sees
        prefix = torch.ones(len(text), row.start, dtype=torch.bool)
        self._mask = torch.cat([prefix, mask], dim=1)[None, None].to(row.device)

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        prefix: Layer | None,
        scale: float | None,
    ) -> torch.Tensor:
        """See :class:`Attention`."""
        if prefix is not None:
            key = torch.cat([prefix[0], key], dim=2)
            value = torch.cat([prefix[1], value], dim=2)
        # With grouped-query attention, several heads of the query share a head of the keys.
        groups = query.shape[1] // key.shape[1]
        return torch.nn.functional.scaled_dot_product_attention(
            query,
            key.repeat_interleave(groups, dim=1),
            value.repeat_interleave(groups, dim=1),
            attn_mask=self._mask,
            scale=scale,
        )


class SplitAttention:
    """Attention of a row in two parts, merged: over the prefix, and of every text over itself."""

    def __init__(self, row: Row) -> None:
        n_texts = len(row.sizes)
        width = max(row.sizes)
        sizes = torch.tensor(row.sizes, device=row.device)
        inside = torch.arange(width, device=row.device)[None] < sizes[:, None]
        self._shape = (n_texts, width)
        # Position of every token in the padded texts, (n_tokens,), and the other way round, where
        # padding repeats the first token.
        self._padded_position = inside.flatten().nonzero()[:, 0]
        self._token = torch.zeros(n_texts * width, dtype=torch.long, device=row.device)
        self._token[self._padded_position] = torch.arange(
            len(self._padded_position), device=row.device
        )
        self._bias = self._node_bias(row, width) if len(row.sees) else None

    @staticmethod
    def _node_bias(row: Row, width: int) -> torch.Tensor:
        """Added to the attention scores ``(n_texts, 1, width, width)``: -inf where masked."""
        n_inner = len(row.sees)
        mask = torch.ones(len(row.sizes), width, width, dtype=torch.bool).tril_()
        for text, end in zip(mask, row.sizes, strict=True):
            text[end - n_inner : end, end - n_inner : end] = row.sees
        bias = torch.zeros(mask.shape, dtype=row.dtype).masked_fill_(~mask, -torch.inf)
        return bias[:, None].to(row.device)

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        prefix: Layer | None,
        scale: float | None,
    ) -> torch.Tensor:
        """See :class:`Attention`."""
        _, heads, _, size = query.shape
        groups = heads // key.shape[1]
        # Part 1: every text over itself, in a padded batch.
        own, log_own = _flash(
            self._padded(query),
            self._padded(key).repeat_interleave(groups, dim=1),
            self._padded(value).repeat_interleave(groups, dim=1),
            is_causal=self._bias is None,
            attn_mask=self._bias,
            scale=scale,
        )
        own = own.transpose(0, 1).reshape(heads, -1, size)[:, self._padded_position]
        if prefix is None:
            return own[None]
        # Part 2: all tokens over the prefix. Heads that share their keys are treated as more
        # queries of these keys, so that the keys need not be repeated.
        shared = query.reshape(1, heads // groups, -1, size)
        over_prefix, log_over_prefix = _flash(shared, *prefix, scale=scale)
        # The two parts are weighted by the shares of their softmax sums: exp(a) / (exp(a) + exp(b))
        # of log sums a and b is the sigmoid of a - b.
        log_own = log_own.transpose(0, 1).reshape(heads, -1)[:, self._padded_position]
        weight = torch.sigmoid(log_over_prefix.reshape(heads, -1) - log_own)[..., None]
        over_prefix = over_prefix.reshape(heads, -1, size)
        return torch.lerp(own, over_prefix, weight.to(own.dtype))[None]

    def _padded(self, part: torch.Tensor) -> torch.Tensor:
        """``(1, n_heads, n_tokens, size)`` -> ``(n_texts, n_heads, width, size)``."""
        return part[0, :, self._token].unflatten(1, self._shape).transpose(0, 1)
