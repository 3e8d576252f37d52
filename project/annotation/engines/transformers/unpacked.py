"""A decoder of transformers over whole prompts, one row for each text and inner node of the label trie: what every model can do.

Rows of different lengths are padded at their end and masked. For models that this moves, rows of one length alone make a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from project.annotation.engines.label_trie import LabelTrie


class PlainModel:
    """``model`` over batches of whole prompts. ``padded``: whether rows of different lengths may stand together."""

    def __init__(self, model: Any, batch_tokens: int) -> None:
        """``batch_tokens``: tokens of a batch at most, padding included; a longer row is a batch by itself."""
        self._model, self._batch_tokens, self._device = model, batch_tokens, model.device
        self.padded = True
        self._steady = steady_positions(model.config.get_text_config())

    def reads(
        self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], trie: LabelTrie
    ) -> np.ndarray:
        """Natural log probabilities of what the trie reads of every text, ``(n, n_reads)``; text i is ``prefix + suffixes[i]``."""
        rows = [[*prefix, *suffix, *node.path] for suffix in suffixes for node in trie.nodes]
        tokens = [node.tokens for node in trie.nodes] * len(suffixes)
        found: list[np.ndarray] = [np.empty(0)] * len(rows)
        for batch in self._batches(list(map(len, rows))):
            logs = self.logs([rows[index] for index in batch])
            columns = torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(tokens[index]) for index in batch], batch_first=True
            )
            values = logs.gather(1, columns.to(self._device)).double().cpu().numpy()
            for index, row in zip(batch, values, strict=True):
                found[index] = row[: len(tokens[index])]
        return np.concatenate(found).reshape(len(suffixes), trie.n_reads)

    @torch.inference_mode()
    def logs(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Natural log probabilities over the vocabulary behind every row, ``(n_rows, vocabulary)``, in one forward pass."""
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=self._device)
        last = torch.tensor([len(row) - 1 for row in rows], device=self._device)
        mask = (torch.arange(width, device=self._device)[None] <= last[:, None]).long()
        kept, place = torch.unique(last, return_inverse=True)
        output = self._model(
            input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept
        )
        logits: torch.Tensor = output.logits[torch.arange(len(rows), device=self._device), place]
        return logits.float().log_softmax(-1)

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Places of rows, the short ones first, in batches that are read together; one row at least."""
        padded = self.padded and max(lengths) <= self._steady
        batch: list[int] = []
        for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
            full = (len(batch) + 1) * lengths[index] > self._batch_tokens
            if batch and (full or not (padded or lengths[index] == lengths[batch[0]])):
                yield batch
                batch = []
            batch.append(index)
        yield batch


def steady_positions(settings: Any) -> float:
    """How many positions a row may have before the rotations of all of them depend on how long the longest row is; ``settings``: the model's.

    So it is with the rotary embeddings that transformers calls "dynamic" and "longrope".
    """
    rope = getattr(settings, "rope_parameters", None) or {}
    kinds = (
        [rope] if "rope_type" in rope else [one for one in rope.values() if isinstance(one, dict)]
    )
    most = [
        one.get("original_max_position_embeddings") or settings.max_position_embeddings
        for one in kinds
        if one["rope_type"] in _BY_LENGTH
    ]
    return min(most, default=float("inf"))


_BY_LENGTH = ("dynamic", "longrope")
