"""The bundled encoder, loaded, and the sentence embeddings of texts that go through it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from project.support.machine import cpu_cores, set_memory_limits
from project.support.prepacked import prepack
from project.training.encoder import Encoder
from project.training.precision import autocast, device, one_thread_each
from project.training.pretrained import load_pretrained
from project.training.vector_store import Vectors

BLOCK = 256
"""Texts that are embedded, and then written, at a time."""
_BATCH_SIZE = 32
_TOKENS_OF_A_TEXT = 32  # about, a hint for the layout of weights


class Embedder:
    """An encoder in float32 or bfloat16, on the fastest device of this process."""

    def __init__(self, encoder: Encoder, n_threads: int | None = None) -> None:
        """Load the encoder.

        Parameters
        ----------
        encoder
            The encoder, with its precision.
        n_threads
            Threads on a CPU, which change no result; None: one for each core.
        """
        self._encoder = encoder
        self._device = device()
        self._threads: ThreadPoolExecutor | None = None
        if self._device == "cpu":
            set_memory_limits()
            # Operations of one thread each: with several, the last bits of a small batch would
            # depend on the number of cores.
            self._threads = ThreadPoolExecutor(
                n_threads or cpu_cores(), initializer=one_thread_each
            )
        model = load_pretrained(
            AutoModel, encoder.source, use_safetensors=True, dtype=torch.float32
        )
        self._model: Any = model.to(self._device).eval()
        if encoder.precision == "bf16":
            prepack(self._model, _BATCH_SIZE * _TOKENS_OF_A_TEXT, torch.bfloat16)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embeddings ``(n, size)``, computed in batches of texts of similar length."""
        tokens = [torch.tensor(ids, dtype=torch.long) for ids, _ in self._encoder.encode([*texts])]
        order = np.argsort([len(ids) for ids in tokens], kind="stable")
        batches = [
            [tokens[index] for index in order[start : start + _BATCH_SIZE]]
            for start in range(0, len(order), _BATCH_SIZE)
        ]
        if self._threads is None:
            parts = [self._batch(rows) for rows in batches]
        else:
            # The longest texts first, so that no thread begins with them when the others are done.
            parts = [*self._threads.map(self._batch, batches[::-1])][::-1]
        result: Vectors = torch.cat(parts).numpy()[np.argsort(order)]
        return result

    @torch.inference_mode()
    def _batch(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """Embeddings of one batch of token ids: means over the tokens, scaled to length 1."""
        ones = [torch.ones_like(row) for row in rows]
        ids = torch.nn.utils.rnn.pad_sequence([*rows], batch_first=True).to(self._device)
        mask = torch.nn.utils.rnn.pad_sequence(ones, batch_first=True).to(self._device)
        with autocast(self._encoder.precision, self._device):
            states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        means = (states.float() * mask[..., None]).sum(dim=1)
        return torch.nn.functional.normalize(means, dim=1).cpu()
