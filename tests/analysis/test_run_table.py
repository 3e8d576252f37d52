"""The table of all runs of a store: its types, what it follows and how little it asks for."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import mlflow
import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking import MlflowClient

from analysis.store import runs
from analysis.store.runs import run_table, selected
from project.support.errors import AssayError
from project.tracking import (
    all_children,
    children,
    newest_runs,
    read_run,
)
from tests.helpers.stored import log_experiment, noisy
from tests.helpers.two_arms import GOLD, arms_of


def test_the_table_of_runs_is_typed_and_follows_new_and_deleted_runs(store):
    log_experiment(store, GOLD, arms_of())
    first = run_table("seed")
    other = log_experiment(store, GOLD, {"gold": noisy(GOLD, 0.8, 3)})
    client = MlflowClient()
    second = run_table("seed")
    client.delete_run(children(read_run(other), "seed")[0].run_id)
    third = run_table("seed")

    assert (len(first), len(second), len(third)) == (4, 7, 6)
    assert first["params.seed"].dtype.kind in "if"
    assert first["metrics.human_share"].dtype.kind == "f"
    assert set(first["params.arm"]) == {"gold", "llm"}
    assert set(selected(third, ["arm=gold", f"root={other}"])["params.seed"]) == {1, 2}
    with pytest.raises(
        AssayError, match="where must be NAME=VALUE with a parameter of the runs.*got 'arms=gold'"
    ):
        selected(third, ["arms=gold"])


def test_the_table_of_runs_from_the_cache_equals_the_store_and_reads_two_pages(store, monkeypatch):
    run_id = log_experiment(store, GOLD, arms_of())
    run_table("seed")
    requests = []

    def ask(kind, **named):
        requests.append(named)
        return newest_runs(kind, **named)

    monkeypatch.setattr(runs, "newest_runs", ask)
    table = run_table("seed")

    assert set(table["run_id"]) == {run.run_id for run in children(read_run(run_id), "seed")}
    assert [options["page_size"] for options in requests] == [
        runs.PAGE,
        runs.FIRST_PAGE,
    ]  # what is deleted, what is new
    row = table.set_index("run_id").loc[all_children(read_run(run_id), "seed")[0].run_id]
    assert (row["params.arm"], row["root"], row["metrics.llm_calls"]) == ("gold", run_id, 1.0)


def test_a_restored_run_returns_to_the_table_and_a_removed_one_does_not(store):
    run_id = log_experiment(store, GOLD, arms_of())
    run_table("seed")
    client, (first, second, *_) = (
        MlflowClient(),
        [run.run_id for run in children(read_run(run_id), "seed")],
    )
    for run_id_ in (first, second):
        client.delete_run(run_id_)
    assert len(run_table("seed")) == 2
    client.restore_run(first)
    SqlAlchemyStore(mlflow.get_tracking_uri(), str(store))._hard_delete_run(second)

    assert set(run_table("seed")["run_id"]) >= {first}
    assert len(run_table("seed")) == 3
    client.delete_experiment(read_run(run_id).experiment_id)
    assert run_table("seed").empty


def test_no_request_for_runs_holds_more_than_a_page(store):
    """No request for runs holds more than a page."""
    sizes = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("/runs/search"):
                sizes.append(body["max_results"])
            answer = json.dumps({"runs": []}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(
                json.dumps(
                    {
                        "experiments": [
                            {"experiment_id": "1", "name": "x", "lifecycle_stage": "active"}
                        ]
                    }
                ).encode()
            )

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        mlflow.set_tracking_uri(f"http://127.0.0.1:{server.server_port}")
        assert run_table("seed").empty
    finally:
        mlflow.set_tracking_uri("")
        server.shutdown()
        thread.join()
        server.server_close()
    assert sizes
    assert max(sizes) <= runs.PAGE
