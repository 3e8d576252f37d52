"""Predictions on a Ray cluster: blocks of texts go to the nodes, probabilities come back."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

from project.cluster.connect import Cluster, Node
from project.cluster.files import bundle
from project.cluster.tasks import Needs, Work, run_tasks
from project.support.errors import AssayError
from project.training.classifier import Classified, SavedClassifier
from project.training.classify_on_node import (
    RemoteBlock,
    RemoteClassifier,
    RemoteClassifiers,
    classify_on_node,
)
from project.training.on_cluster import common_machine
from project.training.on_node import NodeMachine, look
from project.training.precision import precision
from project.training.seed_memory import PROCESS_BYTES

_GIB = 2**30
_BLOCKS_AHEAD = 2  # for each place of the cluster, so that none waits for the driver
_BYTES_OF_A_FILE = 2  # in memory, for each on disk: weights, and a pass over a batch


class ClassifierCluster:
    """Classifiers on the nodes of a cluster, one copy for each CPU or GPU."""

    def __init__(
        self, cluster: Cluster, saved: Sequence[SavedClassifier], requested: str, batch_size: int
    ) -> None:
        """Settle what the nodes compute with.

        Parameters
        ----------
        cluster
            The connection.
        saved, requested, batch_size
            See :class:`project.training.classifier.Classifiers`.

        Raises
        ------
        AssayError
            If no node can hold the classifiers, or the nodes have not got the precision.
        """
        self._cluster = cluster
        found: dict[Node, NodeMachine] = cluster.on_every_node(look, None, with_gpu=True)
        machine = common_machine([one.machine for one in found.values()])
        self.precision = precision(requested, machine)
        n_bytes = sum(path.stat().st_size for one in saved for path in one.model.iterdir())
        memory = PROCESS_BYTES + _BYTES_OF_A_FILE * n_bytes
        self._needs = Needs(1, float(machine.device == "cuda"), memory)
        if not any(map(self._needs.places, cluster.nodes())):
            kind = "GPU" if self._needs.gpus else "CPU"
            raise AssayError(
                f"cluster: no node has a {kind} and {memory / _GIB:.1f} GiB of memory for "
                f"{saved[0].name}. Add a larger node."
            )
        self._saved = saved
        self._device = machine.device
        self._batch_size = batch_size

    @functools.cached_property
    def _classifiers(self) -> RemoteClassifiers:
        """The classifiers, whose files are sent when the first block is to be labelled."""
        sent = tuple(self._sent(one) for one in self._saved)
        return RemoteClassifiers(sent, self._device, self.precision, self._batch_size)

    def _sent(self, saved: SavedClassifier) -> RemoteClassifier:
        model, tokenizer = (
            bundle(self._cluster, [path for path in folder.iterdir() if path.is_file()])
            for folder in (saved.model, saved.tokenizer)
        )
        return RemoteClassifier(saved.name, model, tokenizer, saved.max_length)

    @property
    def n_places(self) -> int:
        """How many blocks the nodes that are here now can label at the same time; at least 1."""
        return max(1, sum(map(self._needs.places, self._cluster.nodes())))

    def classified(
        self, blocks: Iterable[tuple[int, list[str]]]
    ) -> Iterator[tuple[int, Classified]]:
        """Number and class probabilities of every block, as they come.

        ``blocks`` are taken as the cluster has room for them. A block whose worker or node dies is
        labelled elsewhere. Raises AssayError for one that cannot be.
        """

        def finish(
            key: str, value: Classified | None, error: AssayError | None
        ) -> tuple[int, Classified]:
            if error or value is None:
                raise AssayError(f"block {key}: {error} Blocks that are done are kept.")
            return int(key), value

        yield from run_tasks(
            self._cluster,
            Work(
                classify_on_node,
                self._needs,
                lambda: _BLOCKS_AHEAD * self.n_places,
                "Lower batch_size, or use nodes with more memory.",
            ),
            ((str(number), RemoteBlock(self._classifiers, texts)) for number, texts in blocks),
            received=lambda key, message: None,
            finish=finish,
        )
