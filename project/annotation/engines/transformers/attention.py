"""Attention of several texts in one row behind a shared prefix: no text attends to another.

``BlockAttention`` puts masks over blocks of the row, for a GPU. On a CPU a mask more than doubles
the time of torch's kernels, so there ``SplitAttention`` computes two parts: all tokens over the
prefix, where nothing is masked, and every text over itself, padded to the longest text of the row.
It merges them exactly by their log-sum-exps, as in Dao et al. (2022), *FlashAttention*, section
3.1.

Kernels for rows without any mask (flash attention with lengths, flex attention) need certain GPUs,
dtypes and head sizes, or a compiler. Blocks need what every torch has. With 500 tokens of prefix
they compute 1.5 times the pairs that count, and attention is 3 % of the operations of a model with
7 billion weights, a quarter of those of one with 135 million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

Layer = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of one layer, each ``(1, n_key_value_heads, n_tokens, head_size)``."""

_BLOCK = 256  # tokens of a block, if neither a text nor the prefix asks for more

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


class BlockAttention:
    """Attention of a row in blocks of whole texts, each over the prefix and itself; for a GPU.

    A mask over the row would have the square of its tokens. Blocks of some hundred tokens need
    little more than the pairs that count, and all blocks are one call of the kernel. Their masks
    are made where the model is: the host sends two numbers for each token.
    """

    def __init__(self, row: Row) -> None:
        sizes = np.array(row.sizes)
        n_inner = len(row.sees)
        self._width = block_width(int(sizes.max()), row.start)
        block, offset = _places(row.sizes, self._width)
        self._n_blocks = int(block[-1]) + 1
        # Of every token of the row: its place in the padded blocks, its text, and its index among
        # the inner nodes, -1 for a token of the text itself.
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        place = np.repeat(block * self._width + offset, sizes) + within
        text = np.repeat(np.arange(len(sizes)), sizes)
        inner = np.maximum(within - np.repeat(sizes - n_inner, sizes), -1)
        n_places = self._n_blocks * self._width
        # Padding is a text of its own, so that no row of the mask is empty.
        by_place = np.full((2, n_places), -1)
        by_place[:, place] = text, inner
        token = np.zeros(n_places, dtype=np.int64)
        token[place] = np.arange(len(place))
        self._place = to_device(torch.from_numpy(place), row.device)
        self._token = to_device(torch.from_numpy(token), row.device)
        self._bias = self._make_bias(row, to_device(torch.from_numpy(by_place), row.device))

    def _make_bias(self, row: Row, by_place: torch.Tensor) -> torch.Tensor | None:
        """Added to the scores ``(n_blocks, 1, width, start + width)``: -inf where masked.

        None for a single text, whose mask is the usual one.
        """
        if len(row.sizes) == 1 and not len(row.sees) and not row.start:
            return None
        shape = (self._n_blocks, self._width)
        text, inner = by_place[0].view(shape), by_place[1].view(shape)
        mask = (text[:, :, None] == text[:, None]).tril_()
        if len(row.sees):
            # Inner nodes are alternative replies: one attends to its ancestors, not its siblings.
            sees = to_device(row.sees, row.device)
            mask &= (inner < 0)[:, None] | sees[inner[:, :, None], inner[:, None]]
        bias = torch.zeros(*shape, row.start + self._width, dtype=row.dtype, device=row.device)
        bias[:, :, row.start :].masked_fill_(~mask, -torch.inf)
        return bias[:, None]

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
        # With grouped-query attention, several heads of the query share a head of the keys. The
        # kernels for a mask want a head of the keys for each of the query.
        groups = query.shape[1] // key.shape[1]
        attended = torch.nn.functional.scaled_dot_product_attention(
            self._blocks(query),
            self._behind(prefix and prefix[0], key).repeat_interleave(groups, dim=1),
            self._behind(prefix and prefix[1], value).repeat_interleave(groups, dim=1),
            attn_mask=self._bias,
            is_causal=self._bias is None,
            scale=scale,
        )
        return attended.transpose(0, 1).flatten(1, 2)[:, self._place][None]

    def _blocks(self, part: torch.Tensor) -> torch.Tensor:
        """``(1, n_heads, n_tokens, size)`` -> ``(n_blocks, n_heads, width, size)``."""
        shape = (self._n_blocks, self._width)
        return part[0, :, self._token].unflatten(1, shape).transpose(0, 1)

    def _behind(self, prefix: torch.Tensor | None, part: torch.Tensor) -> torch.Tensor:
        """The blocks of ``part``, each behind the prefix if there is one."""
        blocks = self._blocks(part)
        if prefix is None:
            return blocks
        return torch.cat([prefix.expand(self._n_blocks, -1, -1, -1), blocks], dim=2)


def block_width(longest: int, start: int) -> int:
    """Tokens of a block, for texts of up to ``longest`` tokens behind a prefix of ``start``.

    A token is compared with ``start + width`` others, so blocks should be short; but each repeats
    the keys of the prefix, so they should not be much shorter than that. Kernels want a multiple of
    16 keys.
    """
    width = max(longest, _BLOCK, start // 4)
    return width + -(start + width) % 16


def _places(sizes: Sequence[int], width: int) -> tuple[np.ndarray, np.ndarray]:
    """The block of every text, and its first token's place in the block, each ``(n_texts,)``."""
    block, used = 0, 0
    places = []
    for size in sizes:
        if used + size > width:
            block, used = block + 1, 0
        places.append((block, used))
        used += size
    blocks, offsets = np.array(places).T
    return blocks, offsets


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """``tensor`` on ``device``, without waiting for what the device has still to do.

    A copy to a GPU waits for all queued work unless it begins in pinned memory.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


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
