"""The experiment with tiny models, on a real tracking store that is read back."""

import base64
import contextlib
import hashlib
import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from analysis.questions.arms_table import ScoredExperiment
from analysis.report import publish
from analysis.store.experiment import read_experiment
from entrypoints import annotate, ask, check, curve, finetune, grid, main, sweep
from entrypoints.wiring import seed_runs
from entrypoints.wiring.command import main as command_line
from project.support.errors import AssayError
from project.tracking import children, latest_root, read_json, read_run, read_table, root_run
from project.tracking.outbox import signals
from tests.helpers import forked

ROOT = Path(__file__).parents[2]


def datasets(run_id):
    """The names of the data that a run has used."""
    inputs = MlflowClient().get_run(run_id).inputs
    return [entry.dataset.name for entry in inputs.dataset_inputs] if inputs else []


def seed_tables(root, file="predictions.parquet"):
    """A table of every seed run as JSON, by name of the run."""
    return {run.name: read_table(run.run_id, file).to_json() for run in children(root, "seed")}


def test_the_store_holds_complete_root_annotation_and_seed_runs(params, capsys):
    main.experiment(params())
    root = latest_root()

    assert root.status == "FINISHED"
    assert "| labels |" in root.tags["mlflow.note.content"]
    assert read_json(root.run_id, "config.json")["config"]["prompt"]["ensemble_size"] == 2
    assert set(read_table(root.run_id, "examples.parquet")["split"]) == {
        "demonstration",
        "train",
        "validation",
        "test",
    }
    metrics = {"gold.accuracy", "llm.krippendorff_alpha", "ensemble_2.human_share"}
    assert metrics <= root.metrics.keys()

    draws = children(root, "annotation")
    _check_annotation_runs(draws)
    seeds = children(root, "seed")
    _check_seed_runs(seeds)
    shared = {"task", "examples_sha256", "annotator_model", "calibration", "n_demonstrations"}
    assert all(shared <= run.params.keys() for run in [*seeds, *draws])

    printed = capsys.readouterr().out
    assert "entropy_25" in printed
    assert "report.html" in printed
    assert "mlflow ui --backend-store-uri" in printed


def _check_annotation_runs(draws):
    assert sorted(run.name for run in draws) == [
        "annotate test draw 00",
        "annotate train draw 00",
        "annotate train draw 01",
    ]
    first = draws[0]
    paths = {file.path for file in MlflowClient().list_artifacts(first.run_id)}
    assert {"prompt", "annotations.parquet", "sample.json"} <= paths
    assert len(read_table(first.run_id, "prompt/demonstrations.parquet")) == 3
    metrics = {"accuracy", "macro_f1", "label_mass", "prompt_tokens", "texts_per_second"}
    assert metrics <= first.metrics.keys()
    assert datasets(first.run_id) == ["catalogue/train"]
    assert all(len(run.params) <= 25 for run in draws)


def _check_seed_runs(seeds):
    assert len(seeds) == 2 * len(["gold", "llm", "entropy_5", "entropy_25", "ensemble_2"])
    pairs = {(run.params["arm"], run.params["seed"]) for run in seeds}
    assert {("gold", "0"), ("entropy_25", "1")} <= pairs
    assert len(MlflowClient().get_metric_history(seeds[0].run_id, "validation_macro_f1")) == 2
    entropy = next(run for run in seeds if run.params["arm"] == "entropy_25")
    labels = read_table(entropy.run_id, "labels.parquet")
    assert (labels["source"] == "gold").sum() == 10
    keys = {"arm", "seed", "replicate", "draw", "n_examples", "n_train", "evaluated"}
    recipe = {
        "learning_rate",
        "epochs",
        "train_batch_size",
        "weight_decay",
        "dropout",
        "max_length",
        "encoder",
        "precision",
        "validation_labels",
    }
    assert all(keys | recipe <= run.params.keys() for run in seeds)


def test_scores_recomputed_from_predictions_are_the_logged_ones(params):
    main.experiment(params(arms="gold,llm"))
    experiment = ScoredExperiment(read_experiment())
    seeds = children(experiment.experiment.root, "seed")
    runs = [run for run in seeds if run.params["arm"] == "llm"]

    row = experiment.arms.set_index("arm").loc["llm"]
    assert row["accuracy"] == pytest.approx(sum(run.metrics["test.accuracy"] for run in runs) / 2)
    assert row["macro_f1_by_seed"] == pytest.approx([run.metrics["test.macro_f1"] for run in runs])
    assert row["human_labels"] == 0
    assert row["n_seeds"] == 2


@pytest.mark.parametrize(
    ("name", "work", "settings", "message"),
    [
        ("main", main.experiment, {}, "is 2 of 40 training labels"),
        ("check", check.check, {}, "is 2 of 40 training labels"),
        ("ask", ask.ask, {"arms": "learned"}, "is 2 of 40 training labels"),
        ("grid", grid.grid, {}, "is 2 of 40 training labels"),
        ("sweep", sweep.sweep, {}, "is 2 of 40 training labels"),
        (
            "main",
            main.experiment,
            {"replace_share": "50", "validation_labels": "arm"},
            "is 8 of 16 validation labels",
        ),
        (
            "curve",
            curve.curve,
            {"replace_share": "50", "sizes": "20,40"},
            "is 10 of 20 training labels",
        ),
    ],
)
def test_a_budget_too_small_for_an_audit_is_refused_before_the_annotator_is_asked(
    params, store, name, work, settings, message
):
    changes = {"arms": "random,learned", "replace_share": "5", **settings}

    with pytest.raises(AssayError, match=f"{message}, too few for the audit of the arm learned"):
        work(params(name, **changes))

    assert not (store / "work" / "annotations").exists()


def test_a_report_made_again_from_the_store_alone_has_the_same_bytes(params, store):
    main.experiment(params(arms="gold,llm"))
    root = latest_root()
    folder = store / "work" / "reports" / root.run_id
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink()

    publish(root.run_id, str(store / "elsewhere"))

    expected = {
        "arms.csv",
        "arms.md",
        "arms.png",
        "noise_transition.csv",
        "tail.csv",
        "report.md",
        "report.html",
    }
    assert expected <= before.keys()
    assert "verdict.csv" not in before
    again = store / "elsewhere" / "reports" / root.run_id
    assert {path.name: path.read_bytes() for path in again.iterdir()} == before


def test_the_report_is_one_page_without_network_that_runs_its_own_script_alone(params, store):
    main.experiment(params(arms="gold"))
    page = (store / "work" / "reports" / latest_root().run_id / "report.html").read_text()

    assert not re.search(r'(src|href)="(?!data:|#)', page)
    (script,) = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall('<meta http-equiv="Content-Security-Policy" content="(.*?)">', page)
    assert html.unescape(policy).split("; ") == [
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{allowed}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert "clothing &amp; accessories" in page


def test_a_second_run_computes_nothing_and_gives_the_same_predictions(params):
    main.experiment(params())
    first = latest_root()
    main.experiment(params())
    second = latest_root()

    assert first.run_id != second.run_id
    assert all(run.tags["reused"] == "true" for run in children(second, "seed"))
    for run in children(second, "annotation"):
        assert run.metrics["reused_texts"] == float(run.params["n_examples"])
    assert seed_tables(first) == seed_tables(second)


def test_two_runs_that_share_nothing_give_the_same_labels_and_predictions(params, store):
    roots = []
    for folder, workers in (("one", "1"), ("two", "2")):
        workspace = str(store / folder)
        main.experiment(params(workspace=workspace, arms="llm,ensemble", workers=workers))
        roots.append(latest_root())

    first, second = roots
    assert seed_tables(first, "labels.parquet") == seed_tables(second, "labels.parquet")
    assert seed_tables(first) == seed_tables(second)


def test_an_arm_can_pick_the_epoch_by_its_own_labels(params):
    main.experiment(params(arms="llm,entropy", validation_labels="arm"))
    root = latest_root()

    assert "annotate validation draw 00" in {run.name for run in children(root, "annotation")}
    assert {run.params["validation_labels"] for run in children(root, "seed")} == {"arm"}


def test_arms_have_the_order_of_the_parameter_whichever_was_finished_first(params):
    main.experiment(params(arms="llm"))
    main.experiment(params(arms="gold,llm"))

    assert list(read_experiment().arms) == ["gold", "llm"]


def test_gold_alone_needs_no_annotator(params):
    main.experiment(params(arms="gold", annotator_model="no/such-model"))

    assert children(latest_root(), "annotation") == []


def test_an_interrupted_experiment_keeps_its_children_and_names_what_is_missing(
    params, monkeypatch
):
    log_seed = seed_runs.log_seed
    n_logged: list[int] = []

    def log_three(*args, **kwargs):
        if len(n_logged) == 3:
            raise KeyboardInterrupt
        n_logged.append(1)
        return log_seed(*args, **kwargs)

    monkeypatch.setattr(seed_runs, "log_seed", log_three)
    with pytest.raises(KeyboardInterrupt):
        main.experiment(params(arms="gold,llm,ensemble"))
    (run,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'experiment'")
    root = read_run(run.info.run_id)

    assert root.status == root.tags["assay.ended"] == "KILLED"
    names = {run.name for run in children(root, "seed")}
    assert names == {"gold seed 00", "gold seed 01", "llm seed 00"}
    missing = ("llm (1 of 2 seeds)", "ensemble_2 (0 of 2 seeds)")
    assert read_experiment(root.run_id).incomplete == missing


def test_annotate_alone_logs_every_draw_over_every_split(params):
    annotate.annotate(params("annotate", splits="train,test"))
    root = latest_root("annotation set")

    assert len(children(root, "annotation")) == 4
    assert "labelled 40 train texts of catalogue in 2 draws" in root.tags["mlflow.note.content"]


def test_finetune_alone_trains_on_gold_on_a_file_or_on_the_labels_of_a_run(params, store):
    main.experiment(params(arms="llm"))
    source = children(latest_root(), "seed")[0]
    table = read_table(source.run_id, "labels.parquet")[["example_id", "label"]]
    table.to_csv(store / "labels.csv", index=False)
    predictions = []
    for labels in ("gold", f"runs:/{source.run_id}/labels.parquet", str(store / "labels.csv")):
        finetune.finetune(params("finetune", labels=labels))
        tables = seed_tables(latest_root())
        predictions.append({name.split()[-1]: table for name, table in tables.items()})

    of_gold, of_run, of_file = predictions
    assert of_run == of_file
    assert of_run != of_gold


def test_a_labels_file_without_the_texts_of_the_split_is_refused(params, store):
    (store / "labels.csv").write_text("example_id,label\na,books\n", encoding="utf-8")

    with pytest.raises(AssayError, match="lacks 40 of 40 training examples"):
        finetune.finetune(params("finetune", labels=str(store / "labels.csv")))


def test_a_report_without_a_run_is_refused_with_the_way_out(store):
    with pytest.raises(AssayError, match="holds no finished experiment. Run one"):
        publish("", str(store))
    with pytest.raises(AssayError, match="run 123 is not in the tracking store"):
        publish("123", str(store))


def command(name, params):
    """The command line of an entry point."""
    words = [word for key, value in params.items() for word in (f"--{key}", value)]
    return [sys.executable, "-m", f"entrypoints.{name}", *words]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"replace_share": "5,101"},
            "error: replace_share must be at most 100; got 101. (With mlflow run: "
            "-P replace_share=...; with python -m: --replace_share ...)",
        ),
        ({"arms": "gold,entropi"}, "got 'entropi'. Did you mean 'entropy'?"),
        (
            {"annotator": "tranformers", "arms": "gold"},
            "error: annotator must be one of openai, recorded, transformers, vllm; got "
            "'tranformers'. Did you mean 'transformers'?",
        ),
        ({"encoder": "bundeld"}, "Did you mean 'bundled'?"),
        ({"seeds": "five"}, "error: seeds must be a whole number; got 'five'."),
        (
            {"n_demonstrations": "61"},
            "error: n_demonstrations must be at most the size of the demonstration pool, 60; got "
            "61.",
        ),
        (
            {"encoder": "no-such/encoder"},
            "error: encoder: no-such/encoder (revision main) could not be found on the hub",
        ),
    ],
)
def test_bad_parameters_end_in_one_line_before_anything_is_logged(
    params, store, changes, message, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", command("main", params(**changes))[2:])

    with pytest.raises(SystemExit) as ended:
        command_line("main", main.experiment)

    assert ended.value.code == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert all_runs() == []


def all_runs():
    """Every run of the store."""
    experiments = MlflowClient().search_experiments()
    return MlflowClient().search_runs([experiment.experiment_id for experiment in experiments])


def test_a_workspace_that_cannot_be_written_ends_in_one_line_before_anything_is_logged(
    params, store
):
    (store / "file").write_text("")

    done = forked.run(command("main", params(workspace=str(store / "file"))), timeout=250)

    assert done.returncode == 1
    assert "Everything finished is kept; correct this and run again." in done.stderr
    assert "Traceback" not in done.stderr
    assert all_runs() == []


def test_a_store_that_cannot_be_reached_ends_in_one_line_without_its_password(params, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    done = forked.run(command("main", params()), timeout=250)

    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: the tracking store http://127.0.0.1:9 cannot be used: Connection refused. Start or "
        "repair it, or correct MLFLOW_TRACKING_URI"
    )
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def latest_status():
    """The status of the newest experiment."""
    (run,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'experiment'", max_results=1)
    return run.info.status


@contextlib.contextmanager
def small_disk(folder):
    """A file system of 24 kB at ``folder``; the test is skipped where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_in_one_line_and_marks_the_run_failed(params, store):
    with small_disk(store / "small"):
        done = forked.run(command("main", params(workspace=str(store / "small"))), timeout=250)

    assert done.returncode == 1
    assert "error: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert latest_status() == "FAILED"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_experiment_is_marked_killed_and_the_same_command_goes_on(params, store, number):
    values = params(seeds="80", workers="2", arms="gold")
    process = forked.Popen(command("main", values), stderr=subprocess.PIPE, start_new_session=True)
    seeds = store / "work" / "seeds"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if len(list(seeds.glob("*/result.json"))) >= 3:
            break
        time.sleep(0.1)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # a terminal sends it to every process
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    assert "Everything finished is kept; run the same command again to continue." in errors
    assert "Traceback" not in errors
    assert latest_status() == "KILLED"
    assert not list(seeds.glob(".*"))
    n_finished = len(list(seeds.glob("*/result.json")))
    assert 3 <= n_finished < 80

    main.experiment({**values, "seeds": "3", "workers": "1"})
    # Two workers have finished at least three of the first four seeds of gold.
    assert sum(run.tags["reused"] == "true" for run in children(latest_root(), "seed")) >= 2


def test_mlflow_run_logs_into_the_run_that_it_made(params, store):
    values = params(arms="gold", seeds="1")
    given = [word for key, value in values.items() for word in ("-P", f"{key}={value}")]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    mlflow_run = [sys.executable, "-m", "mlflow", "run", str(ROOT), "--env-manager", "local"]

    done = forked.run(
        [*mlflow_run, "--experiment-name", "team", *given],
        env={**os.environ, "PATH": path},
        timeout=250,
    )

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    root = latest_root()
    assert re.search(f"run      {root.run_id}", done.stdout)
    experiment = MlflowClient().get_experiment_by_name("team")
    assert experiment is not None
    runs = MlflowClient().search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == 2
    assert root.params["seeds"] == "1"
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert experiment.tags["mlflow.experiment.primaryMetric.name"] == "test.macro_f1"
    note = experiment.tags["mlflow.note.content"]
    assert note.startswith("How much gold is in these LLM labels?")
    (result,) = (store / "work" / "seeds").glob("*/result.json")
    assert json.loads(result.read_text())["history"]


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_waits_for_the_end_of_a_write_and_a_second_one_does_not(store, number, raised):
    reached = []
    with pytest.raises(raised), root_run("experiment", "x", {}), signals.deferred():
        os.kill(os.getpid(), number)
        reached.append("written")
    with pytest.raises(raised), root_run("experiment", "x", {}), signals.deferred():
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        reached.append("not reached")

    assert reached == ["written"]
    assert {run.info.status for run in MlflowClient().search_runs(["1"])} == {"KILLED"}
