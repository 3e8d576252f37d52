"""Texts one after another in one row: the positions of their tokens, and their attention."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from transformers import AttentionInterface

ATTENTION = "packed_texts"
"""Name of the attention below among those of transformers."""


class PackedBatch(NamedTuple):
    """The positions of a batch's tokens in padded rows.

    Attributes
    ----------
    lengths
        Number of tokens of each text.
    width
        The longest of these.
    mask
        Which positions of the padded rows are tokens, ``(n_texts, width)``.
    flat
        Indices of the tokens in the flattened padded rows, ``(n_tokens,)``.
    """

    lengths: list[int]
    width: int
    mask: torch.Tensor
    flat: torch.Tensor

    @classmethod
    def of(cls, lengths: list[int], device: torch.device) -> PackedBatch:
        """The batch of texts with these ``lengths``."""
        width = max(lengths)
        mask = torch.arange(width)[None] < torch.tensor(lengths)[:, None]
        flat = mask.flatten().nonzero()[:, 0]
        return cls(lengths, width, mask.to(device), flat.to(device))

    def pack(self, rows: torch.Tensor) -> torch.Tensor:
        """``(n_texts or 1, width, ...)`` -> ``(1, n_tokens, ...)``."""
        return rows.expand(len(self.lengths), *rows.shape[1:]).flatten(0, 1)[self.flat][None]

    def unpack(self, row: torch.Tensor) -> torch.Tensor:
        """``(1, n_tokens, ...)`` -> ``(n_texts, width, ...)``, zero where there is padding."""
        rows = row.new_zeros(len(self.lengths) * self.width, *row.shape[2:])
        return rows.index_copy(0, self.flat, row[0]).unflatten(0, (len(self.lengths), self.width))


class AttentionOptions(NamedTuple):
    """Dropout, scale of the scores, and which tokens a token attends to (:func:`_visible`)."""

    dropout: float
    scale: float
    causal: bool = False
    window: int | None = None


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
    query, key, value = (
        batch.unpack(tensor.transpose(1, 2)).transpose(1, 2) for tensor in (query, key, value)
    )
    is_token = batch.mask[:, None]
    visible = _visible(batch.width, options, query.device)
    # The results of padding are dropped, but a row without visible tokens has no finite gradient.
    mask = (is_token[:, :, None] & visible) | ~is_token[..., None]
    mixed = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=options.dropout, scale=options.scale
    )
    return batch.pack(mixed.transpose(1, 2)).transpose(1, 2)


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
