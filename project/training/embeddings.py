"""Sentence embeddings of texts by the bundled encoder, kept on disk: what arms go by that learn which labels are wrong."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel

from project.config.finetune import FinetuneConfig
from project.stats.types import Floats
from project.support.files import digest, write_atomically
from project.support.models import quiet_transformers
from project.training.encoder import Encoder

_BATCH = 32


def embeddings(texts: list[str], workspace: Path) -> Floats:
    """One row for each text, ``(n, size)``: the mean over its tokens, of length 1, as all-MiniLM-L6-v2 was trained to be read."""
    encoder = Encoder.find(FinetuneConfig(precision="fp32"))
    path = (
        workspace
        / "embeddings"
        / f"{digest([encoder.source.identity, encoder.max_length, texts])}.npy"
    )
    if not path.is_file():
        found = _embed(encoder, texts, workspace)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _npy(found))
    values: Floats = np.load(path, allow_pickle=False).astype(np.float64)
    return values


@torch.inference_mode()
def _embed(encoder: Encoder, texts: list[str], workspace: Path) -> np.ndarray:
    tokens = encoder.tokens(texts, workspace / "tokens")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with quiet_transformers():
        model = AutoModel.from_pretrained(
            encoder.source.location,
            revision=encoder.source.revision,
            use_safetensors=True,
            dtype=torch.float32,
        )
    model = model.to(device).eval()
    order = np.argsort(tokens.lengths(np.arange(len(texts))), kind="stable")
    parts = []
    for start in range(0, len(order), _BATCH):
        rows = [
            torch.tensor(row, dtype=torch.long)
            for row in tokens.rows(order[start : start + _BATCH])
        ]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
        mask = torch.nn.utils.rnn.pad_sequence(
            [torch.ones_like(row) for row in rows], batch_first=True
        ).to(device)
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]
        parts.append(torch.nn.functional.normalize(states.sum(dim=1), dim=1).cpu())
    result: np.ndarray = torch.cat(parts).numpy()[np.argsort(order)]
    return result


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()
