"""What a cluster has for an annotator, on nodes that are described and not there."""

import dataclasses

import pytest

from project.annotation import orders, room_on_nodes
from project.annotation.room_on_nodes import NodeRoom
from project.cluster.connect import Node
from project.config.annotation import AnnotateConfig
from project.config.experiment import ExperimentConfig
from project.support.errors import AssayError
from project.support.model_files import ModelFiles

GIB = 1 << 30
CPU = NodeRoom(has_files=True, device="cpu", dtype="bfloat16", gpu_bytes=0)
H100 = NodeRoom(has_files=False, device="cuda", dtype="bfloat16", gpu_bytes=80 * GIB)
T4 = NodeRoom(has_files=True, device="cuda", dtype="float16", gpu_bytes=16 * GIB)


class Nodes:
    """Nodes with what each one answers."""

    def __init__(self, *rooms, memory=64 * GIB):
        self._found = {
            Node(str(number), f"node{number}", 8, float(room.device == "cuda"), memory): room
            for number, room in enumerate(rooms)
        }

    def nodes(self):
        return [*self._found]

    def on_every_node(self, function, argument, *, with_gpu):
        return self._found


@pytest.fixture
def room(tiny_llm, monkeypatch):
    """A function from nodes to the room that they have for a model of seven billion parameters."""
    large = ModelFiles("large", "a folder", True, 14 * 10**9, 7 * 10**9)
    for module, name in ((orders, "weights_of"), (room_on_nodes, "model_files")):
        monkeypatch.setattr(module, name, lambda *arguments: large)
    config = ExperimentConfig(
        annotate=AnnotateConfig(annotator="transformers", annotator_model=str(tiny_llm))
    )

    def of(nodes, **changes):
        annotate = dataclasses.replace(config.annotate, **changes)
        return room_on_nodes.room_on_nodes(
            nodes, dataclasses.replace(config, annotate=annotate), None
        )

    return of


def test_nodes_without_a_gpu_hold_one_copy_each(room):
    found = room(Nodes(CPU, CPU._replace(dtype="float32", has_files=False)))

    assert (found.n_copies, found.n_nodes, found.n_with_files) == (2, 2, 1)
    assert (found.device, found.dtype, found.too_small) == ("cpu", "float32", [])


def test_where_a_node_has_a_gpu_the_others_hold_no_copy(room):
    found = room(Nodes(CPU, H100, T4), annotator_dtype="float16")

    assert (found.n_copies, found.n_nodes, found.n_with_files) == (2, 2, 1)
    assert (found.device, found.dtype, found.too_small) == ("cuda", "float16", ["node0"])


def test_a_gpu_that_is_too_small_holds_no_copy(room):
    found = room(Nodes(H100, T4._replace(gpu_bytes=8 * GIB)))

    assert (found.n_copies, found.too_small) == (1, ["node1"])


def test_a_model_that_no_gpu_holds_is_named_with_both_sizes_and_the_way_out(room):
    with pytest.raises(
        AssayError,
        match=r"annotator large needs 13\.0 GiB .* on each of 1 GPUs, in float16; the largest GPU "
        r"of the cluster has 8\.0 GiB\. Raise tensor_parallel",
    ):
        room(Nodes(CPU, T4._replace(gpu_bytes=8 * GIB)))


def test_a_model_that_no_memory_holds_is_named_with_both_sizes_and_the_way_out(room):
    with pytest.raises(AssayError, match=r"needs 26\.6 GiB of memory .* has 16\.0 GiB\. Add a "):
        room(Nodes(CPU, memory=16 * GIB))
