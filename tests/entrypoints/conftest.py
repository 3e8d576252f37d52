"""One finished audit for all tests with the mark ``xdist_group("audit")``."""

import shutil

import pytest


@pytest.fixture(scope="session")
def first(tmp_path_factory, migrated_store):
    """A run by year: its folder, its printed lines, the root run and its ``audit.json``."""
    from project.tracking import read_json
    from tests.helpers.audit_runs import RANDOM_AUDIT, new_store, run

    folder = tmp_path_factory.mktemp("audit")
    with new_store(migrated_store, folder):
        lines, root = run(folder, folder / "work", **RANDOM_AUDIT, by="year", at_least="70")
        return folder, lines, root, read_json(root.run_id, "audit.json")


@pytest.fixture
def workspace(first, tmp_path):
    """A workspace in which the texts of the first audit are embedded already."""
    shutil.copytree(first[0] / "work" / "embeddings", tmp_path / "work" / "embeddings")
    return tmp_path / "work"


@pytest.fixture
def no_model(monkeypatch):
    """Loading a model for embeddings is an error."""

    def fail(*args, **kwargs):
        raise AssertionError("a model is loaded")

    monkeypatch.setattr("project.training.embedder.load_pretrained", fail)
