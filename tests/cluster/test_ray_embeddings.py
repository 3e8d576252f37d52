"""Texts are embedded on a real Ray cluster of three nodes as on this machine."""

import importlib.util

import pytest

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed here; make test-cluster installs it", allow_module_level=True)

from project.cluster.checks import checked_cluster
from project.config.finetune import FinetuneConfig
from project.training import embeddings as module
from project.training.embed_on_cluster import EmbeddingCluster
from project.training.embeddings import embed
from project.training.encoder import Encoder
from tests.helpers.ray_tasks import MARKS, NODE

pytestmark = MARKS
N_TEXTS = 300


@pytest.fixture(scope="module")
def cluster(nodes):
    """One connection for all tests."""
    with checked_cluster(nodes.address) as connection:
        yield EmbeddingCluster(connection)


@pytest.fixture
def texts(tiny_encoder, words, monkeypatch):
    """Texts of one to forty words, for blocks of sixteen and a small encoder."""
    encoder = Encoder.find(FinetuneConfig(encoder=str(tiny_encoder), precision="fp32"))
    monkeypatch.setattr(Encoder, "find", lambda config: encoder)
    monkeypatch.setattr(module, "BLOCK", 16)
    monkeypatch.setattr(module, "FEW", 32)
    return [" ".join(words[index : index + 1 + index % 40]) for index in range(N_TEXTS)]


def test_nodes_give_the_bits_of_this_machine(cluster, texts, tmp_path, capfd):
    counted: list[int] = []
    there = embed(texts, tmp_path / "there", progress=counted.append, cluster=cluster)
    here = embed(texts, tmp_path / "here", progress=lambda n: None)

    assert (there == here).all()
    assert sum(counted) == N_TEXTS
    assert len(counted) > N_TEXTS / 16
    assert capfd.readouterr().err == ""


def test_a_node_killed_in_the_middle_loses_no_block_that_is_done(cluster, nodes, texts, tmp_path):
    embedded: list[int] = []

    def kill(n_texts):
        embedded.append(n_texts)
        if len(embedded) == 3:  # nothing was there before, then two blocks
            nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
        if len(embedded) == 5:
            raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            embed(texts, tmp_path / "there", progress=kill, cluster=cluster)
        again: list[int] = []
        there = embed(texts, tmp_path / "there", progress=again.append, cluster=cluster)
    finally:
        nodes.add_node(**NODE)

    # All blocks that had come, also those that came while the others were cancelled.
    assert again[0] == sum(embedded) >= 64
    assert sum(again) == N_TEXTS
    assert (there == embed(texts, tmp_path / "here", progress=lambda n: None)).all()
