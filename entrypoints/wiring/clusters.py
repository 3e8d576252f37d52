"""The cluster of the parameter ``cluster``, opened before anything is paid for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from entrypoints.wiring.terminal import print_line
from project.config.cluster import NO_CLUSTER
from project.config.experiment import ExperimentConfig
from project.config.finetune import LINEAR

if TYPE_CHECKING:
    from project.cluster.connect import Cluster
    from project.training.embed_on_cluster import EmbeddingCluster
    from project.training.on_cluster import TrainingCluster


class OpenCluster(NamedTuple):
    """Where texts are annotated, seeds trained, and texts embedded; None: here."""

    annotation: Cluster | None = None
    training: TrainingCluster | None = None
    embedding: EmbeddingCluster | None = None


HERE = OpenCluster()
"""All work is done here."""


@contextlib.contextmanager
def opened_cluster(config: ExperimentConfig, *, trains: bool = True) -> Iterator[OpenCluster]:
    """The cluster of the parameter ``cluster``. Prints what it consists of.

    Without ``trains``, and for ``encoder=linear``, it gets no trainings.
    """
    name = config.cluster.cluster
    if name == NO_CLUSTER:
        yield HERE
        return
    from project.cluster.checks import checked_cluster
    from project.training.embed_on_cluster import EmbeddingCluster
    from project.training.on_cluster import training_on

    print_line(f"cluster: connecting ({name}).")
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(checked_cluster(name))
        embedding = EmbeddingCluster(connection)
        if not trains or config.finetune.encoder == LINEAR:
            n_nodes = len(connection.nodes())
            print_line(f"cluster: {n_nodes} node{'s' if n_nodes > 1 else ''}.")
            yield OpenCluster(connection, None, embedding)
            return
        notes: list[str] = []
        folder = Path(config.host.workspace) / "seeds"
        training = stack.enter_context(training_on(connection, folder, notes))
        for note in notes:
            print_line(f"cluster: {note}")
        yield OpenCluster(connection, training, embedding)
