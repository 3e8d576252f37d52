"""The digest of a tracking store tells stores apart."""

import mlflow

from project.tracking import (
    store_digest,
)


def test_two_stores_at_the_same_path_or_relative_name_have_different_digests(store, monkeypatch):
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    here, later = (
        store_digest({"0": 1}),
        store_digest({"0": 2}),
    )  # an experiment that was made later: another database
    (store / "elsewhere").mkdir()
    monkeypatch.chdir(store / "elsewhere")
    there = store_digest({"0": 1})
    mlflow.set_tracking_uri(f"sqlite:///{store}/mlflow.db")

    assert len({here, later, there}) == 3
    assert store_digest({"0": 1, "1": 5}) == here
