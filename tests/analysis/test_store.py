"""What is read from the store, what is left out and what is refused, each by name."""

import dataclasses
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking import MlflowClient

from analysis import report
from analysis.questions import agreement, arms, compare
from analysis.questions.arms_table import ScoredExperiment
from analysis.store import fetch, runs
from analysis.store.command import parser
from analysis.store.command import run_command as command
from analysis.store.experiment import read_experiment
from analysis.store.raters import experiment_raters, stored_raters
from analysis.store.runs import run_table, selected
from project.stats.agreement import unchanged
from project.support.errors import AssayError
from project.tracking import (
    Child,
    Tracker,
    all_children,
    children,
    newest_runs,
    read_run,
    store_digest,
)
from tests.helpers.stored import examples, log_experiment, noisy

GOLD = np.arange(120) % 3


def arms_of(n_seeds=2):
    return {"gold": noisy(GOLD, 0.9, n_seeds), "llm": noisy(GOLD, 0.6, n_seeds, 1)}


def test_an_arm_with_too_few_seeds_is_left_out_by_name(store):
    run_id = log_experiment(
        store,
        GOLD,
        arms_of(),
        change_child=lambda arm, seed, child: None if (arm, seed) == ("llm", 1) else child,
    )
    experiment = read_experiment(run_id)

    assert list(experiment.arms) == ["gold"]
    assert experiment.incomplete == ("llm (1 of 2 seeds)",)


def test_a_run_that_a_crash_left_running_does_not_count_and_is_reported(store):
    run_id = log_experiment(store, GOLD, arms_of())
    crashed = next(run for run in children(read_run(run_id), "seed") if run.params["arm"] == "llm")
    MlflowClient().update_run(crashed.run_id, "RUNNING")

    assert read_experiment(run_id).incomplete == ("llm (1 of 2 seeds; 1 left RUNNING)",)


def test_a_deleted_seed_does_not_count_and_a_deleted_root_is_refused(store):
    run_id = log_experiment(store, GOLD, arms_of())
    MlflowClient().delete_run(
        next(
            run for run in children(read_run(run_id), "seed") if run.params["arm"] == "gold"
        ).run_id
    )
    assert list(read_experiment(run_id).arms) == ["llm"]
    MlflowClient().delete_run(run_id)

    with pytest.raises(
        AssayError,
        match=f"run {run_id} of the tracking store .* is deleted. Name another, or restore it",
    ):
        read_experiment(run_id)


def again(run_id, digest):
    """Log the first seed of llm once more, as another training if ``digest`` is another."""
    run = next(
        run
        for run in children(read_run(run_id), "seed")
        if (run.params["arm"], run.params["seed"]) == ("llm", "0")
    )
    files = {name: fetch_to(run, name) for name in ("predictions.parquet", "labels.parquet")}
    return Tracker(run_id).log_child(
        Child(
            run.name,
            "seed",
            digest,
            run.params,
            metrics=run.metrics,
            files=files,
            description="again",
        )
    )


def fetch_to(run, name):
    path = Path(f"again-{name}").resolve()
    path.write_bytes(fetch.artifact(run, name))
    return path


def test_of_two_runs_of_the_same_training_the_last_counts_and_a_note_says_so(store):
    run_id = log_experiment(store, GOLD, arms_of())
    last = again(run_id, "llm-0")
    experiment = read_experiment(run_id)

    assert experiment.incomplete == (
        "llm (2 runs of seed 0, of one training: the last one counts)",
    )
    assert experiment.arms["llm"].runs[0].run_id == last
    assert len(experiment.arms["llm"].runs) == 2


def test_two_different_trainings_of_one_seed_leave_the_arm_out(store):
    run_id = log_experiment(store, GOLD, arms_of())
    again(run_id, "another")
    experiment = read_experiment(run_id)

    assert list(experiment.arms) == ["gold"]
    assert experiment.incomplete == ("llm (2 different trainings of seed 0)",)


def test_runs_of_another_schema_version_are_refused_or_left_out_by_name(store):
    run_id = log_experiment(store, GOLD, arms_of())
    client = MlflowClient()
    client.set_tag(
        next(
            run for run in children(read_run(run_id), "seed") if run.params["arm"] == "llm"
        ).run_id,
        "assay.schema_version",
        "1",
    )
    assert read_experiment(run_id).incomplete == (
        "llm (1 runs in form 1, not 2, do not count; 1 of 2 seeds)",
    )
    client.set_tag(run_id, "assay.schema_version", "1")

    with pytest.raises(
        AssayError,
        match=f"run {run_id} .* was logged in form 1; this version of Assay reads form 2",
    ):
        read_experiment(run_id)


def test_an_experiment_without_finished_seeds_is_refused_with_advice(store):
    run_id = log_experiment(store, GOLD, arms_of(), change_child=lambda arm, seed, child: None)

    with pytest.raises(AssayError, match="holds no finished seed"):
        read_experiment(run_id)


def test_an_experiment_without_a_complete_arm_is_refused_with_the_name_of_each_arm(store):
    run_id = log_experiment(store, GOLD, arms_of(), seeds=5)

    with pytest.raises(
        AssayError,
        match=r"holds no arm with all its seeds: gold \(2 of 5 seeds\), llm \(2 of 5 seeds\)",
    ):
        report.publish(run_id, str(store))


def test_seeds_that_predict_other_examples_are_refused(store):
    run_id = log_experiment(store, GOLD, arms_of())
    other = log_experiment(store, GOLD[:90], {"gold": noisy(GOLD[:90], 0.9, 2)})
    wrong = next(run for run in children(read_run(other), "seed") if run.params["seed"] == "0")
    client = MlflowClient()
    for seed in (
        run
        for run in children(read_run(run_id), "seed")
        if (run.params["arm"], run.params["seed"]) == ("gold", "0")
    ):
        client.delete_run(seed.run_id)
    client.set_tag(wrong.run_id, "mlflow.parentRunId", run_id)

    with pytest.raises(AssayError, match=f"seed run {wrong.run_id} .* predicts other examples"):
        read_experiment(run_id)


def test_spread_and_agreement_of_a_single_seed_are_nan_and_not_zero(store):
    run_id = log_experiment(store, GOLD, arms_of(1))
    row = ScoredExperiment(read_experiment(run_id)).arms.set_index("arm").loc["llm"]

    assert np.isnan(
        [row["accuracy_sd"], row["macro_f1_sd"], row["krippendorff_alpha"], row["unchanged"]]
    ).all()


def test_alpha_of_identical_predictions_is_reported_as_undefined(store, capsys):
    same = np.zeros((3, 120), dtype=int)
    run_id = log_experiment(store, GOLD, {"gold": noisy(GOLD, 0.9), "llm": same})
    report.publish(run_id, str(store / "out"))
    out = capsys.readouterr().out

    assert "undefined: all replicates give all examples one class" in " ".join(out.split())
    assert "has no alpha, all answers being one class" in " ".join(out.split())
    assert "undefined" in (store / "out" / "reports" / run_id / "agreement.md").read_text()


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


def test_agreement_across_experiments_refuses_other_examples_and_other_labels(store):
    log_experiment(store, GOLD, arms_of())
    log_experiment(store, GOLD, {"gold": noisy(GOLD, 0.9, 2, 5)})
    raters = stored_raters("seed", ["arm=gold"], "root", "test")
    assert raters.codes.shape == (4, 120)
    assert len(set(raters.groups)) == 2

    log_experiment(store, GOLD[:60], {"gold": noisy(GOLD[:60], 0.9, 2)})
    with pytest.raises(AssayError, match="rate different examples"):
        stored_raters("seed", ["arm=gold"], "root", "test")
    log_experiment(store, GOLD, {"gold": noisy(GOLD, 0.9, 2)}, label_set=("a", "b", "d"))
    with pytest.raises(AssayError, match=r"have different label sets \(a, b, .; a, b, .\)"):
        stored_raters("seed", ["arm=gold"], "root", "test")
    with pytest.raises(
        AssayError, match="needs at least two runs; 0 of 10 match arm=nobody on test"
    ):
        stored_raters("seed", ["arm=nobody"], "root", "test")


def test_draws_of_an_annotator_are_raters_too(store):
    random = np.random.default_rng(0)
    draws = np.where(random.random((3, 120)) < 0.8, GOLD, 0)
    draws[0, :5] = -1  # no answer
    log_experiment(store, GOLD, arms_of(), llm=draws)
    raters = stored_raters("annotation", [], "draw", "train")

    assert raters.codes.tolist() == draws.tolist()
    assert list(raters.groups) == ["0", "1", "2"]
    assert unchanged(raters.codes[:, :5]) == 0  # no answer is no label
    section = agreement.agreement_section(
        stored_raters("annotation", [], "annotator_model", "train")
    )
    assert section.tables[0].frame["n_raters"].tolist() == [3]


def test_agreement_of_the_arms_has_the_numbers_of_their_definitions(store):
    predicted = arms_of(3)
    section = agreement.agreement_section(
        experiment_raters(read_experiment(log_experiment(store, GOLD, predicted)))
    )
    frame = section.tables[0].frame.set_index("raters")

    pairs = [
        (labels == other).mean()
        for index, labels in enumerate(predicted["llm"])
        for other in predicted["llm"][:index]
    ]
    assert frame.loc["llm", "churn"] == pytest.approx(1 - np.mean(pairs))
    between = section.tables[1].frame.set_index("raters")
    assert between.loc["llm", "llm"] == pytest.approx(np.mean(pairs))
    assert between.loc["gold", "llm"] == pytest.approx(
        np.mean([(gold == llm).mean() for gold in predicted["gold"] for llm in predicted["llm"]])
    )
    assert frame.loc["llm", "alpha_difference_high"] < 0
    assert "The raters of llm agree less than those of gold" in section.answer


def test_two_experiments_are_compared_on_the_same_examples_only(store):
    one = read_experiment(log_experiment(store, GOLD, arms_of(3)))
    other = read_experiment(
        log_experiment(store, GOLD, {"llm": noisy(GOLD, 0.95, 3, 7), "gold": arms_of(3)["gold"]})
    )
    section = compare.comparison(one, other)
    frame = section.tables[0].frame.set_index("arm")

    assert frame.loc["llm", "macro_f1_low"] > 0.1
    assert frame.loc["gold", "macro_f1"] == pytest.approx(0)
    assert frame.loc["llm", "krippendorff_alpha"] > 0
    assert section.answer.startswith("In the second experiment llm gains")
    order = np.random.default_rng(0).permutation(120)
    table = examples(GOLD)
    test = table[table["split"] == "test"].iloc[order]
    same = log_experiment(
        store,
        GOLD,
        {name: codes[:, order] for name, codes in arms_of(3).items()},
        table=pd.concat([test, table[table["split"] != "test"]]),
    )
    assert (
        compare.comparison(one, read_experiment(same)).tables[0].frame["macro_f1"].abs().max()
        < 1e-12
    )  # whatever the order of the rows
    fewer = read_experiment(log_experiment(store, GOLD[:60], {"llm": noisy(GOLD[:60], 0.9, 3)}))
    with pytest.raises(
        AssayError, match=r"test on different examples \(60 in common of 120 and 60\)"
    ):
        compare.comparison(one, fewer)
    renamed = read_experiment(
        log_experiment(store, GOLD, {"llm": noisy(GOLD, 0.9, 3)}, label_set=("a", "b", "d"))
    )
    with pytest.raises(AssayError, match="have different label sets"):
        compare.comparison(one, renamed)


def test_several_experiments_share_one_table(store, capsys):
    names = [log_experiment(store, GOLD, arms_of()), log_experiment(store, GOLD, arms_of(3))]
    command(
        parser("A question", "an experiment"),
        arms.publish,
        ["--run_id", ",".join(names), "--workspace", str(store / "out")],
    )
    out = capsys.readouterr().out

    # The run, its date and the setting that differs.
    started = r"\d{4}-\d\d-\d\d \d\d:\d\d"
    for name, seeds in zip(names, "23", strict=True):
        assert re.search(rf"\n{name[:8]} +{started} +{seeds} +llm ", out)
    assert list((store / "out" / "reports").glob("arms-*/tables.csv"))


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
