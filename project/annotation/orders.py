"""What nodes of a cluster are asked to open, and what of them each copy of an engine takes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from project.annotation.engines.factory import check_engine_settings
from project.annotation.on_node import Order, Seen
from project.cluster.checks import versions
from project.cluster.connect import Cluster, Node
from project.cluster.files import bundle, model_files
from project.cluster.tasks import Needs
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig
from project.config.fields import AUTO
from project.data.task import Task
from project.support.errors import AssayError
from project.support.model_files import model_files as weights_of
from project.support.models import annotator_source

_PROCESS_BYTES = 512 * 2**20  # an engine's process without its model
_GIB = 2**30
FASTEST_FIRST = ("bfloat16", "float16", "float32")


class Placement(NamedTuple):
    """Which nodes hold copies of an engine, and what each copy takes.

    Attributes
    ----------
    gpus, memory
        GPUs and bytes of main memory of each copy.
    on_gpu
        Whether only nodes with a GPU hold any.
    most
        The most copies on a node; 0: as many as it has room for.
    """

    gpus: float
    memory: int
    on_gpu: bool
    most: int

    def slots(self, node: Node) -> int:
        """How many copies a node holds."""
        if self.on_gpu and not node.gpus:
            return 0
        rooms = [node.cpus, node.memory / self.memory]
        if self.gpus:
            rooms.append(node.gpus / self.gpus)
        if self.most:
            rooms.append(self.most)
        return int(min(rooms) + 1e-6)

    def needs(self, node: Node) -> Needs:
        """What a copy takes of a node: one CPU beside its GPUs, else its part of all CPUs."""
        cpus = 1 if self.gpus else max(1, int(node.cpus) // max(1, self.slots(node)))
        return Needs(cpus, self.gpus, self.memory)


def order_of(config: ExperimentConfig, task: Task | None) -> Order:
    """What nodes open for a configuration; files are added where a node lacks them.

    ``task`` may be None for engines that do not take it.
    """
    annotate = config.annotate
    server = config.server
    facts = engine_facts(annotate.annotator)
    check_engine_settings(annotate)
    source = None
    if facts.local_weights:
        source = annotator_source(annotate.annotator_model, annotate.annotator_revision)
        if source.revision:  # a branch may move
            annotate = dataclasses.replace(annotate, annotator_revision=source.revision)
    elif facts.server:
        from project.annotation.engines.openai.tokenizer import NO_TOKENIZER, server_tokenizer

        if server_tokenizer(annotate, server)[0] is None:
            server = dataclasses.replace(server, annotator_tokenizer=NO_TOKENIZER)
        else:
            name = server.annotator_tokenizer
            name = annotate.annotator_model if name == AUTO else name
            source = annotator_source(name, annotate.annotator_revision)
    key_variable = config.server.api_key_variable if facts.server else ""
    arguments: dict[str, object] = {
        "annotate": annotate,
        "server": server,
        "recorded": config.recorded,
    }
    if "task" in facts.takes:
        arguments["task"] = task
    return Order(
        engine=annotate.annotator,
        facts=facts,
        arguments=arguments,
        source=source,
        files=None,
        key_variable=key_variable if os.environ.get(key_variable) else "",
        versions=versions(),
    )


def files_of(order: Order) -> list[Path]:
    """The files that a node needs for an order."""
    if order.source is None:
        return []
    paths = model_files(order.source, fetch=order.facts.local_weights)
    if order.facts.local_weights:
        return paths
    # Of a server's model, the tokenizer alone is used.
    return [path for path in paths if path.suffix != ".safetensors"]


def with_files(cluster: Cluster, order: Order) -> Order:
    """The order with the files of its model in the object store."""
    if order.source is None or order.files:
        return order
    return order._replace(files=bundle(cluster, files_of(order)))


def placement_of(order: Order, nodes: Sequence[Node]) -> Placement:
    """Where the copies of the engine are. Raises AssayError if no node can hold one.

    As without a cluster, a copy takes ``tensor_parallel`` GPUs where there are any; else a machine
    has one copy that uses all its cores, since the number of cores changes the last bits of the
    answers. ``annotator_processes`` is the number of copies on each machine.
    """
    facts = order.facts
    annotate = order.arguments["annotate"]
    n_bytes = 0
    n_parameters = 0
    if facts.local_weights:
        weights = weights_of(
            "annotator_model", annotate.annotator_model, annotate.annotator_revision
        )
        n_bytes = weights.n_bytes
        n_parameters = weights.n_parameters
    most = annotate.annotator_processes or 0
    on_gpu = facts.runs_here and any(node.gpus for node in nodes)
    if on_gpu:
        gpus = annotate.tensor_parallel
        placement = Placement(gpus, _PROCESS_BYTES + n_bytes, True, most)
    else:
        # On a CPU the weights may be read as float32 where they are stored in half of that.
        n_bytes = max(n_bytes, 4 * n_parameters)
        most = (most if facts.runs_here else 0) or 1
        placement = Placement(0, _PROCESS_BYTES + n_bytes, False, most)
    if nodes and not any(map(placement.slots, nodes)):
        raise AssayError(_too_large(order, placement, nodes))
    return placement


def _too_large(order: Order, placement: Placement, nodes: Sequence[Node]) -> str:
    name = order.source.name if order.source else order.engine
    gpus = f"{placement.gpus:g} GPUs and " if placement.gpus else ""
    largest = max(nodes, key=lambda node: (node.gpus, node.memory))
    there = f"{largest.gpus:g} GPUs and " if placement.gpus else ""
    return (
        f"annotator {name} needs {gpus}{placement.memory / _GIB:.1f} GiB of memory on a node; the "
        f"largest node of the cluster has {there}{largest.memory / _GIB:.1f} GiB. Add a larger "
        "node, lower tensor_parallel, or name a smaller annotator_model."
    )


def agreed(seen: Sequence[Seen]) -> Seen:
    """What holds on all nodes: they compute on GPUs where one does, in the dtype all can.

    Raises AssayError where their answers would differ in another way.
    """
    with_gpu = [one for one in seen if one.identity.get("device") == "cuda"] or seen
    dtypes = {one.identity.get("dtype", AUTO) for one in with_gpu}
    if len(dtypes) > 1:
        slowest = max(dtypes & {*FASTEST_FIRST}, key=FASTEST_FIRST.index)
        with_gpu = [one for one in with_gpu if one.identity["dtype"] == slowest]
    first = with_gpu[0]
    for other in with_gpu:
        for key in first.identity.keys() | other.identity.keys():
            here, there = first.identity.get(key), other.identity.get(key)
            if here != there:
                raise AssayError(
                    f"cluster: the annotator's {key} is {here} on one node and {there} on "
                    "another, so that their answers would differ. Install the same on all nodes."
                )
    return first
