"""Reads whole prompts, one row for each text and node of the label trie. Every model can do that.

Rows of different lengths are padded at their end and masked. For models whose answers change with
padding, only rows of one length share a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from project.annotation.engines.label_trie import LabelTrie
from project.stats.types import Floats

_ROPE_TYPES_BY_LENGTH = ("dynamic", "longrope")


class UnpackedModel:
    """A causal language model over batches of whole prompts.

    ``padded``: rows of different lengths may share a batch. ``batch_tokens``: most tokens of a
    batch with padding; a longer row is a batch alone.
    """

    def __init__(self, model: Any, batch_tokens: int) -> None:
        """Set the attributes; ``padded`` is true until the caller knows better."""
        self._model = model
        self.batch_tokens = batch_tokens
        self._device = model.device
        self._max_steady = max_steady_positions(model.config.get_text_config())
        self.padded = True

    def reads(
        self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], trie: LabelTrie
    ) -> Floats:
        """The reads of ``trie`` for every text: natural log probabilities ``(n, n_reads)``.

        Parameters
        ----------
        prefix, suffixes
            Text i is ``prefix + suffixes[i]``.
        trie
            How the labels are told apart.
        """
        rows = [[*prefix, *suffix, *node.path] for suffix in suffixes for node in trie.nodes]
        tokens = [node.tokens for node in trie.nodes] * len(suffixes)
        by_row: list[Floats] = [np.empty(0)] * len(rows)
        for batch in self._batches([len(row) for row in rows]):
            logs = self.logs([rows[index] for index in batch])
            # Rows need different numbers of tokens: padded here, and cut again below.
            columns = torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(tokens[index]) for index in batch], batch_first=True
            )
            values = logs.gather(1, columns.to(self._device)).double().cpu().numpy()
            for index, row in zip(batch, values, strict=True):
                by_row[index] = row[: len(tokens[index])]
        return np.concatenate(by_row).reshape(len(suffixes), trie.n_reads)

    @torch.inference_mode()
    def logs(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Natural log probabilities of the token behind every row, ``(n_rows, vocabulary)``.

        All rows are read in one forward pass.
        """
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=self._device)
        last = torch.tensor([len(row) - 1 for row in rows], device=self._device)
        mask = (torch.arange(width, device=self._device)[None] <= last[:, None]).long()
        # Logits are computed only at positions where a row ends.
        positions, column = torch.unique(last, return_inverse=True)
        output = self._model(
            input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=positions
        )
        row_index = torch.arange(len(rows), device=self._device)
        logits: torch.Tensor = output.logits[row_index, column]
        return logits.float().log_softmax(-1)

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Indices of rows in batches, the short ones first; at least one row in each."""
        # Dynamic rotary embeddings change with the longest row of a batch.
        may_pad = self.padded and max(lengths) <= self._max_steady
        batch: list[int] = []
        for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
            is_full = (len(batch) + 1) * lengths[index] > self.batch_tokens
            if batch and (is_full or not (may_pad or lengths[index] == lengths[batch[0]])):
                yield batch
                batch = []
            batch.append(index)
        yield batch


def max_steady_positions(settings: Any) -> float:
    """Longest row whose rotary embeddings do not depend on the length of the longest row.

    ``settings``: the model's text configuration. Only the embeddings that transformers calls
    "dynamic" and "longrope" have such a limit; for all others it is infinite.
    """
    rope = getattr(settings, "rope_parameters", None) or {}
    by_layer_type = [value for value in rope.values() if isinstance(value, dict)]
    limits = [
        parameters.get("original_max_position_embeddings") or settings.max_position_embeddings
        for parameters in ([rope] if "rope_type" in rope else by_layer_type)
        if parameters["rope_type"] in _ROPE_TYPES_BY_LENGTH
    ]
    return min(limits, default=float("inf"))
