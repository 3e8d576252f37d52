"""Where the classifiers of a prediction compute: here, or on a Ray cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from entrypoints.wiring.terminal import print_line
from project.config.cluster import NO_CLUSTER
from project.config.predict import PredictConfig
from project.training.classifier import Classified, Classifiers, SavedClassifier
from project.training.precision import precision

if TYPE_CHECKING:
    from project.training.embed_on_cluster import EmbeddingCluster


class BlockClassifier(Protocol):
    """Labels blocks of texts; see :class:`project.training.classifier.Classifiers`."""

    def classified(
        self, blocks: Iterable[tuple[int, list[str]]]
    ) -> Iterator[tuple[int, Classified]]:
        """Number and class probabilities of every block, as they come."""


class Place(NamedTuple):
    """Where classifiers compute: the precision there, and a function that loads them.

    ``embedding`` is where texts are embedded; None: here.
    """

    precision: str
    load: Callable[[], BlockClassifier]
    embedding: EmbeddingCluster | None = None


@contextlib.contextmanager
def open_place(config: PredictConfig, saved: Sequence[SavedClassifier]) -> Iterator[Place]:
    """The place that the parameter ``cluster`` names."""
    if config.cluster == NO_CLUSTER:
        yield Place(
            precision(config.precision),
            lambda: Classifiers(saved, config.precision, config.batch_size),
        )
        return
    from project.cluster.checks import checked_cluster
    from project.training.classify_on_cluster import ClassifierCluster
    from project.training.embed_on_cluster import EmbeddingCluster

    print_line(f"cluster: connecting ({config.cluster}).")
    with checked_cluster(config.cluster) as connection:
        cluster = ClassifierCluster(connection, saved, config.precision, config.batch_size)
        n_nodes, n = len(connection.nodes()), cluster.n_places
        print_line(
            f"cluster: {n_nodes} node{'s' if n_nodes > 1 else ''}, {n} "
            f"block{'s' if n > 1 else ''} at a time."
        )
        yield Place(cluster.precision, lambda: cluster, EmbeddingCluster(connection))
