"""Sections of the entry point check on the nodes of a cluster, and on what they can hold."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.wiring.check_report import CheckReport, Rows
from entrypoints.wiring.clusters import OpenCluster
from project.config.arms import arm_facts
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig
from project.config.finetune import LINEAR, FinetuneConfig
from project.data.task import load_task
from project.support.model_files import model_files

if TYPE_CHECKING:
    from project.cluster.connect import Cluster


def check_cluster(report: CheckReport, config: ExperimentConfig) -> None:
    """Print what the nodes are, and whether they can hold the annotator and the encoder."""
    with contextlib.ExitStack() as stack:
        cluster = report.section("cluster", _node_rows(config, stack))
        if cluster is None or cluster.annotation is None:  # not connected
            return
        report.section("annotator on the nodes", _annotator_rows(cluster.annotation, config))
        report.section("encoder on the nodes", _encoder_rows(cluster, config))


def _node_rows(config: ExperimentConfig, stack: contextlib.ExitStack) -> Rows[OpenCluster]:
    """The nodes; returns the connection, which ``stack`` closes."""
    from project.cluster.checks import checked_cluster
    from project.training.embed_on_cluster import EmbeddingCluster
    from project.training.on_cluster import training_on

    connection = stack.enter_context(checked_cluster(config.cluster.cluster))
    notes: list[str] = []
    folder = Path(config.host.workspace) / "seeds"
    training = stack.enter_context(training_on(connection, folder, notes))
    for note in notes:
        yield "Ray", note
    return OpenCluster(connection, training, EmbeddingCluster(connection))


def _annotator_rows(cluster: Cluster, config: ExperimentConfig) -> Rows[None]:
    """How many copies of the engine the nodes hold; AssayError if no node can."""
    facts = engine_facts(config.annotate.annotator)
    if not any(arm_facts(kind).reads_llm for kind in config.label.arms):
        yield "engine", "none is needed"
        return
    if not facts.has_prompt:
        yield "engine", f"{config.annotate.annotator}: its labels are read on the driver"
        return
    from project.annotation.room_on_nodes import room_on_nodes

    room = room_on_nodes(cluster, config, load_task(config.task) if "task" in facts.takes else None)
    copies = "copy" if room.n_copies == 1 else "copies"
    where = f", on {room.device} in {room.dtype}" if facts.runs_here else ""
    yield (
        "engine",
        f"{config.annotate.annotator}: {room.n_copies} {copies} on {_nodes(room.n_nodes)}{where}",
    )
    if facts.server:
        yield "server", "answers from every node"
    if room.too_small:
        yield "no copy", f"note: none on {', '.join(room.too_small)}, which lacks a GPU or memory"
    if facts.local_weights:
        sent = "; it is sent to the others" if room.n_with_files < room.n_nodes else ""
        yield "model", f"{room.n_with_files} of {_nodes(room.n_nodes)} with it on the disk{sent}"


def _encoder_rows(cluster: OpenCluster, config: ExperimentConfig) -> Rows[None]:
    """How many seeds the nodes train at the same time; AssayError if no node can hold one."""
    from project.training.encoder import Encoder

    if cluster.training is None or cluster.embedding is None:
        return
    if config.finetune.encoder == LINEAR:
        n = cluster.embedding.n_places(Encoder.find(FinetuneConfig(precision="fp32")))
        yield "embeddings", f"{n} blocks of texts at the same time"
        return
    name = config.finetune.encoder
    if not model_files("encoder", name, config.finetune.encoder_revision).is_local:
        yield "seeds", "not tried: an experiment fetches the encoder before it annotates"
        return
    encoder = Encoder.find(config.finetune, cluster.training.machine)
    n = cluster.training.n_slots(encoder, config.finetune)
    yield (
        "seeds",
        f"{n} at the same time, on {encoder.device} in {encoder.precision}, as far as their "
        "mini-batches fit",
    )


def _nodes(n: int) -> str:
    return f"{n} node{'' if n == 1 else 's'}"
