"""The command line of a question, on a store that cannot be reached."""

import mlflow
import pytest

from analysis import report
from analysis.store.command import parser
from analysis.store.command import run_command as command


def test_an_unreachable_server_ends_in_an_error_that_names_it_without_its_password(
    monkeypatch, capsys
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    mlflow.set_tracking_uri("http://user:secret@127.0.0.1:9")
    try:
        with pytest.raises(SystemExit) as ended:
            command(
                parser("A question", "an experiment"),
                lambda given: report.publish(given.run_id, given.workspace),
                ["--run_id", "abc"],
            )
    finally:
        mlflow.set_tracking_uri("")
    said = capsys.readouterr().err

    assert ended.value.code == 2
    assert "error: the tracking store http://127.0.0.1:9 failed:" in said
    assert "secret" not in said
    assert "Connection refused" in said
