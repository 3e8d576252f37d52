"""Mini-batches with padding, in parts of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from project.stats.types import Codes
from project.training.device import to_device
from project.training.tokens import Ids

_PAD_LEFT = ("xlnet",)  # its head reads the last position
_PASS_TOKENS = {"cpu": 64, "cuda": 1_000_000}
"""Cost of one more pass through the model, in tokens; on a GPU padding is cheaper."""


class Padded:
    """A model that reads rows padded to the longest of them.

    It is a :class:`project.training.batching.Batching`.
    """

    name = "padded"

    def __init__(self, model: Any) -> None:
        """Pad the texts of ``model``, any for sequence classification."""
        self.model = model

    def parts(self, lengths: Sequence[int], n: int) -> list[Codes]:
        """Parts of texts of similar length, so that few tokens are padding."""
        cost = _PASS_TOKENS[self.model.device.type]
        return [
            part
            for piece in split_evenly(lengths, n)
            for part in split_by_length(piece, lengths, cost)
        ]

    def logits(self, rows: Sequence[Ids]) -> torch.Tensor:
        """Logits ``(n_rows, n_classes)`` in the order of ``rows``."""
        logits: torch.Tensor = self.model(**pad_rows(rows, self.model)).logits
        return logits


def pad_rows(rows: Sequence[Ids], model: Any) -> dict[str, torch.Tensor]:
    """``input_ids`` and ``attention_mask`` ``(n_rows, width)`` on the model's device."""
    ids, mask = padded_ids(rows, model)
    return {
        "input_ids": to_device(ids, model.device),
        "attention_mask": to_device(mask, model.device),
    }


def padded_ids(rows: Sequence[Ids], model: Any, width: int = 0) -> tuple[Codes, Codes]:
    """Token ids, and 1 where there is a token, else 0; both ``(n_rows, width)``.

    Padding is on the side that the model's head does not read. ``width`` is that of the longest
    row unless it is given.
    """
    width = width or max(len(row) for row in rows)
    config = inner_model(model).config
    ids = np.full((len(rows), width), config.pad_token_id or 0, dtype=np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        pad_left = config.model_type in _PAD_LEFT
        columns = slice(width - len(row), width) if pad_left else slice(len(row))
        ids[index, columns] = row
        mask[index, columns] = 1
    return ids, mask


def split_evenly(lengths: Sequence[int], n: int) -> list[Codes]:
    """Positions ``0, 1, ...`` in ``n`` pieces of about equally many texts."""
    return [piece for piece in np.array_split(np.arange(len(lengths)), n) if len(piece)]


def split_by_length(piece: Codes, lengths: Sequence[int], pass_tokens: int) -> list[Codes]:
    """Positions of texts, sorted by length and cut into the cheapest parts.

    Parameters
    ----------
    piece
        The positions.
    lengths
        Tokens of the text at every position.
    pass_tokens
        A part costs its tokens, padding included, plus this number.
    """
    order = sorted(piece, key=lambda index: lengths[index])
    # Dynamic programming: for the first 0, 1, ... texts the lowest cost, and the start of the
    # last part.
    cheapest: list[tuple[int, int]] = [(0, 0)]
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        cheapest.append(
            min(
                (cheapest[start][0] + (end - start) * longest + pass_tokens, start)
                for start in range(end)
            )
        )
    parts = []
    end = len(order)
    while end:
        start = cheapest[end][1]
        parts.append(np.array(order[start:end]))
        end = start
    return parts[::-1]


def inner_model(model: Any) -> Any:
    """The model of transformers, without the wrapper of LoRA if it has one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
