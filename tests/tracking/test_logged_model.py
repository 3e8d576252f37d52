"""A seed's weights in the tracking store: loaded back, served, nothing but safetensors."""

import json
import os
import socket
import subprocess
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

LABELS = ("books & more", "electronics", "household")


@pytest.fixture
def logged(tiny_encoder, store):
    """A classifier whose first label is favoured, logged with a seed's run; returns the run's id, the address and the folder."""
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
            Child("gold seed 00", "seed", "digest", {"arm": "gold"}, metrics={"test.accuracy": 0.5}, files={}, description="")
        )
        address = tracker.log_model(
            run_id, folder, source="tiny", max_length=64, about="A classifier for tests."
        )
    return run_id, address, folder


def test_weights_are_loaded_back_by_mlflow_with_the_labels_names(logged):
    run_id, address, folder = logged
    pipeline = mlflow.transformers.load_model(address)

    assert pipeline("kettle")[0]["label"] == "books & more"
    weights = AutoModelForSequenceClassification.from_pretrained(folder).state_dict()
    assert all(
        (weights[name] == values).all() for name, values in pipeline.model.state_dict().items()
    )
    served = mlflow.pyfunc.load_model(address)
    assert list(served.predict(["kettle " * 500])["label"]) == [
        "books & more"
    ]  # longer than the encoder reads
    outputs = MlflowClient().get_run(run_id).outputs
    assert outputs is not None
    assert [one.model_id for one in outputs.model_outputs] == [address.removeprefix("models:/")]
    model, run = (
        MlflowClient().get_logged_model(address.removeprefix("models:/")),
        MlflowClient().get_run(run_id),
    )
    assert (model.experiment_id, model.source_run_id, model.status) == (
        run.info.experiment_id,
        run_id,
        "READY",
    )
    assert (model.params["arm"], model.tags["mlflow.user"]) == (
        "gold",
        run.data.tags["mlflow.user"],
    )


def test_what_is_logged_is_safetensors_and_knows_no_path_of_this_machine(logged):
    _, address, folder = logged
    place = Path(mlflow.artifacts.download_artifacts(address))
    files = {
        path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()
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
    place = mlflow.artifacts.download_artifacts(address)
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
        place,
        "--env-manager",
        "local",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with open("serve.log", "w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        body = json.dumps({"inputs": ["kettle", "novel"]}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        answer = None
        for _ in range(240):
            try:
                answer = json.load(urllib.request.urlopen(request, timeout=30))
                break
            except urllib.error.URLError:
                assert process.poll() is None, Path("serve.log").read_text()
                time.sleep(0.25)
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=30)

    assert answer is not None
    assert [one["label"] for one in answer["predictions"]] == ["books & more", "books & more"]


def predicted(run, address, task):
    """Labels of the test split by the logged model, and those in the run."""
    test = task.split("test")
    served = mlflow.pyfunc.load_model(address)
    table = read_table(run.run_id, "predictions.parquet").set_index("example_id")
    return list(served.predict(list(test["text"]))["label"]), list(
        table.loc[test["example_id"], "label"]
    )


def models(run):
    outputs = MlflowClient().get_run(run.run_id).outputs
    return [f"models:/{one.model_id}" for one in (outputs.model_outputs if outputs else [])]


def test_the_best_seed_s_weights_are_logged_when_asked_for_and_predict_what_its_run_holds(
    params, capsys
):
    asked = params(
        "finetune", precision="fp32", checkpoint_seconds="0", epochs="2", learning_rate="0.003"
    )
    finetune.finetune(asked)
    assert not [address for run in children(latest_root(), "seed") for address in models(run)]
    assert "epoch 2 of 2, loss" in capsys.readouterr().err

    finetune.finetune(
        {**asked, "log_model": "best"}
    )  # the weights are gone, so these seeds are trained once more

    runs = children(latest_root(), "seed")
    best = max(
        runs, key=lambda run: (run.metrics["best_validation_macro_f1"], -int(run.params["seed"]))
    )
    logged = {run.run_id: models(run) for run in runs}
    assert [run_id for run_id, found in logged.items() if found] == [best.run_id]
    given, kept = predicted(best, logged[best.run_id][0], task_of(asked))
    assert given == kept

    capsys.readouterr()
    finetune.finetune({**asked, "log_model": "all"})
    assert all(models(run) for run in children(latest_root(), "seed"))
    assert {run.tags["reused"] for run in children(latest_root(), "seed")} == {"true"}
    assert "epoch 2 of 2, loss" not in capsys.readouterr().err


def test_the_best_of_an_arm_is_the_best_of_all_its_replicates_and_a_failed_seed_takes_nothing_from_it(
    params, monkeypatch
):
    import project.training.jobs

    whole = project.training.jobs._run

    def run_all_but_gold_1(job, folder, after_epoch):
        if (job.arm, job.seed) == ("gold", 1):
            raise AssayError("this one fails")
        whole(job, folder, after_epoch)

    monkeypatch.setattr(project.training.jobs, "_run", run_all_but_gold_1)
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
        mine = [run for run in runs if run.params["arm"] == arm]
        best = max(
            mine,
            key=lambda run: (
                run.metrics["best_validation_macro_f1"],
                -int(run.params["replicate"]),
            ),
        )
        assert len(mine) == n
        assert [run.run_id for run in mine if models(run)] == [best.run_id]


def task_of(asked):
    return load_task(
        experiment_config({**asked, "annotator": "none", "annotator_model": "none"}).task
    )


def test_lora_s_matrices_are_in_the_weights_that_are_kept(params):
    asked = params(
        "finetune",
        precision="fp32",
        lora_rank="2",
        log_model="all",
        seeds="1",
        learning_rate="0.01",
    )
    finetune.finetune(asked)

    (run,) = children(latest_root(), "seed")
    given, kept = predicted(run, models(run)[0], task_of(asked))
    assert given == kept
