"""A seed's weights in the tracking store can be loaded and served, and are safetensors only."""

import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from entrypoints import finetune, main
from project.config.experiment import experiment_config
from project.data.task import load_task
from project.support.errors import AssayError, Incomplete
from project.tracking import Child, children, latest_root, read_run, read_table, root_run
from project.training.seed import run_job
from tests.helpers import forked

LABELS = ("books & more", "electronics", "household")


@pytest.fixture
def logged(tiny_encoder, store):
    """Run id, address and folder of a logged classifier that favours its first label."""
    folder = store / "result" / "model"
    settings = AutoConfig.from_pretrained(
        tiny_encoder,
        id2label=dict(enumerate(LABELS)),
        label2id={name: k for k, name in enumerate(LABELS)},
    )
    model = AutoModelForSequenceClassification.from_pretrained(tiny_encoder, config=settings)
    model.classifier.bias.data[:] = model.classifier.bias.new_tensor([9.0, 0.0, 0.0])
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(folder)
    with root_run("experiment", "weights", {}) as tracker:
        run_id = tracker.log_child(
            Child(
                "gold seed 00",
                "seed",
                "digest",
                {"arm": "gold"},
                metrics={"test.accuracy": 0.5},
                files={},
                description="",
            )
        )
        address = tracker.log_model(
            run_id,
            folder,
            source="tiny",
            max_length=64,
            about="A classifier for tests.",
            text_column="body",
        )
    return run_id, address, folder


def test_mlflow_loads_the_weights_with_the_label_names(logged):
    run_id, address, folder = logged
    pipeline = mlflow.transformers.load_model(address)

    assert pipeline("kettle")[0]["label"] == "books & more"
    weights = AutoModelForSequenceClassification.from_pretrained(folder).state_dict()
    assert all(
        (weights[name] == values).all() for name, values in pipeline.model.state_dict().items()
    )
    served = mlflow.pyfunc.load_model(address)
    too_long = "kettle " * 500  # more tokens than the encoder reads
    assert list(served.predict({"body": [too_long]})["label"]) == ["books & more"]
    outputs = MlflowClient().get_run(run_id).outputs
    assert outputs is not None
    assert [model.model_id for model in outputs.model_outputs] == [address.removeprefix("models:/")]
    model = MlflowClient().get_logged_model(address.removeprefix("models:/"))
    run = MlflowClient().get_run(run_id)
    assert (model.experiment_id, model.source_run_id, model.status) == (
        run.info.experiment_id,
        run_id,
        "READY",
    )
    assert (model.params["arm"], model.tags["mlflow.user"]) == (
        "gold",
        run.data.tags["mlflow.user"],
    )


def test_a_logged_model_is_safetensors_and_names_no_path_of_this_machine(logged):
    _, address, folder = logged
    downloaded = Path(mlflow.artifacts.download_artifacts(address))
    files = {
        path.relative_to(downloaded).as_posix(): path
        for path in downloaded.rglob("*")
        if path.is_file()
    }

    assert "model/model.safetensors" in files
    assert not [name for name in files if Path(name).suffix in {".bin", ".pkl", ".pt", ".pickle"}]
    texts = {
        name: path.read_text(encoding="utf-8")
        for name, path in files.items()
        if path.suffix != ".safetensors"
    }
    assert not [name for name, text in texts.items() if str(folder) in text]
    assert "source_model_name: tiny" in texts["MLmodel"]
    assert "transformers==" in texts["requirements.txt"]
    assert texts["LICENSE.txt"] == "Fine-tuned from tiny, whose licence holds.\n"


def test_a_folder_without_weights_is_refused(store):
    with (
        root_run("experiment", "weights", {}) as tracker,
        pytest.raises(AssayError, match="must hold config.json and weights in safetensors"),
    ):
        tracker.log_model(tracker.run_id, store, source="tiny", max_length=64, about="")


def test_a_logged_model_is_served(logged):
    _, address, _ = logged
    downloaded = mlflow.artifacts.download_artifacts(address)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        downloaded,
        "--env-manager",
        "local",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with Path("serve.log").open("w") as log:
        process = forked.Popen(
            command, cwd=Path.cwd(), env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        body = json.dumps({"dataframe_records": [{"body": "kettle"}, {"body": "123"}]}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        answer = None
        for _ in range(240):
            try:
                answer = json.load(urllib.request.urlopen(request, timeout=30))  # noqa: S310
                break
            except urllib.error.URLError:
                assert process.poll() is None, Path("serve.log").read_text()
                time.sleep(0.25)
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=30)

    assert answer is not None
    assert [each["label"] for each in answer["predictions"]] == ["books & more", "books & more"]


def predicted(run, address, task):
    """Labels of the test split by the logged model, and those in the run's artifact."""
    test = task.split("test")
    served = mlflow.pyfunc.load_model(address)
    table = read_table(run.run_id, "predictions.parquet").set_index("example_id")
    return list(served.predict(test[["text"]])["label"]), list(
        table.loc[test["example_id"], "label"]
    )


def models(run):
    outputs = MlflowClient().get_run(run.run_id).outputs
    return [f"models:/{model.model_id}" for model in (outputs.model_outputs if outputs else [])]


def test_log_model_best_logs_the_best_seed_s_weights_which_predict_what_its_run_holds(
    params, capsys
):
    values = params(
        "finetune", precision="fp32", checkpoint_seconds="0", epochs="2", learning_rate="0.003"
    )
    finetune.finetune(values)
    assert not [address for run in children(latest_root(), "seed") for address in models(run)]
    assert "step 6 of 6, loss" in capsys.readouterr().err

    # Weights are not kept unless they are to be logged, so these seeds are trained again.
    finetune.finetune({**values, "log_model": "best"})

    runs = children(latest_root(), "seed")
    best = max(
        runs, key=lambda run: (run.metrics["best_validation_macro_f1"], -int(run.params["seed"]))
    )
    logged = {run.run_id: models(run) for run in runs}
    assert [run_id for run_id, models_of_run in logged.items() if models_of_run] == [best.run_id]
    from_model, from_run = predicted(best, logged[best.run_id][0], task_of(values))
    assert from_model == from_run
    assert models(latest_root()) == models(best)  # the root run lists it too
    (model_id,) = (address.rpartition("/")[2] for address in models(best))
    assert MlflowClient().get_logged_model(model_id).name == best.name

    capsys.readouterr()
    finetune.finetune({**values, "log_model": "all"})
    assert all(models(run) for run in children(latest_root(), "seed"))
    assert len(models(latest_root())) == len(runs)
    assert {run.tags["reused"] for run in children(latest_root(), "seed")} == {"true"}
    assert "step 6 of 6, loss" not in capsys.readouterr().err


def test_the_best_seed_of_an_arm_is_the_best_of_all_its_finished_replicates(params, monkeypatch):
    def run_all_but_gold_1(job, folder, after_evaluation, **more):
        if (job.arm, job.seed) == ("gold", 1):
            raise AssayError("this one fails")
        run_job(job, folder, after_evaluation, **more)

    monkeypatch.setattr("project.training.workers.run_job", run_all_but_gold_1)
    with pytest.raises(Incomplete, match="1 of 4 seeds failed.*arm gold, seed 1: this one fails"):
        main.experiment(
            params(
                arms="gold,llm",
                replicate="pipeline",
                precision="fp32",
                workers="1",
                log_model="best",
            )
        )

    (root,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'experiment'")
    runs = children(read_run(root.info.run_id), "seed")
    for arm, n in (("gold", 1), ("llm", 2)):
        of_arm = [run for run in runs if run.params["arm"] == arm]
        best = max(
            of_arm,
            key=lambda run: (
                run.metrics["best_validation_macro_f1"],
                -int(run.params["replicate"]),
            ),
        )
        assert len(of_arm) == n
        assert [run.run_id for run in of_arm if models(run)] == [best.run_id]


def task_of(values):
    return load_task(
        experiment_config({**values, "annotator": "none", "annotator_model": "none"}).task
    )


def test_the_logged_weights_include_the_lora_matrices(params):
    values = params(
        "finetune",
        precision="fp32",
        lora_rank="2",
        log_model="all",
        seeds="1",
        learning_rate="0.01",
    )
    finetune.finetune(values)

    (run,) = children(latest_root(), "seed")
    from_model, from_run = predicted(run, models(run)[0], task_of(values))
    assert from_model == from_run
