"""Sentence embeddings of texts by the bundled encoder, kept on disk, for arms with error models."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel

from project.config.finetune import FinetuneConfig
from project.stats.types import Floats
from project.support.files import digest, write_atomically
from project.training.encoder import Encoder
from project.training.pretrained import load_pretrained

_BATCH_SIZE = 32


def embeddings(texts: list[str], workspace: Path) -> Floats:
    """Embeddings of texts, ``(n, size)``: the mean over a text's tokens, scaled to length 1.

    The bundled all-MiniLM-L6-v2 was trained with this mean. Files go to ``workspace``.
    """
    encoder = Encoder.find(FinetuneConfig(precision="fp32"))
    name = digest([encoder.source.identity, encoder.max_length, texts])
    path = workspace / "embeddings" / f"{name}.npy"
    if not path.is_file():
        values = _embed(encoder, texts, workspace)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _npy(values))
    result: Floats = np.load(path, allow_pickle=False).astype(np.float64)
    return result


@torch.inference_mode()
def _embed(encoder: Encoder, texts: list[str], workspace: Path) -> np.ndarray:
    """Embeddings in float32, computed in batches of texts of similar length."""
    tokens = encoder.tokens(texts, workspace / "tokens")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_pretrained(AutoModel, encoder.source, use_safetensors=True, dtype=torch.float32)
    model = model.to(device).eval()
    order = np.argsort(tokens.lengths(np.arange(len(texts))), kind="stable")
    parts = []
    for start in range(0, len(order), _BATCH_SIZE):
        rows = [
            torch.tensor(row, dtype=torch.long)
            for row in tokens.rows(order[start : start + _BATCH_SIZE])
        ]
        ones = [torch.ones_like(row) for row in rows]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
        mask = torch.nn.utils.rnn.pad_sequence(ones, batch_first=True).to(device)
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]
        parts.append(torch.nn.functional.normalize(states.sum(dim=1), dim=1).cpu())
    result: np.ndarray = torch.cat(parts).numpy()[np.argsort(order)]
    return result


def _npy(values: np.ndarray) -> bytes:
    """``values`` as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()
