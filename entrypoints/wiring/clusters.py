"""The cluster on which seeds are trained, opened before anything is paid for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.wiring.terminal import print_line
from project.config.cluster import NO_CLUSTER
from project.config.experiment import ExperimentConfig

if TYPE_CHECKING:
    from project.training.on_cluster import TrainingCluster


@contextlib.contextmanager
def opened_cluster(config: ExperimentConfig) -> Iterator[TrainingCluster | None]:
    """The cluster of the parameter ``cluster``; None where seeds are trained here.

    Prints what it consists of.
    """
    name = config.cluster.cluster
    if name == NO_CLUSTER:
        yield None
        return
    from project.training.on_cluster import training_cluster

    notes: list[str] = []
    print_line(f"cluster: connecting ({name}).")
    with training_cluster(name, Path(config.host.workspace) / "seeds", notes) as cluster:
        for note in notes:
            print_line(f"cluster: {note}")
        yield cluster
