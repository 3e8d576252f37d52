"""Sentence embeddings on a Ray cluster: blocks of texts go to the nodes, vectors come back."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence

from project.cluster.connect import Cluster, Node
from project.cluster.files import Bundle, bundle, model_files
from project.cluster.tasks import Needs, Work, run_tasks
from project.support.errors import AssayError, Incomplete
from project.training.embed_on_node import RemoteTexts, embed_on_node
from project.training.encoder import Encoder
from project.training.on_cluster import common_machine
from project.training.on_node import NodeMachine, look
from project.training.seed_memory import PROCESS_BYTES
from project.training.vector_store import Vectors

_GIB = 2**30
_BLOCKS_AHEAD = 2  # for each place of the cluster, so that none waits for the driver
_BYTES_OF_A_FILE = 2  # in memory, for each on disk: weights, and a pass over a batch


class EmbeddingCluster:
    """The nodes of a cluster as far as they embed texts: one copy for each CPU or GPU.

    Nothing is asked of the nodes before there are texts to embed.
    """

    def __init__(self, cluster: Cluster) -> None:
        """``cluster``: the connection."""
        self._cluster = cluster
        self._sent: dict[str, Bundle] = {}  # by identity of the encoder

    @functools.cached_property
    def _device(self) -> str:
        """The device on which all nodes compute: a GPU where any node has one."""
        found: dict[Node, NodeMachine] = self._cluster.on_every_node(look, None, with_gpu=True)
        return common_machine([one.machine for one in found.values()]).device

    def _needs(self, encoder: Encoder) -> Needs:
        n_bytes = sum(path.stat().st_size for path in model_files(encoder.source))
        return Needs(1, float(self._device == "cuda"), PROCESS_BYTES + _BYTES_OF_A_FILE * n_bytes)

    def n_places(self, encoder: Encoder) -> int:
        """How many blocks the nodes that are here now can embed at the same time.

        Where it is 0, a line for the user says so.
        """
        needs = self._needs(encoder)
        places = sum(needs.places(node) for node in self._cluster.nodes())
        if not places:
            sys.stderr.write(
                f"cluster: no node has {needs.memory / _GIB:.1f} GiB of memory for "
                f"{encoder.source.name}; texts are embedded here.\n"
            )
        return places

    def run(
        self,
        encoder: Encoder,
        blocks: Sequence[list[str]],
        done: Callable[[int, Vectors], object],
    ) -> None:
        """Embed blocks of texts; a block whose worker or node dies is embedded elsewhere.

        Parameters
        ----------
        encoder
            The encoder, whose files are sent to each node once.
        blocks
            The texts.
        done
            Called with the number of each block and its embeddings ``(n, size)``, as they come.

        Raises
        ------
        Incomplete
            If a block cannot be embedded; those that are done are kept.
        """
        there = dataclasses.replace(encoder, device=self._device)
        weights = self._weights(encoder)
        needs = self._needs(encoder)

        def at_once() -> int:
            return _BLOCKS_AHEAD * max(1, sum(map(needs.places, self._cluster.nodes())))

        def finish(key: str, value: Vectors | None, error: AssayError | None) -> str:
            if value is not None:
                done(int(key), value)
            return "" if error is None else str(error)

        failures = run_tasks(
            self._cluster,
            Work(embed_on_node, needs, at_once, "Use nodes with more memory."),
            (
                (str(number), RemoteTexts(there, weights, texts))
                for number, texts in enumerate(blocks)
            ),
            received=lambda key, message: None,
            finish=finish,
        )
        with contextlib.closing(failures):
            for failure in failures:
                if failure:
                    raise Incomplete(f"embeddings: {failure} Texts that are embedded are kept.")

    def _weights(self, encoder: Encoder) -> Bundle:
        identity = encoder.source.identity
        if identity not in self._sent:
            self._sent[identity] = bundle(self._cluster, model_files(encoder.source))
        return self._sent[identity]
