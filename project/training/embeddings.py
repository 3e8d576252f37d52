"""Sentence embeddings of texts by the bundled encoder, kept on disk text by text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from project.config.finetune import FinetuneConfig
from project.stats.types import Floats
from project.support.files import digest
from project.training.encoder import Encoder
from project.training.pretrained import load_pretrained
from project.training.vector_store import Vectors, VectorStore, text_key

_BATCH_SIZE = 32
_CHUNK = 2048  # texts that are embedded, and then written, at a time


def embeddings(texts: Sequence[str], workspace: Path) -> Floats:
    """Embeddings of texts in float64, ``(n, size)``; see :func:`embed`."""
    return embed(texts, workspace, progress=lambda n: None).astype(np.float64)


def embed(texts: Sequence[str], workspace: Path, *, progress: Callable[[int], object]) -> Vectors:
    """Embeddings of texts, ``(n, size)``: the mean over a text's tokens, scaled to length 1.

    The bundled all-MiniLM-L6-v2 was trained with this mean. A text is embedded once, whichever
    task or list it is in. Every chunk of texts is on disk before the next one begins, so that a
    run that was killed goes on where it stopped.

    Parameters
    ----------
    texts
        The texts.
    workspace
        Files go to ``embeddings`` below it.
    progress
        Called with the number of texts that need no work, then with that of every chunk.
    """
    encoder = Encoder.find(FinetuneConfig(precision="fp32"))
    name = digest([encoder.source.identity, encoder.max_length])
    store = VectorStore(workspace / "embeddings" / name)
    keys = [text_key(text) for text in texts]
    with store.lock:
        rows = store.rows()
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in rows}
        progress(len(texts) - len(missing))
        if missing:
            _append(store, encoder, missing, progress)
            rows = store.rows()
        # Inside the lock: another process may cut off what a killed one left.
        return store.read([rows[key] for key in keys])


def _append(
    store: VectorStore,
    encoder: Encoder,
    missing: dict[bytes, str],
    progress: Callable[[int], object],
) -> None:
    """Embed the texts of ``missing`` by key, chunk by chunk, the shortest ones first."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_pretrained(AutoModel, encoder.source, use_safetensors=True, dtype=torch.float32)
    model = model.to(device).eval()
    # Texts of a similar length share a batch, so that little of it is padding.
    ordered = sorted(missing.items(), key=lambda item: len(item[1]))
    for start in range(0, len(ordered), _CHUNK):
        chunk = ordered[start : start + _CHUNK]
        vectors = _embed(encoder, model, [text for _, text in chunk], device)
        store.append([key for key, _ in chunk], vectors)
        progress(len(chunk))


@torch.inference_mode()
def _embed(encoder: Encoder, model: Any, texts: list[str], device: str) -> Vectors:
    """Embeddings ``(n, size)``, computed in batches of texts of similar length."""
    tokens = [torch.tensor(ids, dtype=torch.long) for ids, _ in encoder.encode(texts)]
    order = np.argsort([len(ids) for ids in tokens], kind="stable")
    parts = []
    for start in range(0, len(order), _BATCH_SIZE):
        rows = [tokens[index] for index in order[start : start + _BATCH_SIZE]]
        ones = [torch.ones_like(row) for row in rows]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
        mask = torch.nn.utils.rnn.pad_sequence(ones, batch_first=True).to(device)
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]
        parts.append(torch.nn.functional.normalize(states.sum(dim=1), dim=1).cpu())
    result: Vectors = torch.cat(parts).numpy()[np.argsort(order)]
    return result
