"""Texts one behind the other in one row: where their tokens stand, and attention that keeps every text to itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from transformers import AttentionInterface

ATTENTION = "packed_texts"  # our attention's name among those of transformers


class PackedBatch(NamedTuple):
    """Where the tokens of a batch stand: texts of ``lengths`` tokens, padded to ``width``; ``flat`` ``(n_tokens,)`` in the padded rows."""

    lengths: list[int]
    width: int
    mask: torch.Tensor
    flat: torch.Tensor

    @classmethod
    def of(cls, lengths: list[int], device: torch.device) -> PackedBatch:
        """The places of texts of ``lengths`` tokens."""
        mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
        return cls(
            lengths, max(lengths), mask.to(device), mask.flatten().nonzero()[:, 0].to(device)
        )

    def pack(self, rows: torch.Tensor) -> torch.Tensor:
        """``(n_texts or 1, width, ...)`` -> ``(1, n_tokens, ...)``."""
        return rows.expand(len(self.lengths), *rows.shape[1:]).flatten(0, 1)[self.flat][None]

    def unpack(self, row: torch.Tensor) -> torch.Tensor:
        """``(1, n_tokens, ...)`` -> ``(n_texts, width, ...)``, zero where there is padding."""
        rows = row.new_zeros(len(self.lengths) * self.width, *row.shape[2:])
        return rows.index_copy(0, self.flat, row[0]).unflatten(0, (len(self.lengths), self.width))


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    places: PackedBatch,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attention of every text to itself. ``query``, ``key``, ``value``: ``(1, n_heads, n_tokens, d)`` -> ``(1, n_tokens, n_heads, d)``."""
    causal = bool(getattr(module, "is_causal", False) if is_causal is None else is_causal)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (one.repeat_interleave(groups, dim=1) for one in (key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    mix = _one_by_one if query.device.type == "cpu" else _together
    return mix(query, key, value, places, dropout, scale, causal, sliding_window).transpose(
        1, 2
    ), None


AttentionInterface.register(ATTENTION, _attention)


def _together(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    places: PackedBatch,
    dropout: float,
    scale: float,
    causal: bool,
    window: int | None,
) -> torch.Tensor:
    """All texts at once, with padding: attention is a small part of the work, and a GPU has time for it."""
    query, key, value = (
        places.unpack(one.transpose(1, 2)).transpose(1, 2) for one in (query, key, value)
    )
    real = places.mask[:, None]
    # what padding sees is thrown away; but it must see something, or its gradient is not a number
    sees = (real[:, :, None] & _sees(places.width, causal, window, query.device)) | ~real[..., None]
    mixed = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=sees, dropout_p=dropout, scale=scale
    )
    return places.pack(mixed.transpose(1, 2)).transpose(1, 2)


def _one_by_one(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    places: PackedBatch,
    dropout: float,
    scale: float,
    causal: bool,
    window: int | None,
) -> torch.Tensor:
    """Every text by itself. With dropout, torch on a CPU has nothing faster than these lines."""
    texts = zip(*(one.split(places.lengths, dim=2) for one in (query, key, value)), strict=True)
    return torch.cat(
        [_one_text(q, k, v, dropout, scale, causal, window) for q, k, v in texts], dim=2
    )


def _one_text(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    dropout: float,
    scale: float,
    causal: bool,
    window: int | None,
) -> torch.Tensor:
    """Attention of one text ``(1, n_heads, n_tokens, d)``."""
    length = query.shape[2]
    sees = (
        _sees(length, causal, window, query.device)
        if causal or (window is not None and window <= length)
        else None
    )
    if not dropout:
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=sees, scale=scale
        )
    scores = query @ (key * scale).transpose(2, 3)
    if sees is not None:
        scores = scores.masked_fill(~sees, float("-inf"))
    return (
        torch.dropout(scores.softmax(-1, dtype=torch.float32), dropout, train=True).to(value.dtype)
        @ value
    )


def _sees(length: int, causal: bool, window: int | None, device: torch.device) -> torch.Tensor:
    """Which tokens (columns) a token (rows) sees in its own text: all, itself and those before, or those less than ``window`` away."""
    place = torch.arange(length, device=device)
    apart = place[:, None] - place[None]
    sees = apart >= 0 if causal else torch.ones_like(apart, dtype=torch.bool)
    return sees if window is None else sees & (apart.abs() < window)
