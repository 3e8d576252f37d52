"""Artifacts of the store in the cache of this machine."""

import dataclasses

import pandas as pd
import pytest

from analysis.store import fetch
from analysis.store.runs import run_table
from project.tracking import (
    children,
    read_run,
)
from tests.helpers.stored import log_experiment
from tests.helpers.two_arms import GOLD, arms_of


def test_an_artifact_of_a_server_is_fetched_once_and_then_read_from_the_cache(store, monkeypatch):
    run_id = log_experiment(store, GOLD, arms_of())
    run = children(read_run(run_id), "seed")[0]
    monkeypatch.setattr(fetch, "local_artifact", lambda run, path: None)
    before = fetch.table(run, "predictions.parquet")
    monkeypatch.setattr(fetch, "read_artifact", lambda run, path: pytest.fail("asked twice"))

    pd.testing.assert_frame_equal(fetch.table(run, "predictions.parquet"), before)
    kept = store / "cache" / "artifacts" / run.run_id / "predictions.parquet.kept"
    assert kept.is_file()
    assert (store / "cache").stat().st_mode & 0o77 == 0


def test_a_damaged_file_of_the_cache_is_fetched_again(store, monkeypatch):
    run_id = log_experiment(store, GOLD, arms_of())
    run = children(read_run(run_id), "seed")[0]
    monkeypatch.setattr(fetch, "local_artifact", lambda run, path: None)
    artifact, runs = fetch.table(run, "predictions.parquet"), run_table()
    for path in (store / "cache").rglob("*.kept"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    pd.testing.assert_frame_equal(fetch.table(run, "predictions.parquet"), artifact)
    pd.testing.assert_frame_equal(run_table(), runs)


def test_artifacts_of_a_running_root_are_not_cached(store, monkeypatch):
    run_id = log_experiment(store, GOLD, arms_of())
    root = dataclasses.replace(read_run(run_id), status="RUNNING")
    monkeypatch.setattr(fetch, "local_artifact", lambda run, path: None)
    fetch.read_json(root, "config.json")

    assert not (store / "cache" / "artifacts").exists()
