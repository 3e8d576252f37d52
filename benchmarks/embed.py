"""Measure sentence embeddings beside transformers as sentence-transformers calls it, in turn.

    python -m benchmarks.embed
    python -m benchmarks.embed --texts 64 --repeats 1

Both embed the same texts of the bundled task with the bundled encoder in the same dtype,
tokenisation included. The peer sorts the texts by length, pads each batch to its longest text,
takes the mean over the tokens, and has the batch size that is fastest in a first try. Seconds are
those of all cores, with one thread for every product.
"""

from __future__ import annotations

import functools
import statistics
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from benchmarks import command
from benchmarks.machine import Report, Row, alternate, cpu_seconds, machine_lines, speedup_row
from project.config.finetune import FinetuneConfig
from project.config.task import TaskConfig
from project.data.task import load_task
from project.support.models import encoder_source, quiet_transformers
from project.training.embedder import BLOCK, Embedder
from project.training.encoder import Encoder
from project.training.precision import DTYPES, embedding_precision

BATCH_SIZES = (8, 16, 32, 64)
MAX_MILLISECONDS = 4.0  # of a core, for a text


class Peer:
    """The encoder as a user of transformers loads it."""

    def __init__(self, precision: str, max_length: int) -> None:
        location = encoder_source("bundled", "main").location
        with quiet_transformers():
            self._tokenizer: Any = AutoTokenizer.from_pretrained(location)
            self._model: Any = AutoModel.from_pretrained(location, dtype=DTYPES[precision])
        self._model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
        self._max_length = max_length

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], batch_size: int) -> np.ndarray:
        """Embeddings ``(n, size)``."""
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        parts = []
        for start in range(0, len(order), batch_size):
            batch = [texts[index] for index in order[start : start + batch_size]]
            inputs = self._tokenizer(
                batch,
                padding=True,
                truncation=True,
                max_length=self._max_length,
                return_tensors="pt",
            ).to(self._model.device)
            states = self._model(**inputs).last_hidden_state.float()
            means = (states * inputs["attention_mask"][..., None]).sum(dim=1)
            parts.append(torch.nn.functional.normalize(means, dim=1).cpu().numpy())
        return np.asarray(np.concatenate(parts)[np.argsort(order)])


def measure(texts: Sequence[str], repeats: int, report: Report) -> None:
    """Add the rows and the notes to ``report``."""
    kind = embedding_precision()
    encoder = Encoder.find(FinetuneConfig(precision=kind))
    embedder = Embedder(encoder)
    peer = Peer(kind, encoder.max_length)

    def ours() -> np.ndarray:
        in_order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        blocks = [
            embedder.embed([texts[index] for index in in_order[start : start + BLOCK]])
            for start in range(0, len(in_order), BLOCK)
        ]
        return np.asarray(np.concatenate(blocks)[np.argsort(in_order)])

    found = ours()
    tried = {size: cpu_seconds(functools.partial(peer.embed, texts, size)) for size in BATCH_SIZES}
    best = min(tried, key=lambda size: tried[size])
    times = alternate(
        {
            "ours": lambda _: cpu_seconds(ours),
            "theirs": lambda _: cpu_seconds(lambda: peer.embed(texts, best)),
        },
        repeats,
    )
    n = len(texts)
    tokens = np.mean([len(ids) for ids, _ in encoder.encode([*texts])])
    report.rows.append(
        speedup_row(
            f"embeddings of {n} texts, {kind}, against transformers with sorted texts in "
            f"batches of {best}",
            times["ours"],
            times["theirs"],
            target=None,
        )
    )
    milliseconds = 1000 * statistics.median(times["ours"]) / n
    report.rows.append(
        Row(
            f"embedding a text of {tokens:.0f} tokens, {kind}, one core",
            f"{milliseconds:.1f} ms",
            target=f"<= {MAX_MILLISECONDS:g} ms",
            met=milliseconds <= MAX_MILLISECONDS,
        )
    )
    cosine = float((found * peer.embed(texts, best)).sum(axis=1).min())
    report.notes.append(f"The least cosine of both sides' embeddings of a text is {cosine:.5f}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if a target was missed."""
    parser = command.parser(__doc__, ["embeddings"], repeats=5)
    parser.add_argument("--texts", type=int, default=512, help="texts to embed")
    options = parser.parse_args(arguments)
    lines = ["## Embeddings", "", *machine_lines()]
    torch.set_num_threads(1)
    report = Report()
    texts = list(load_task(TaskConfig()).examples["text"])[: options.texts]
    measure(texts, options.repeats, report)
    return command.conclude(lines, report, options)


if __name__ == "__main__":
    sys.exit(main())
