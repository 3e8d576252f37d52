"""A store that fails while it is read: it is told from one that refuses, and left alone a while."""

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
    outbox,
    read_artifact,
    read_json,
    read_run,
    root_run,
    spools,
)
from project.tracking.failures import is_outage
from tests.helpers.stored import log_small

pytestmark = pytest.mark.xdist_group("tracking-server")


def caused_by(error, cause):
    error.__cause__ = cause
    return error


def http_error(status):
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


def test_a_missing_artifact_is_not_reported_as_a_store_that_is_away(proxy, tmp_path):
    run = read_run(log_small(tmp_path))
    for read in (
        lambda: read_json(run.run_id, "none.json"),
        lambda: read_artifact(run, "one/none.txt"),
        lambda: read_json("0" * 32, "none.json"),
    ):
        with pytest.raises(AssayError, match="cannot be read") as refused:
            read()
        assert not isinstance(refused.value, StoreUnavailable)


@pytest.mark.timeout(60)  # MLflow's own retries take four minutes
def test_a_store_that_is_away_is_asked_once_for_reusable_results_and_then_left_alone(
    proxy, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(outbox, "_RETRY_AFTER", 600.0)
    seed, _ = children(read_run(log_small(tmp_path)), "seed")

    def search(tracker):
        return tracker.reusable_runs("seed", "assay.digest", "digest0", "team")

    for ask, failure, raised in (
        (lambda tracker: next(search(tracker)), "cannot be searched", StopIteration),
        (
            lambda tracker: tracker.verified_artifacts(seed, ["b.txt"]),
            "cannot be read",
            StoreUnavailable,
        ),
    ):
        with (
            pytest.raises(StoreUnavailable, match="nothing is lost"),
            root_run("experiment", "asks", {}, "work") as tracker,
        ):
            assert seed in search(tracker)
            assert tracker.verified_artifacts(seed, ["b.txt"]) == {"b.txt": b"b"}
            proxy.cut()
            with pytest.raises(raised):
                ask(tracker)
            assert list(search(tracker)) == []
            tracker.tag({"computed": "yes"})
        proxy.mend()
        assert capsys.readouterr().err == (
            f"the tracking store {proxy.url} {failure}: Connection refused. "
            "Continuing without it.\n"
        )


def test_a_store_that_is_back_before_the_end_raises_no_error(proxy, tmp_path, monkeypatch):
    monkeypatch.setattr(outbox, "_RETRY_AFTER", 600.0)
    with root_run("experiment", "back", {}, "work") as tracker:
        proxy.cut()
        assert list(tracker.reusable_runs("seed", "assay.digest", "x", "team")) == []
        proxy.mend()

    assert read_run(tracker.run_id).status == "FINISHED"


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (caused_by(MlflowException("API request to x failed"), requests.ConnectionError()), True),
        (
            caused_by(
                MlflowException("Failed to download"), caused_by(OSError(), ConnectionResetError())
            ),
            True,
        ),
        (http_error(503), True),
        (http_error(429), True),
        (http_error(403), False),
        (http_error(404), False),
        (ModuleNotFoundError("botocore"), False),
        (PermissionError(), False),
        (MlflowException("invalid scheme"), False),
        (MlflowException("no run", RESOURCE_DOES_NOT_EXIST), False),
        (RestException({"error_code": "INTERNAL_ERROR"}), True),
        (RuntimeError("raised by a cloud's client"), True),
    ],
    ids=lambda value: "",
)
def test_an_outage_is_told_from_a_refusal(error, outage):
    assert is_outage(error) == outage


def test_a_missing_client_of_the_artifact_store_stops_no_computation(store, monkeypatch):
    monkeypatch.setattr(outbox, "_LAST_PAUSES", ())
    monkeypatch.setattr("project.tracking.delivery._PAUSES", ())
    # boto3 is not installed here
    MlflowClient().create_experiment("assay", artifact_location="s3://no-such-bucket/assay")
    (store / "a.txt").write_text("a")
    with (
        pytest.raises(StoreUnavailable, match="entries wait in"),
        root_run("experiment", "no client", {}, "work") as tracker,
    ):
        tracker.log_files({"a.txt": store / "a.txt"})
        tracker.tag({"computed": "yes"})

    assert len(next(iter(spools(Path("work")))).pending()) == 3
