"""The parameter cluster, without Ray: which values it takes, and what stops before Ray starts."""

import importlib.util
import socket

import pytest

from project.cluster import connect
from project.cluster.checks import Marker, differences, marked, sees, versions
from project.cluster.connect import Node
from project.cluster.tasks import Needs
from project.config.cluster import ClusterConfig
from project.config.entry_points import ENTRY_POINTS
from project.config.experiment import experiment_config
from project.support.errors import AssayError, Incomplete


@pytest.mark.parametrize(
    "value", ["none", "local", "auto", "ray://head:10001", "10.0.0.7:6379", "ray://[::1]:10001"]
)
def test_words_and_addresses_are_taken(value):
    assert ClusterConfig(cluster=value).cluster == value


@pytest.mark.parametrize(
    "value", ["", "locl", "ray", "head", "head:0", "head:70000", "http://head:1", "ray://head"]
)
def test_anything_else_is_refused_with_what_is_allowed(value):
    with pytest.raises(AssayError, match="cluster must be none, local, auto, HOST:PORT"):
        ClusterConfig(cluster=value)


def test_a_typo_gets_the_word_that_is_meant():
    with pytest.raises(AssayError, match="Did you mean 'local'"):
        ClusterConfig(cluster="locl")


def test_a_logistic_regression_takes_a_cluster_for_its_embeddings():
    alone = {"annotator": "none", "annotator_model": "none"}
    for others in ({}, alone):
        config = experiment_config({"encoder": "linear", "cluster": "local", **others})
        assert config.cluster.cluster == "local"


def test_a_node_has_as_many_places_as_its_scarcest_resource_allows():
    node = Node("id", "name", cpus=8, gpus=2, memory=10 << 30)

    assert Needs(1, 0, 0).places(node) == 8
    assert Needs(1, 0, 3 << 30).places(node) == 3
    assert Needs(1, 1 / 3, 0).places(node) == 6
    assert Needs(16, 0, 0).places(node) == 0


def test_every_entry_point_that_annotates_fine_tunes_or_predicts_takes_the_parameter():
    taking = {name for name, entry in ENTRY_POINTS.items() if "cluster" in entry.rules()}

    trains = {"main", "suite", "finetune", "curve", "grid", "budget", "sweep", "audit", "check"}
    assert taking == trains | {"annotate", "ask", "predict", "monitor"}


def test_a_missing_ray_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with (
        pytest.raises(AssayError, match="cluster=local needs Ray.*requirements-ray.txt"),
        connect.connected("local"),
    ):
        pass


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_an_address_where_nothing_listens_is_named_at_once(prefix):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    address = f"{prefix}127.0.0.1:{port}"

    with pytest.raises(Incomplete, match=f"{address} cannot be reached.*cluster=local"):
        connect.check_port(address)


def test_a_node_with_other_versions_or_another_code_is_described_by_what_differs():
    here = {"Python": "3.11.9", "torch": "2.13.0", "code of Assay": "abc"}
    there = {"Python": "3.11.9", "torch": "2.12.0"}

    assert differences(here, there) == [
        "torch 2.12.0 (here 2.13.0)",
        "code of Assay none (here abc)",
    ]
    assert differences(here, dict(here)) == []


def test_a_cpu_build_and_a_gpu_build_of_torch_are_the_same_version():
    assert "+" not in versions()["torch"]


def test_a_folder_is_recognised_by_the_text_of_its_marker(tmp_path):
    with marked(tmp_path) as marker:
        assert sees(marker)
        assert not sees(Marker(marker.path, "another text"))
    assert not sees(marker)
    assert list(tmp_path.iterdir()) == []
