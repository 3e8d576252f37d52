"""Sentence embeddings of the bundled encoder: what they are, and that none is computed twice."""

import numpy as np
import pytest
import torch
from transformers import AutoModel

from project.config.finetune import FinetuneConfig
from project.training import embeddings as module
from project.training.embeddings import embed, embeddings
from project.training.encoder import Encoder
from project.training.pretrained import load_pretrained

TEXTS = [
    "a red bicycle with a dent",
    "two tickets",
    "an essay about rivers, bridges, and what they cost those who have to cross them every day",
    "x",
    "two tickets",
    "Größe 42, kaum getragen",
]


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

    monkeypatch.setattr(module, "load_pretrained", fail)


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
        assert found[index] == pytest.approx(by_definition(TEXTS[index]), abs=1e-5)


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
    monkeypatch.setattr(module, "_CHUNK", 2)
    counted: list[int] = []
    embed([*TEXTS[:2], "new 1", "new 2", "new 3"], workspace, progress=counted.append)

    assert counted == [2, 2, 1]


def test_a_run_that_was_killed_goes_on_where_it_stopped(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 2)
    embedded: list[list[str]] = []
    original = module._embed

    def fail_in_second_chunk(encoder, model, texts, device):
        if len(embedded) == 1:
            embedded.append([])
            raise KeyboardInterrupt
        embedded.append(list(texts))
        return original(encoder, model, texts, device)

    monkeypatch.setattr(module, "_embed", fail_in_second_chunk)
    with pytest.raises(KeyboardInterrupt):
        embed(TEXTS, tmp_path, progress=lambda n: None)
    first = embedded[0]
    found = embed(TEXTS, tmp_path, progress=lambda n: None)

    again = [text for part in embedded[1:] for text in part]
    assert len(first) == 2
    assert not set(first) & set(again)
    assert sorted([*first, *again]) == sorted(set(TEXTS))
    assert found == pytest.approx(embed(TEXTS, workspace, progress=lambda n: None), abs=1e-5)
