"""The entry point check with cluster=."""

import importlib.util

import pytest

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed here; make test-cluster installs it", allow_module_level=True)

import dataclasses

from entrypoints import check
from project.annotation.room_on_nodes import room_on_nodes
from project.cluster.checks import checked_cluster
from project.config.annotation import AnnotateConfig, ServerConfig
from project.config.experiment import ExperimentConfig
from project.support.errors import AssayError
from tests.helpers.faulty_server import EXACT
from tests.helpers.ray_tasks import MARKS

pytestmark = MARKS


def test_nodes_are_asked_what_they_can_hold(params, nodes, capsys):
    check.check(params("check", cluster=nodes.address, precision="fp32"))
    printed = capsys.readouterr().err

    assert "transformers: 3 copies on 3 nodes, on cpu in float32" in printed
    assert "3 of 3 nodes with it on the disk" in printed
    assert "3 at the same time, on cpu in fp32" in printed


def test_every_node_asks_the_server_and_one_that_cannot_reach_it_is_named(
    nodes, serve, vocabulary, tiny_llm
):
    server, here = serve(vocabulary, tokenizer=tiny_llm, can={EXACT})
    server_config = ServerConfig(annotator_url=here._server.annotator_url)
    config = dataclasses.replace(
        ExperimentConfig(),
        annotate=AnnotateConfig(annotator="openai", annotator_model="model"),
        server=server_config,
    )
    nowhere = dataclasses.replace(server_config, annotator_url="http://127.0.0.1:9/v1")

    with checked_cluster(nodes.address) as cluster:
        n_before = len(server.requests)
        room_on_nodes(cluster, config, None)
        assert len(server.requests) == n_before + 3
        with pytest.raises(AssayError, match=r"node [\d.]+: .*127\.0\.0\.1:9.*reached"):
            room_on_nodes(cluster, dataclasses.replace(config, server=nowhere), None)
