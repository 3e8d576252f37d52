"""Whether nodes of a cluster can hold an annotator, found without sending or loading its model."""

from __future__ import annotations

from typing import NamedTuple

from project.annotation.on_node import Order, check_node, lacks_files
from project.annotation.orders import FASTEST_FIRST, Placement, order_of, placement_of
from project.cluster.connect import Cluster, Node
from project.config.experiment import ExperimentConfig
from project.config.fields import AUTO
from project.data.task import Task
from project.support.errors import AssayError
from project.support.gpu_dtype import gpu_dtype, lowest_capability
from project.support.machine import faster_cpu_dtype, gpus
from project.support.model_files import model_files

_GIB = 2**30
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


class NodeRoom(NamedTuple):
    """A node as an annotator finds it.

    Attributes
    ----------
    has_files
        Whether it has the model, or needs none.
    device, dtype
        Where and in which fastest dtype it computes: ``cuda`` or ``cpu``.
    gpu_bytes
        Memory of its smallest GPU in all; 0 without one, or where it is unknown.
    """

    has_files: bool
    device: str
    dtype: str
    gpu_bytes: int


class Room(NamedTuple):
    """What a cluster has for an annotator.

    Attributes
    ----------
    n_copies, n_nodes
        Copies of the engine, and nodes that hold any.
    n_with_files
        How many of these nodes have the model on their disks.
    device, dtype
        Where and in which dtype all copies compute.
    too_small
        Names of the nodes that hold no copy.
    """

    n_copies: int
    n_nodes: int
    n_with_files: int
    device: str
    dtype: str
    too_small: list[str]


def room_on_nodes(cluster: Cluster, config: ExperimentConfig, task: Task | None) -> Room:
    """What a cluster has for the annotator of a configuration.

    Parameters
    ----------
    cluster
        The connection.
    config
        The configuration.
    task
        The task; None for engines that do not take it.

    Raises
    ------
    AssayError
        If a node lacks a package or a key or cannot reach the server, or no node can hold the
        model.
    """
    order = order_of(config, task)
    nodes = cluster.nodes()
    placement = placement_of(order, nodes)
    found: dict[Node, NodeRoom] = cluster.on_every_node(look, order, with_gpu=placement.on_gpu)
    holding = {node: room for node, room in found.items() if placement.slots(node)}
    if order.facts.runs_here and any(room.device == "cuda" for room in holding.values()):
        holding = {node: room for node, room in holding.items() if room.device == "cuda"}
    dtype = config.annotate.annotator_dtype
    if dtype == AUTO:
        dtype = max((room.dtype for room in holding.values()), key=FASTEST_FIRST.index)
    if placement.gpus:
        holding = _with_gpu_memory(order, placement, dtype, holding)
    return Room(
        n_copies=sum(map(placement.slots, holding)),
        n_nodes=len(holding),
        n_with_files=sum(room.has_files for room in holding.values()),
        device=next(iter(holding.values())).device,
        dtype=dtype,
        too_small=[node.name for node in found if node not in holding],
    )


def look(order: Order) -> NodeRoom:
    """What this node is.

    Raises AssayError where it lacks the engine's package or key, or cannot reach the server.
    """
    check_node(order)
    if order.facts.server:
        from project.annotation.engines.openai.listed import listed_models

        listed_models(order.arguments["annotate"], order.arguments["server"])
    capability = lowest_capability()
    if capability is None:
        return NodeRoom(not lacks_files(order), "cpu", faster_cpu_dtype(), 0)
    n_bytes = min((gpu.memory for gpu in gpus()), default=0)
    return NodeRoom(not lacks_files(order), "cuda", gpu_dtype(capability), n_bytes)


def _with_gpu_memory(
    order: Order, placement: Placement, dtype: str, nodes: dict[Node, NodeRoom]
) -> dict[Node, NodeRoom]:
    """The nodes whose GPUs hold the weights; AssayError if there are none."""
    annotate = order.arguments["annotate"]
    weights = model_files("annotator_model", annotate.annotator_model, annotate.annotator_revision)
    n_bytes = weights.n_parameters * _BYTES[dtype] or weights.n_bytes
    of_each = n_bytes / placement.gpus
    holding = {
        node: room for node, room in nodes.items() if room.gpu_bytes > of_each or not room.gpu_bytes
    }
    if not holding:
        largest = max(room.gpu_bytes for room in nodes.values())
        raise AssayError(
            f"annotator {weights.name} needs {of_each / _GIB:.1f} GiB for its weights on each of "
            f"{placement.gpus:g} GPUs, in {dtype}; the largest GPU of the cluster has "
            f"{largest / _GIB:.1f} GiB. Raise tensor_parallel, add a larger GPU, or name a smaller "
            "annotator_model."
        )
    return holding
