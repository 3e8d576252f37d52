"""Texts are labelled on a real Ray cluster of three nodes as on this machine."""

import importlib.util

import pytest

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed here; make test-cluster installs it", allow_module_level=True)

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from project.cluster.checks import checked_cluster
from project.support.errors import AssayError
from project.training.classifier import Classified, Classifiers, SavedClassifier
from project.training.classify_on_cluster import ClassifierCluster
from tests.helpers.ray_tasks import MARKS, NODE

pytestmark = MARKS
SIZE = 24  # texts of a block


@pytest.fixture(scope="module")
def cluster(nodes):
    """One connection for most tests."""
    with checked_cluster(nodes.address) as connection:
        yield connection


@pytest.fixture(scope="module")
def saved(tiny_encoder, tmp_path_factory):
    """Two classifiers with random weights."""
    classifiers = []
    settings = AutoConfig.from_pretrained(tiny_encoder, id2label={0: "a", 1: "b"})
    for seed in range(2):
        folder = tmp_path_factory.mktemp(f"saved{seed}")
        torch.manual_seed(seed)
        AutoModelForSequenceClassification.from_config(settings).save_pretrained(folder / "model")
        AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(folder / "tokenizer")
        classifiers.append(
            SavedClassifier(f"seed {seed}", folder / "model", folder / "tokenizer", 32)
        )
    return classifiers


@pytest.fixture(scope="module")
def blocks(words):
    """Number and texts of twelve blocks; some texts are longer than the classifiers read."""
    texts = [" ".join(words[index : index + 1 + index % 45]) for index in range(12 * SIZE)]
    return [(number, texts[SIZE * number :][:SIZE]) for number in range(12)]


def assert_same(there, here):
    assert there.keys() == here.keys()
    for number, classified in there.items():
        assert classified.n_cut == here[number].n_cut
        assert np.array_equal(classified.probabilities, here[number].probabilities)


def test_nodes_give_the_bits_of_this_machine_and_take_blocks_as_they_have_room(
    cluster, saved, blocks
):
    remote = ClassifierCluster(cluster, saved, "fp32", batch_size=8)
    taken = []
    most = 0

    def upcoming():
        for block in blocks:
            taken.append(block)
            yield block

    there: dict[int, Classified] = {}
    for number, classified in remote.classified(upcoming()):
        most = max(most, len(taken) - len(there))
        there[number] = classified

    assert_same(there, dict(Classifiers(saved, "fp32", batch_size=8).classified(blocks)))
    assert remote.n_places == 3
    assert most <= 2 * remote.n_places


def test_a_node_killed_in_the_middle_loses_no_block(cluster, nodes, saved, blocks):
    remote = ClassifierCluster(cluster, saved, "fp32", batch_size=8)
    there: dict[int, Classified] = {}
    try:
        for number, classified in remote.classified(blocks):
            if not there:
                nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
            assert number not in there
            there[number] = classified
    finally:
        nodes.add_node(**NODE)

    assert_same(there, dict(Classifiers(saved, "fp32", batch_size=8).classified(blocks)))


def test_a_classifier_that_no_node_can_hold_is_refused(cluster, saved, monkeypatch):
    monkeypatch.setattr("project.training.classify_on_cluster.PROCESS_BYTES", 2**43)

    with pytest.raises(AssayError, match=r"no node has a CPU and 8192\.0 GiB of memory for seed 0"):
        ClassifierCluster(cluster, saved, "fp32", batch_size=8)
