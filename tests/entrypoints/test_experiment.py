"""The experiment end to end, with tiny models, on a real tracking store that is read back."""

import base64
import hashlib
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
from entrypoints import annotate, finetune, main
from entrypoints.wiring.command import main as command_line
from project.support.errors import AssayError
from project.tracking import children, latest_root, read_json, read_run, read_table, root_run
from project.tracking.outbox import signals

ROOT = Path(__file__).parents[2]


def used(run_id):
    inputs = MlflowClient().get_run(run_id).inputs
    return [one.dataset.name for one in inputs.dataset_inputs] if inputs else []


def seed_table(root):
    return {
        run.name: read_table(run.run_id, "predictions.parquet") for run in children(root, "seed")
    }


def test_the_store_holds_root_annotation_and_seed_runs_with_all_that_must_be_in_them(
    params, capsys
):
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
    assert {
        "gold.accuracy",
        "llm.krippendorff_alpha",
        "ensemble_2.human_share",
    } <= root.metrics.keys()

    drawn = children(root, "annotation")
    assert sorted(run.name for run in drawn) == [
        "annotate test draw 00",
        "annotate train draw 00",
        "annotate train draw 01",
    ]
    paths = {file.path for file in MlflowClient().list_artifacts(drawn[0].run_id)}
    assert {"prompt", "annotations.parquet", "sample.json"} <= paths
    assert len(read_table(drawn[0].run_id, "prompt/demonstrations.parquet")) == 3
    assert {"accuracy", "macro_f1", "label_mass", "prompt_tokens", "texts_per_second"} <= drawn[
        0
    ].metrics.keys()
    assert used(drawn[0].run_id) == ["catalogue/train"]

    seeds = children(root, "seed")
    assert len(seeds) == 2 * len(["gold", "llm", "entropy_5", "entropy_25", "ensemble_2"])
    assert {(run.params["arm"], run.params["seed"]) for run in seeds} >= {
        ("gold", "0"),
        ("entropy_25", "1"),
    }
    assert len(MlflowClient().get_metric_history(seeds[0].run_id, "validation_macro_f1")) == 2
    labels = read_table(
        next(run.run_id for run in seeds if run.params["arm"] == "entropy_25"), "labels.parquet"
    )
    assert (labels["source"] == "gold").sum() == 10
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
    assert all(
        {"arm", "seed", "replicate", "draw", "n_examples", "n_train", "evaluated"} | recipe
        <= run.params.keys()
        for run in seeds
    )
    assert all(len(run.params) <= 25 for run in drawn)
    shared = {"task", "examples_sha256", "annotator_model", "calibration", "n_demonstrations"}
    assert all(shared <= run.params.keys() for run in [*seeds, *drawn])

    shown = capsys.readouterr().out
    assert "entropy_25" in shown
    assert "report.html" in shown
    assert "mlflow ui --backend-store-uri" in shown


def test_the_table_is_recomputed_from_predictions_and_agrees_with_the_logged_scores(params):
    main.experiment(params(arms="gold,llm"))
    experiment = ScoredExperiment(read_experiment())
    runs = [
        run for run in children(experiment.experiment.root, "seed") if run.params["arm"] == "llm"
    ]

    row = experiment.arms.set_index("arm").loc["llm"]
    assert row["accuracy"] == pytest.approx(sum(run.metrics["test.accuracy"] for run in runs) / 2)
    assert row["macro_f1_by_seed"] == pytest.approx([run.metrics["test.macro_f1"] for run in runs])
    assert (row["human_labels"], row["n_seeds"]) == (0, 2)


def test_the_report_is_rebuilt_from_the_store_alone_to_the_same_bytes(params, store):
    main.experiment(params(arms="gold,llm"))
    root = latest_root()
    folder = store / "work" / "reports" / root.run_id
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink()

    publish(root.run_id, str(store / "elsewhere"))

    assert {
        "arms.csv",
        "arms.md",
        "arms.png",
        "verdict.csv",
        "noise_transition.csv",
        "tail.csv",
        "report.md",
        "report.html",
    } - before.keys() == {"verdict.csv"}
    assert {
        path.name: path.read_bytes()
        for path in (store / "elsewhere" / "reports" / root.run_id).iterdir()
    } == before


def test_the_report_is_one_page_without_network_that_lets_no_script_run_but_its_own(params, store):
    main.experiment(params(arms="gold"))
    page = (store / "work" / "reports" / latest_root().run_id / "report.html").read_text()

    assert not re.search(r'(src|href)="(?!data:|#)', page)
    (script,) = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
        in page
    )
    assert "clothing &amp; accessories" in page


def test_a_second_run_pays_for_nothing_and_gives_the_same_labels_and_predictions(params):
    main.experiment(params())
    first = latest_root()
    main.experiment(params())
    second = latest_root()

    assert first.run_id != second.run_id
    assert all(run.tags["reused"] == "true" for run in children(second, "seed"))
    assert all(
        run.metrics["reused_texts"] == float(run.params["n_examples"])
        for run in children(second, "annotation")
    )
    assert {name: table.to_json() for name, table in seed_table(first).items()} == {
        name: table.to_json() for name, table in seed_table(second).items()
    }


def test_two_runs_that_share_nothing_give_the_same_label_files_and_predictions(params, store):
    tables = []
    for folder in ("one", "two"):
        main.experiment(
            params(
                workspace=str(store / folder),
                arms="llm,ensemble",
                workers="2" if folder == "two" else "1",
            )
        )
        root = latest_root()
        labels = {
            run.name: read_table(run.run_id, "labels.parquet").to_json()
            for run in children(root, "seed")
        }
        tables.append((labels, {name: table.to_json() for name, table in seed_table(root).items()}))

    assert tables[0] == tables[1]


def test_the_arms_own_labels_can_pick_the_epoch(params):
    main.experiment(params(arms="llm,entropy", validation_labels="arm"))
    root = latest_root()

    assert "annotate validation draw 00" in {run.name for run in children(root, "annotation")}
    assert {run.params["validation_labels"] for run in children(root, "seed")} == {"arm"}


def test_arms_stand_in_the_order_asked_for_whatever_was_finished_first(params):
    main.experiment(params(arms="llm"))
    main.experiment(params(arms="gold,llm"))

    assert list(read_experiment().arms) == ["gold", "llm"]


def test_gold_alone_needs_no_annotator(params):
    main.experiment(params(arms="gold", annotator_model="no/such-model"))

    assert children(latest_root(), "annotation") == []


def test_an_interrupted_experiment_is_marked_keeps_its_children_and_the_report_names_what_is_missing(
    params, monkeypatch
):
    import entrypoints.wiring.seed_runs

    whole = entrypoints.wiring.seed_runs.log_seed
    done: list[int] = []

    def log_three(*arguments, **named):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        whole(*arguments, **named)

    monkeypatch.setattr(entrypoints.wiring.seed_runs, "log_seed", log_three)
    with pytest.raises(KeyboardInterrupt):
        main.experiment(params(arms="gold,llm,ensemble"))
    (run,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'experiment'")
    root = read_run(run.info.run_id)

    assert root.status == "KILLED"
    assert {run.name for run in children(root, "seed")} == {
        "gold seed 00",
        "gold seed 01",
        "llm seed 00",
    }
    assert read_experiment(root.run_id).incomplete == (
        "llm (1 of 2 seeds)",
        "ensemble_2 (0 of 2 seeds)",
    )
    assert root.tags["assay.ended"] == "KILLED"


def test_annotate_alone_logs_every_draw_over_every_split(params):
    annotate.annotate(params("annotate", splits="train,test"))
    root = latest_root("annotation set")

    assert len(children(root, "annotation")) == 4
    assert "labelled 40 train texts of catalogue in 2 draws" in root.tags["mlflow.note.content"]


def test_finetune_alone_trains_on_gold_or_on_a_file_or_on_the_labels_of_a_run(params, store):
    main.experiment(params(arms="llm"))
    source = children(latest_root(), "seed")[0]
    read_table(source.run_id, "labels.parquet")[["example_id", "label"]].to_csv(
        store / "labels.csv", index=False
    )
    predictions = []
    for labels in ("gold", f"runs:/{source.run_id}/labels.parquet", str(store / "labels.csv")):
        finetune.finetune(params("finetune", labels=labels))
        predictions.append(
            {name.split()[-1]: table.to_json() for name, table in seed_table(latest_root()).items()}
        )

    assert predictions[1] == predictions[2] != predictions[0]


def test_a_labels_file_without_the_split_it_needs_is_refused(params, store):
    (store / "labels.csv").write_text("example_id,label\na,books\n", encoding="utf-8")

    with pytest.raises(AssayError, match="lacks 40 of 40 training examples"):
        finetune.finetune(params("finetune", labels=str(store / "labels.csv")))


def test_a_report_of_nothing_says_what_to_do(store):
    with pytest.raises(AssayError, match="holds no finished experiment. Run one"):
        publish("", str(store))
    with pytest.raises(AssayError, match="run 123 is not in the tracking store"):
        publish("123", str(store))


def command(name, params):
    return [
        sys.executable,
        "-m",
        f"entrypoints.{name}",
        *(word for key, value in params.items() for word in (f"--{key}", value)),
    ]


def run(arguments, **more):
    return subprocess.run(
        arguments, cwd=ROOT, capture_output=True, text=True, check=False, timeout=250, **more
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"replace_share": "5,101"},
            "error: replace_share must be at most 100; got 101. Give another value with -P replace_share=...",
        ),
        ({"arms": "gold,entropi"}, "got 'entropi'. Did you mean 'entropy'?"),
        (
            {"annotator": "tranformers", "arms": "gold"},
            "error: annotator must be one of openai, recorded, transformers, vllm; got 'tranformers'. Did you mean",
        ),
        ({"encoder": "bundeld"}, "Did you mean 'bundled'?"),
        (
            {"seeds": "five"},
            "error: seeds must be a whole number; got 'five'. Give another value with -P seeds=...",
        ),
        (
            {"n_demonstrations": "61"},
            "error: n_demonstrations must be at most the size of the demonstration pool, 60; got 61.",
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
    assert logged() == []


def logged():
    return MlflowClient().search_runs(
        [one.experiment_id for one in MlflowClient().search_experiments()]
    )


def test_a_workspace_that_cannot_be_written_ends_in_one_line_before_anything_is_logged(
    params, store
):
    (store / "file").write_text("")

    done = run(command("main", params(workspace=str(store / "file"))))

    assert done.returncode == 1
    assert "Everything finished is kept; mend it and run again." in done.stderr
    assert "Traceback" not in done.stderr
    assert logged() == []


def test_a_store_that_cannot_be_reached_ends_in_one_line(params, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    done = run(command("main", params()))

    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: the tracking store http://127.0.0.1:9 cannot be used: Connection refused. Start it or mend it, or correct"
    )
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def latest_status():
    (run,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'experiment'", max_results=1)
    return run.info.status


def test_a_full_disk_ends_in_one_line_and_keeps_what_is_finished(params, store):
    (store / "small").mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(store / "small")],
        capture_output=True,
        check=False,
    ).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        done = run(command("main", params(workspace=str(store / "small"))))
    finally:
        subprocess.run(["umount", str(store / "small")], check=True)

    assert done.returncode == 1
    assert "error: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert latest_status() == "FAILED"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_experiment_is_marked_killed_and_the_same_command_goes_on(params, store, number):
    arguments = params(seeds="40", workers="2", arms="gold,llm")
    process = subprocess.Popen(
        command("main", arguments),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    seeds = store / "work" / "seeds"
    deadline = time.monotonic() + 120
    while (
        process.poll() is None
        and time.monotonic() < deadline
        and len(list(seeds.glob("*/result.json")) if seeds.is_dir() else []) < 3
    ):
        time.sleep(0.1)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, error = process.communicate(timeout=60)

    assert process.returncode == 130, error
    assert "the same command goes on where this one stopped" in error
    assert "Traceback" not in error
    assert latest_status() == "KILLED"
    assert not list(seeds.glob(".*"))
    finished = len(list(seeds.glob("*/result.json")))
    assert 3 <= finished < 80

    main.experiment({**arguments, "seeds": "3"})
    # two workers have finished at least three of the first four gold seeds
    assert sum(run.tags["reused"] == "true" for run in children(latest_root(), "seed")) >= 2


def test_mlflow_run_logs_into_the_run_it_made(params, store):
    arguments = params(arms="gold", seeds="1")
    given = [word for key, value in arguments.items() for word in ("-P", f"{key}={value}")]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }

    done = run(
        [
            sys.executable,
            "-m",
            "mlflow",
            "run",
            str(ROOT),
            "--env-manager",
            "local",
            "--experiment-name",
            "team",
            *given,
        ],
        env=environment,
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
    assert experiment.tags["mlflow.note.content"].startswith(
        "How much gold is in these LLM labels?"
    )
    assert json.loads((store / "work" / "seeds").glob("*/result.json").__next__().read_text())[
        "history"
    ]


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
