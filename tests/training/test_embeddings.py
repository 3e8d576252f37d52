"""Sentence embeddings of the bundled encoder: what they are, and that none is computed twice."""

import numpy as np
import pytest
import torch
from transformers import AutoModel

from project.config.finetune import FinetuneConfig
from project.support.errors import Incomplete
from project.training import embedder
from project.training import embeddings as module
from project.training.embedder import Embedder
from project.training.embeddings import embed, embeddings
from project.training.encoder import Encoder
from project.training.precision import embedding_precision
from project.training.pretrained import load_pretrained

TEXTS = [
    "a red bicycle with a dent",
    "two tickets",
    "an essay about rivers, bridges, and what they cost those who have to cross them every day",
    "x",
    "two tickets",
    "Größe 42, kaum getragen",
]

ROUNDING = 1e-5 if embedding_precision() == "fp32" else 3e-3  # of components of about 0.05


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder with the embeddings of ``TEXTS``."""
    folder = tmp_path_factory.mktemp("work")
    embed(TEXTS, folder, progress=lambda n: None)
    return folder


@pytest.fixture
def no_model(monkeypatch):
    """No model may be loaded."""

    def fail(*args, **kwargs):
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(embedder, "load_pretrained", fail)


@torch.inference_mode()
def by_definition(text):
    """The mean of the last hidden states over the tokens, scaled to length 1; one text alone."""
    encoder = Encoder.find(FinetuneConfig(precision="fp32"))
    model = load_pretrained(AutoModel, encoder.source, use_safetensors=True, dtype=torch.float32)
    ((ids, _),) = encoder.encode([text])
    states = model.eval()(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(dim=0)
    return (states / states.norm()).numpy()


def test_embeddings_are_means_over_tokens_of_length_1(workspace, no_model):
    found = embed(TEXTS, workspace, progress=lambda n: None)

    assert found.shape == (6, 384)
    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    assert embeddings(TEXTS, workspace).dtype == np.float64
    assert (embeddings(TEXTS, workspace) == found).all()


def test_a_text_beside_longer_ones_has_the_embedding_that_it_has_alone(workspace):
    found = embed(TEXTS, workspace, progress=lambda n: None)

    for index in (0, 2, 3):
        assert found[index] == pytest.approx(by_definition(TEXTS[index]), abs=ROUNDING)


def test_a_text_is_embedded_once_whichever_list_it_is_in(workspace, no_model):
    counted: list[int] = []
    before = embed(TEXTS, workspace, progress=lambda n: None)
    found = embed([TEXTS[3], TEXTS[0], TEXTS[0]], workspace, progress=counted.append)

    assert (found == before[[3, 0, 0]]).all()
    assert counted == [3]
    with pytest.raises(AssertionError, match="a model is loaded"):
        embed([TEXTS[3], "a new text"], workspace, progress=lambda n: None)


def test_no_text_has_no_embedding(workspace, no_model):
    assert len(embed([], workspace, progress=lambda n: None)) == 0


def test_progress_counts_every_text_once(workspace, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 2)
    counted: list[int] = []
    embed([*TEXTS[:2], "new 1", "new 2", "new 3"], workspace, progress=counted.append)

    assert counted == [2, 2, 1]


def test_a_run_that_was_killed_goes_on_where_it_stopped(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 2)
    embedded: list[list[str]] = []
    original = Embedder.embed

    def fail_in_second_block(self, texts):
        if len(embedded) == 1:
            embedded.append([])
            raise KeyboardInterrupt
        embedded.append(list(texts))
        return original(self, texts)

    monkeypatch.setattr(Embedder, "embed", fail_in_second_block)
    with pytest.raises(KeyboardInterrupt):
        embed(TEXTS, tmp_path, progress=lambda n: None)
    first = embedded[0]
    found = embed(TEXTS, tmp_path, progress=lambda n: None)

    again = [text for part in embedded[1:] for text in part]
    assert len(first) == 2
    assert not set(first) & set(again)
    assert sorted([*first, *again]) == sorted(set(TEXTS))
    assert found == pytest.approx(embed(TEXTS, workspace, progress=lambda n: None), abs=ROUNDING)


def test_the_number_of_threads_changes_no_bit(words):
    encoder = Encoder.find(FinetuneConfig(precision="fp32"))
    # Of a single short text, operations of two threads often give other last bits.
    texts = [" ".join(words[index : index + 4]) for index in range(0, 60, 4)]
    before = torch.get_num_threads()
    found = []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            loaded = Embedder(encoder, n_threads)
            found.append([loaded.embed(some) for some in [*([text] for text in texts), texts]])
    finally:
        torch.set_num_threads(before)

    for alone, several in zip(*found, strict=True):
        assert (alone == several).all()


class Nodes:
    """A cluster whose nodes are this process. Its last block comes first; others may fail."""

    def __init__(self, n_places=1, failing=()):
        self._n_places = n_places
        self._failing = failing
        self.blocks: list[list[str]] = []

    def n_places(self, encoder):
        return self._n_places

    def run(self, encoder, blocks, done):
        there = Embedder(encoder)
        for number in reversed(range(len(blocks))):
            if number in self._failing:
                raise Incomplete("a block cannot be embedded")
            self.blocks.append(blocks[number])
            done(number, there.embed(blocks[number]))


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of two texts; up to four new texts stay on the driver."""
    monkeypatch.setattr(module, "BLOCK", 2)
    monkeypatch.setattr(module, "FEW", 4)


def test_many_new_texts_go_to_the_cluster_and_come_back_in_any_order(small_blocks, tmp_path):
    nodes = Nodes()
    counted: list[int] = []
    there = embed(TEXTS, tmp_path / "there", progress=counted.append, cluster=nodes)
    here = embed(TEXTS, tmp_path / "here", progress=lambda n: None)

    assert (there == here).all()
    assert [len(block) for block in nodes.blocks] == [1, 2, 2]
    assert counted == [1, 1, 2, 2]


def test_few_new_texts_and_those_that_no_node_can_hold_stay_on_the_driver(small_blocks, tmp_path):
    nodes = Nodes()
    embed(TEXTS[:5], tmp_path, progress=lambda n: None, cluster=nodes)
    embed([*TEXTS, "one", "new"], tmp_path, progress=lambda n: None, cluster=nodes)
    without_room = Nodes(n_places=0)
    others = [f"text {number}" for number in range(6)]
    embed(others, tmp_path, progress=lambda n: None, cluster=without_room)

    assert nodes.blocks == without_room.blocks == []


def test_blocks_that_came_before_a_failure_are_kept(small_blocks, tmp_path):
    failing = Nodes(failing=[0])
    with pytest.raises(Incomplete):
        embed(TEXTS, tmp_path, progress=lambda n: None, cluster=failing)
    counted: list[int] = []
    embed(TEXTS, tmp_path, progress=counted.append)

    assert counted == [1 + sum(map(len, failing.blocks)), 2]


def test_embeddings_in_another_precision_are_kept_apart(tmp_path, monkeypatch):
    found = {}
    for precision in ("fp32", "bf16"):
        monkeypatch.setattr(module, "embedding_precision", lambda name=precision: name)
        found[precision] = embed(TEXTS, tmp_path, progress=lambda n: None)

    assert len(list((tmp_path / "embeddings").iterdir())) == 2
    cosines = (found["fp32"] * found["bf16"]).sum(axis=1)
    assert (cosines > 0.9999).all()
