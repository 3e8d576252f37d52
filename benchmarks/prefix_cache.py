"""The strongest peer of the transformers engine: suffixes in batches behind one cached prefix.

It is what a skilled user writes in an hour: the prefix is read once, its keys and values are
repeated for every batch, and the texts, sorted by length, follow with padding on the right. The
head reads the last token of each text alone. It has the dtype of our engine, and the batch size
that is fastest in a first try.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

BATCH_SIZES = (4, 8, 16, 32, 64)


class PrefixCache:
    """A causal language model of transformers as its documentation shows it."""

    def __init__(self, model: Any) -> None:
        self._model = model

    @torch.inference_mode()
    def read(
        self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], batch_size: int
    ) -> np.ndarray:
        """Logits of the next token ``(n, vocabulary)`` behind ``prefix`` and each suffix."""
        device = self._model.device
        cache = DynamicCache(config=self._model.config)
        row = torch.tensor([prefix], device=device)
        self._model.base_model(row, past_key_values=cache, use_cache=True)
        order = sorted(range(len(suffixes)), key=lambda index: len(suffixes[index]))
        rows: dict[int, np.ndarray] = {}
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            lengths = torch.tensor([len(suffixes[index]) for index in batch])
            ids = torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(suffixes[index]) for index in batch], batch_first=True
            )
            mask = torch.arange(ids.shape[1])[None] < lengths[:, None]
            mask = torch.cat([mask.new_ones(len(batch), len(prefix)), mask], dim=1)
            repeated = copy.deepcopy(cache)
            repeated.batch_repeat_interleave(len(batch))
            states = self._model.base_model(
                ids.to(device),
                attention_mask=mask.to(device),
                past_key_values=repeated,
                use_cache=True,
            ).last_hidden_state
            logits = self._model.lm_head(states[torch.arange(len(batch)), lengths - 1])
            rows |= dict(zip(batch, logits.float().cpu().numpy(), strict=True))
        return np.stack([rows[index] for index in range(len(suffixes))])
