"""Scores rows of tokens in batches, the short ones first."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from project.annotation.engines.rerank.pair_tokens import PairTokens, Row
from project.annotation.engines.transformers.feeding import chunks
from project.annotation.engines.transformers.self_check import MAX_DIFFERENCE, MAX_SHARE
from project.stats.types import Floats

_PROBES = (
    "one two",
    "a longer text with some more words in it, so that a batch of both has padding",
    "three more words",
    "and a last one that is neither long nor short",
)


class Scorer:
    """A model for sequence classification over batches of pairs.

    ``padded``: rows of different lengths may share a batch, found out by :meth:`check_padding`.
    """

    def __init__(self, model: Any, tokens: PairTokens, batch_tokens: int) -> None:
        """``batch_tokens``: most tokens of a batch with padding; a longer row is a batch alone."""
        self._model = model
        self._tokens = tokens
        self._batch_tokens = batch_tokens
        # Some tokenizers give more than their model takes.
        self._inputs = inspect.signature(model.forward).parameters
        self._settings = {"use_cache": False} if "use_cache" in self._inputs else {}
        self.padded = True

    def logits(self, rows: Sequence[Row]) -> Floats:
        """The outputs of the model for every row, ``(n, n_outputs)``."""
        batches = list(self._batches([len(row["input_ids"]) for row in rows]))
        # On a GPU nothing waits for a batch before the next one is sent.
        parts = [self.one_batch([rows[index] for index in batch]) for batch in batches]
        together = torch.cat(parts).double().cpu().numpy()
        ordered: Floats = np.empty_like(together)
        ordered[[index for batch in batches for index in batch]] = together
        return ordered

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        groups: list[list[int]] = [list(range(len(lengths)))]
        if not self.padded:
            of_length: dict[int, list[int]] = {}
            for index, length in enumerate(lengths):
                of_length.setdefault(length, []).append(index)
            groups = list(of_length.values())
        for group in groups:
            yield from chunks(
                lengths, group, n_extra=0, batch_tokens=self._batch_tokens, padded=True
            )

    @torch.inference_mode()
    def one_batch(self, rows: Sequence[Row]) -> torch.Tensor:
        """The outputs for rows that are read in one forward pass, ``(n, n_outputs)``."""
        tokenizer = self._tokens.tokenizer
        lengths = [len(row["input_ids"]) for row in rows]
        width = max(lengths)
        fillings = {
            "input_ids": tokenizer.pad_token_id,
            "token_type_ids": tokenizer.pad_token_type_id,
        }
        on_left = tokenizer.padding_side == "left"
        inputs = {}
        columns = {name: [row[name] for row in rows] for name in rows[0] if name in self._inputs}
        columns["attention_mask"] = [[1] * length for length in lengths]
        for name, values in columns.items():
            filling = [fillings.get(name, 0)]
            padded = [
                filling * (width - len(row)) + row
                if on_left
                else row + filling * (width - len(row))
                for row in values
            ]
            inputs[name] = torch.tensor(padded).to(self._model.device, non_blocking=True)
        logits: torch.Tensor = self._model(**inputs, **self._settings).logits
        return logits.float()

    def check_padding(self, *, exact: bool) -> None:
        """Set ``padded`` to whether padding leaves the outputs as they are, up to rounding.

        ``exact``: the model computes in float32. Padding is judged as in
        :mod:`project.annotation.engines.transformers.self_check`.
        """
        rows = self._tokens.pairs(_PROBES, _PROBES[:1]).rows
        alone = torch.cat([self.one_batch([row]) for row in rows])
        moved = (self.one_batch(rows) - alone).abs()
        if exact:
            self.padded = bool(moved.max() <= MAX_DIFFERENCE)
        else:
            between = (alone - alone.roll(1, dims=0)).abs().median()
            self.padded = bool(moved.median() <= MAX_SHARE * between)
