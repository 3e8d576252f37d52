"""The strongest peer of a training: the loop that a skilled user writes in twenty lines.

Weights in float32 under autocast, mini-batches of texts of like length in random order, padded to
their longest text, a fused AdamW, and the schedule of the paper's recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.training_work import N_CLASSES, Work
from project.support.models import quiet_transformers
from project.training.precision import autocast

BATCH_SIZE = 16
_SORTED = 50  # mini-batches whose texts are sorted by length together, as in transformers


def plain_epoch(work: Work, precision: str, clock: Callable[[Callable[[], Any]], float]) -> float:
    """Seconds of one epoch, without loading."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with quiet_transformers():
        model: Any = transformers.AutoModelForSequenceClassification.from_pretrained(
            work.model.source.location, num_labels=N_CLASSES, dtype=torch.float32
        )
    model = model.to(device).train()
    rows = work.rows(0, work.n)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.01, fused=True)
    n_steps = -(-work.n // BATCH_SIZE)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, n_steps // 20, n_steps)

    def epoch() -> None:
        for batch in like_lengths([len(row["input_ids"]) for row in rows]):
            ids = [torch.from_numpy(rows[index]["input_ids"]) for index in batch]
            padded = torch.nn.utils.rnn.pad_sequence(
                ids, batch_first=True, padding_value=model.config.pad_token_id
            )
            lengths = torch.tensor([len(row) for row in ids])
            mask = torch.arange(padded.shape[1])[None] < lengths[:, None]
            labels = torch.tensor([rows[index]["labels"] for index in batch])
            with autocast(precision, device):
                output = model(
                    input_ids=padded.to(device),
                    attention_mask=mask.long().to(device),
                    labels=labels.to(device),
                )
            output.loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()

    return clock(epoch)


def like_lengths(lengths: list[int]) -> list[np.ndarray]:
    """Mini-batches of texts of like length, in random order."""
    random = np.random.default_rng(0)
    order = random.permutation(len(lengths))
    size = _SORTED * BATCH_SIZE
    in_order = [
        sorted(order[start : start + size], key=lambda index: lengths[index])
        for start in range(0, len(order), size)
    ]
    flat = np.concatenate(in_order)
    batches = [flat[start : start + BATCH_SIZE] for start in range(0, len(flat), BATCH_SIZE)]
    random.shuffle(batches)
    return batches
