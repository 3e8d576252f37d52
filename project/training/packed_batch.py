"""Texts one after another in one row: the positions of their tokens, and their attention."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AttentionInterface

from project.stats.types import Mask
from project.training.device import to_device

ATTENTION = "packed_texts"
"""Name of the attention below among those of transformers."""
_WIDTHS = 16


class AttentionOptions(NamedTuple):
    """Dropout, scale of the scores, and which tokens a token attends to (:func:`_visible`)."""

    dropout: float
    scale: float
    causal: bool = False
    window: int | None = None


@dataclass(frozen=True)
class PackedBatch:
    """The positions of a batch's tokens in padded rows.

    Attributes
    ----------
    lengths
        Number of tokens of each text.
    width
        The longest of these.
    flat
        Indices of the tokens in the flattened padded rows, ``(n_tokens,)``.
    device
        Where ``flat`` is.
    """

    lengths: list[int]
    width: int
    flat: torch.Tensor
    device: torch.device
    _masks: dict[object, torch.Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, lengths: list[int], device: torch.device) -> PackedBatch:
        """The batch of texts with these ``lengths``."""
        width = max(lengths)
        return cls(lengths, width, to_device(np.flatnonzero(_mask(lengths, width)), device), device)

    def pack(self, rows: torch.Tensor) -> torch.Tensor:
        """``(n_texts or 1, width, ...)`` -> ``(1, n_tokens, ...)``."""
        return rows.expand(len(self.lengths), *rows.shape[1:]).flatten(0, 1)[self.flat][None]

    def unpack(self, row: torch.Tensor) -> torch.Tensor:
        """``(1, n_tokens, ...)`` -> ``(n_texts, width, ...)``, zero where there is padding."""
        rows = row.new_zeros(len(self.lengths) * self.width, *row.shape[2:])
        return rows.index_copy(0, self.flat, row.squeeze(0)).unflatten(
            0, (len(self.lengths), self.width)
        )

    @functools.cached_property
    def grid(self) -> Grid:
        """Rows for attention to all texts at once; every layer uses the same ones."""
        return Grid.of(self.lengths, self.device)

    def scores_mask(self, options: AttentionOptions, dtype: torch.dtype) -> torch.Tensor:
        """What is added to the scores in :attr:`grid`: 0, or minus infinity where one is hidden.

        ``(n_texts, 1, grid width, grid width)``. Padding sees padding alone, since a row that sees
        nothing has no finite softmax.
        """
        key = (options.causal, options.window, dtype)
        if key not in self._masks:
            is_token = self.grid.is_token
            visible = (is_token[:, :, None] == is_token[:, None]) & _visible(
                self.grid.width, options, self.device
            )
            hidden = torch.zeros(visible.shape, dtype=dtype, device=self.device)
            self._masks[key] = hidden.masked_fill_(~visible, float("-inf"))[:, None]
        return self._masks[key]


class Grid(NamedTuple):
    """Padded rows of the texts of a packed row.

    Attributes
    ----------
    width
        Tokens of a row, a multiple of 16: the fast attention of a GPU copies other masks.
    is_token
        Which positions are tokens, ``(n_texts, width)``.
    tokens
        For each position of the flattened rows the index of its token in the packed row; 0 in
        padding.
    positions
        For each token its position in the flattened rows.
    """

    width: int
    is_token: torch.Tensor
    tokens: torch.Tensor
    positions: torch.Tensor

    @classmethod
    def of(cls, lengths: list[int], device: torch.device) -> Grid:
        """The rows for texts of these ``lengths``."""
        width = -(-max(lengths) // _WIDTHS) * _WIDTHS
        mask = _mask(lengths, width)
        positions = np.flatnonzero(mask)
        tokens = np.zeros(mask.size, dtype=np.int64)
        tokens[positions] = np.arange(len(positions))
        arrays = (mask, tokens, positions)
        return cls(width, *(to_device(array, device) for array in arrays))

    def unpack(self, row: torch.Tensor) -> torch.Tensor:
        """``(1, n_heads, n_tokens, d)`` -> ``(n_texts, n_heads, width, d)``."""
        rows = _exchange(row.squeeze(0).transpose(0, 1), self.tokens, self.positions)
        return rows.unflatten(0, (-1, self.width)).transpose(1, 2)

    def pack(self, rows: torch.Tensor) -> torch.Tensor:
        """The reverse of :meth:`unpack`."""
        flat = rows.transpose(1, 2).flatten(0, 1)
        return _exchange(flat, self.positions, self.tokens).transpose(0, 1)[None]


def _mask(lengths: list[int], width: int) -> Mask:
    """Which positions of rows of texts of ``lengths``, padded to ``width``, are tokens."""
    return np.arange(width)[None] < np.array(lengths)[:, None]


class _Exchange(torch.autograd.Function):
    """Rows by index, whose gradient is read by index too, in one kernel each.

    The gradient of torch's own indexing is added up row by row, for which it sorts or fills zeros.
    Here a row of padding gets or gives a gradient of another row. That changes no gradient of a
    token: the scores between padding and tokens are hidden, and padding is dropped in the end.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, index: torch.Tensor, back: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(back)
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return gradients[0].index_select(0, back), None, None


def _exchange(rows: torch.Tensor, index: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
    """``rows`` by ``index``; ``back`` is the index by which its gradient is read."""
    exchanged: torch.Tensor = _Exchange.apply(rows, index, back)
    return exchanged


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    packed_batch: PackedBatch,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attention of every text to itself, with the arguments that transformers passes.

    ``query``, ``key`` and ``value`` have the shape ``(1, n_heads, n_tokens, d)``; the result has
    ``(1, n_tokens, n_heads, d)``.
    """
    causal = bool(getattr(module, "is_causal", False) if is_causal is None else is_causal)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key = key.repeat_interleave(groups, dim=1)
        value = value.repeat_interleave(groups, dim=1)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    options = AttentionOptions(dropout, scale, causal, sliding_window)
    attend = attend_one_by_one if query.device.type == "cpu" else attend_together
    mixed = attend(query, key, value, packed_batch, options=options)
    return mixed.transpose(1, 2), None


AttentionInterface.register(ATTENTION, _attention)


def attend_together(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    batch: PackedBatch,
    *,
    options: AttentionOptions,
) -> torch.Tensor:
    """Attention of all texts at once, with padding, which costs a GPU little.

    Parameters
    ----------
    query, key, value
        ``(1, n_heads, n_tokens, d)``; the result has the same shape.
    batch
        The texts in the row.
    options
        See :class:`AttentionOptions`.
    """
    grid = batch.grid
    mixed = torch.nn.functional.scaled_dot_product_attention(
        grid.unpack(query),
        grid.unpack(key),
        grid.unpack(value),
        attn_mask=batch.scores_mask(options, query.dtype),
        dropout_p=options.dropout,
        scale=options.scale,
    )
    return grid.pack(mixed)


def attend_one_by_one(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    batch: PackedBatch,
    *,
    options: AttentionOptions,
) -> torch.Tensor:
    """Attention of one text after another, without padding, for a CPU.

    Parameters
    ----------
    query, key, value, batch, options
        See :func:`attend_together`.
    """
    texts = zip(
        *(tensor.split(batch.lengths, dim=2) for tensor in (query, key, value)), strict=True
    )
    return torch.cat([_attend_text(q, k, v, options) for q, k, v in texts], dim=2)


def _attend_text(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: AttentionOptions
) -> torch.Tensor:
    """Attention of one text ``(1, n_heads, n_tokens, d)``."""
    length = query.shape[2]
    is_cut = options.window is not None and options.window <= length
    visible = _visible(length, options, query.device) if options.causal or is_cut else None
    if not options.dropout:
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, scale=options.scale
        )
    # On a CPU torch has nothing faster than these lines with dropout.
    scores = query @ (key * options.scale).transpose(2, 3)
    if visible is not None:
        scores = scores.masked_fill(~visible, float("-inf"))
    weights = torch.dropout(scores.softmax(-1, dtype=torch.float32), options.dropout, train=True)
    return weights.to(value.dtype) @ value


def _visible(length: int, options: AttentionOptions, device: torch.device) -> torch.Tensor:
    """Which tokens (columns) a token (rows) of a text attends to: ``(length, length)``.

    All; if causal, itself and those before; with a window, those less than ``window`` away.
    """
    position = torch.arange(length, device=device)
    distance = position[:, None] - position[None]
    visible = distance >= 0 if options.causal else torch.ones_like(distance, dtype=torch.bool)
    if options.window is None:
        return visible
    return visible & (distance.abs() < options.window)
