"""What a node of a cluster does for a training: it looks at itself, and it trains one seed."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from project.cluster.checks import Marker, sees
from project.cluster.files import Bundle, node_folder, unpacked
from project.cluster.tasks import Send
from project.support.errors import AssayError
from project.training.encoder import Encoder
from project.training.history import Evaluation, Underway
from project.training.inputs import Phase
from project.training.precision import Machine, device, this_machine
from project.training.results import Job
from project.training.seed import run_job
from project.training.tokens import Tokens


class NodeMachine(NamedTuple):
    """A node as far as training is concerned; ``gpu_bytes`` is the memory of its GPU, 0 without."""

    machine: Machine
    gpu_bytes: int


class RemoteJob(NamedTuple):
    """A job with everything that a node needs for it.

    Attributes
    ----------
    job
        The job, whose paths are those of the driver.
    weights, tokens
        The files at these paths.
    marker
        Marks the folder of checkpoints, which nodes may see or not.
    """

    job: Job
    weights: Bundle
    tokens: Bundle
    marker: Marker


UNDERWAY = "underway"
"""Key of a message between two evaluations."""


def train_on_node(remote: RemoteJob, send: Send) -> dict[str, bytes]:
    """Train a job on a node; returns the files of its result.

    The checkpoint is in the driver's workspace where this node sees it, so that any node goes on
    from there, and else on this node.
    """
    job = _with_local_paths(remote)
    check_device(job.encoder.device)
    marker = remote.marker
    checkpoints = Path(marker.path).parent if sees(marker) else node_folder("checkpoints")
    scratch = node_folder("results", uuid.uuid4().hex)

    def report(evaluation: Evaluation) -> None:
        send(evaluation.as_json())

    def underway(report: Underway) -> None:
        send({UNDERWAY: dataclasses.asdict(report)})

    try:
        run_job(job, scratch, report, underway=underway, checkpoints=checkpoints)
        result = scratch / job.digest
        return {
            path.relative_to(result).as_posix(): path.read_bytes()
            for path in sorted(result.rglob("*"))
            if path.is_file()
        }
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _with_local_paths(remote: RemoteJob) -> Job:
    """The job with the paths of this node."""
    job = remote.job
    inputs = dataclasses.replace(
        job.inputs,
        tokens=Tokens(unpacked(remote.tokens)),
        # Copies, because arrays from the object store cannot be written to.
        phases=tuple(_copied(phase) for phase in job.inputs.phases),
        validation_indices=np.array(job.inputs.validation_indices),
        validation_labels=np.array(job.inputs.validation_labels),
    )
    return dataclasses.replace(
        job,
        encoder=with_weights(job.encoder, remote.weights),
        inputs=inputs,
        test_indices=np.array(job.test_indices),
    )


def with_weights(encoder: Encoder, weights: Bundle) -> Encoder:
    """The encoder with the files of a bundle, which this node unpacks."""
    source = dataclasses.replace(encoder.source, location=str(unpacked(weights)), revision=None)
    return dataclasses.replace(encoder, source=source)


def check_device(planned: str) -> None:
    """Raise AssayError where this node computes on another device than the driver planned."""
    if device() != planned:
        raise AssayError(
            f"this node computes on {device()}, where {planned} was planned. Start Ray on it with "
            "--num-gpus as it has GPUs."
        )


def _copied(phase: Phase) -> Phase:
    return Phase(np.array(phase.indices), np.array(phase.targets), np.array(phase.weights))


def look(argument: None) -> NodeMachine:
    """The machine of this node."""
    del argument
    gpu_bytes = torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else 0
    return NodeMachine(this_machine(), gpu_bytes)
