"""Sentence embeddings of texts by the bundled encoder, kept on disk text by text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from project.config.finetune import FinetuneConfig
from project.stats.types import Floats
from project.support.files import digest
from project.training.embedder import BLOCK, Embedder
from project.training.encoder import Encoder
from project.training.precision import embedding_precision
from project.training.vector_store import Vectors, VectorStore, text_key

FEW = 2 * BLOCK
"""New texts up to which the driver of a cluster embeds them.

Sending them, and a process there that imports torch and loads the encoder, take about as long.
"""


class BlockEmbedder(Protocol):
    """Embeds blocks elsewhere; see :class:`project.training.embed_on_cluster.EmbeddingCluster`."""

    def n_places(self, encoder: Encoder) -> int:
        """How many blocks it embeds at the same time; 0: it cannot hold the encoder."""

    def run(
        self,
        encoder: Encoder,
        blocks: Sequence[list[str]],
        done: Callable[[int, Vectors], object],
    ) -> None:
        """Embed blocks, and call ``done`` with the number and the embeddings of each."""


def embeddings(
    texts: Sequence[str], workspace: Path, cluster: BlockEmbedder | None = None
) -> Floats:
    """Embeddings of texts in float64, ``(n, size)``; see :func:`embed`."""
    vectors = embed(texts, workspace, progress=lambda n: None, cluster=cluster)
    return vectors.astype(np.float64)


def embed(
    texts: Sequence[str],
    workspace: Path,
    *,
    progress: Callable[[int], object],
    cluster: BlockEmbedder | None = None,
) -> Vectors:
    """Embeddings of texts, ``(n, size)``: the mean over a text's tokens, scaled to length 1.

    The bundled all-MiniLM-L6-v2 was trained with this mean. They are computed in
    :func:`project.training.precision.embedding_precision`. A text is embedded once, whichever
    task or list it is in. Every block of texts is on disk as soon as it is embedded, so that a
    run that was killed goes on where it stopped.

    Parameters
    ----------
    texts
        The texts.
    workspace
        Files go to ``embeddings`` below it.
    progress
        Called with the number of texts that need no work, then with that of every block.
    cluster
        Where more than :data:`FEW` new texts are embedded; None: here.

    Raises
    ------
    Incomplete
        If the cluster cannot embed a block; the others are kept.
    """
    encoder = Encoder.find(FinetuneConfig(precision=embedding_precision()))
    identity: list[object] = [encoder.source.identity, encoder.max_length]
    if encoder.precision != "fp32":
        identity.append(encoder.precision)
    name = digest(identity)
    store = VectorStore(workspace / "embeddings" / name)
    keys = [text_key(text) for text in texts]
    with store.lock:
        rows = store.rows()
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in rows}
        progress(len(texts) - len(missing))
        if missing:
            _append(store, encoder, missing, progress, cluster)
            rows = store.rows()
        # Inside the lock: another process may cut off what a killed one left.
        return store.read([rows[key] for key in keys])


def _append(
    store: VectorStore,
    encoder: Encoder,
    missing: dict[bytes, str],
    progress: Callable[[int], object],
    cluster: BlockEmbedder | None,
) -> None:
    """Embed the texts of ``missing`` by key, block by block, the shortest ones first."""
    # Texts of a similar length share a batch, so that little of it is padding. Of equally long
    # ones the key decides, so that the order in which texts are given changes no bit.
    ordered = sorted(missing.items(), key=lambda item: (len(item[1]), item[0]))
    blocks = [ordered[start : start + BLOCK] for start in range(0, len(ordered), BLOCK)]
    texts = [[text for _, text in block] for block in blocks]

    def keep(number: int, vectors: Vectors) -> None:
        store.append([key for key, _ in blocks[number]], vectors)
        progress(len(blocks[number]))

    if cluster is not None and len(missing) > FEW and cluster.n_places(encoder):
        cluster.run(encoder, texts, keep)
        return
    embedder = Embedder(encoder)
    for number, block in enumerate(texts):
        keep(number, embedder.embed(block))
