"""A store that fails while it is read: told from one that refuses, asked once, and left alone for a while."""

from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError
from project.tracking import (
    StoreUnavailable,
    children,
    read_artifact,
    read_json,
    read_run,
    root_run,
    spools,
)
from project.tracking import log as log_module
from project.tracking.store import fails
from tests.helpers.stored import log_small

pytestmark = pytest.mark.xdist_group("away")  # its servers are started once


def caused(error, cause):
    error.__cause__ = cause
    return error


def answered(status):
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


def test_an_artifact_that_a_store_does_not_hold_is_told_from_a_store_that_is_away(line, tmp_path):
    run = read_run(log_small(tmp_path))
    for read in (
        lambda: read_json(run.run_id, "none.json"),
        lambda: read_artifact(run, "one/none.txt"),
        lambda: read_json("0" * 32, "none.json"),
    ):
        with pytest.raises(AssayError, match="cannot be read") as refused:
            read()
        assert not isinstance(refused.value, StoreUnavailable)


@pytest.mark.timeout(60)  # MLflow alone asks for four minutes
def test_a_store_that_is_away_is_asked_once_for_what_it_holds_and_then_left_alone(
    line, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(log_module, "_AGAIN", 600.0)
    seed, _ = children(read_run(log_small(tmp_path)), "seed")
    for ask, said, raised in (
        (
            lambda tracker: next(tracker.reusable("seed", "assay.digest", "digest0", "team")),
            "does not say what it holds",
            StopIteration,
        ),
        (
            lambda tracker: tracker.checked(seed, ["b.txt"]),
            "does not give what it holds",
            StoreUnavailable,
        ),
    ):
        with (
            pytest.raises(StoreUnavailable, match="nothing is lost"),
            root_run("experiment", "asks", {}, "work") as tracker,
        ):
            assert seed in tracker.reusable("seed", "assay.digest", "digest0", "team")
            assert tracker.checked(seed, ["b.txt"]) == {"b.txt": b"b"}
            line.cut()
            with pytest.raises(raised):
                ask(tracker)
            assert list(tracker.reusable("seed", "assay.digest", "digest0", "team")) == []
            tracker.tag({"computed": "yes"})
        line.mend()
        assert (
            capsys.readouterr().err
            == f"the tracking store {line.url} {said}: Connection refused. Going on without it.\n"
        )


def test_a_store_that_is_back_before_the_end_is_not_said_to_be_away(line, tmp_path, monkeypatch):
    monkeypatch.setattr(log_module, "_AGAIN", 600.0)
    with root_run("experiment", "back", {}, "work") as tracker:
        line.cut()
        assert list(tracker.reusable("seed", "assay.digest", "x", "team")) == []
        line.mend()

    assert read_run(tracker.run_id).status == "FINISHED"


@pytest.mark.parametrize(
    ("error", "failing"),
    [
        (caused(MlflowException("API request to x failed"), requests.ConnectionError()), True),
        (
            caused(
                MlflowException("Failed to download"), caused(OSError(), ConnectionResetError())
            ),
            True,
        ),
        (answered(503), True),
        (answered(429), True),
        (answered(403), False),
        (answered(404), False),
        (ModuleNotFoundError("botocore"), False),
        (PermissionError(), False),
        (MlflowException("invalid scheme"), False),
        (MlflowException("no run", RESOURCE_DOES_NOT_EXIST), False),
        (RestException({"error_code": "INTERNAL_ERROR"}), True),
        (RuntimeError("of a cloud's client"), True),
    ],
    ids=lambda value: "",
)
def test_a_store_that_fails_is_told_from_one_that_refuses(error, failing):
    assert fails(error) == failing


def test_an_artifact_store_that_lacks_its_client_stops_no_computation(store, monkeypatch):
    monkeypatch.setattr(log_module, "_PATIENCE", ())
    monkeypatch.setattr("project.tracking.ship._PAUSES", ())
    MlflowClient().create_experiment(
        "assay", artifact_location="s3://no-such-bucket/assay"
    )  # boto3 is not installed here
    (store / "a.txt").write_text("a")
    with (
        pytest.raises(StoreUnavailable, match="entries wait in"),
        root_run("experiment", "no client", {}, "work") as tracker,
    ):
        tracker.log_files({"a.txt": store / "a.txt"})
        tracker.tag({"computed": "yes"})

    assert len(next(iter(spools(Path("work")))).pending()) == 3
