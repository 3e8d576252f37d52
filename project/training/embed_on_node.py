"""What a node of a cluster does for sentence embeddings: it loads the encoder once."""

from __future__ import annotations

from typing import NamedTuple

from project.cluster.files import Bundle
from project.cluster.tasks import Send
from project.training.embedder import Embedder
from project.training.encoder import Encoder
from project.training.on_node import check_device, with_weights
from project.training.vector_store import Vectors


class RemoteTexts(NamedTuple):
    """One block of texts, and the encoder, whose files travel."""

    encoder: Encoder
    weights: Bundle
    texts: list[str]


_loaded: dict[tuple[object, ...], Embedder] = {}
"""The encoder of the last block. Ray runs the tasks of a job in processes that stay."""


def embed_on_node(block: RemoteTexts, send: Send) -> Vectors:
    """The embeddings ``(n, size)`` of a block of texts."""
    del send
    check_device(block.encoder.device)
    identity = (block.weights.digest, block.encoder.max_length, block.encoder.precision)
    if identity not in _loaded:
        _loaded.clear()
        _loaded[identity] = Embedder(with_weights(block.encoder, block.weights), n_threads=1)
    return _loaded[identity].embed(block.texts)
