"""A logged classifier gives the probabilities of Assay's own predictions however it is loaded."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from transformers import AutoTokenizer

from entrypoints import finetune
from project.config.experiment import experiment_config
from project.data.task import load_task
from project.tracking import children, latest_root, read_run, read_table, write_verdicts

TEXTS = ["kettle novel", "123", "(1, 2)", "[SEP] kettle [CLS]", "kettle " * 700, "", "'kettle'"]


@pytest.fixture
def trained(params, capsys):
    """A finished fine-tuning with one logged model: run of the seed, address, printed lines."""
    values = params("finetune", precision="fp32", log_model="all", seeds="1", max_length="16")
    values["learning_rate"] = "0.01"
    finetune.finetune(values)
    (run,) = children(latest_root(), "seed")
    outputs = MlflowClient().get_run(run.run_id).outputs
    assert outputs
    address = f"models:/{outputs.model_outputs[0].model_id}"
    return run, address, values, capsys.readouterr().err


def downloaded(address):
    return Path(mlflow.artifacts.download_artifacts(address))


def by_class(answer, labels):
    scores = {each["label"]: each["score"] for each in answer}
    return [scores[label] for label in labels]


def test_every_way_of_loading_gives_the_probabilities_of_the_run(trained):
    run, address, values, printed = trained
    task = load_task(
        experiment_config({**values, "annotator": "none", "annotator_model": "none"}).task
    )
    test = task.split("test")
    table = read_table(run.run_id, "predictions.parquet").set_index("example_id")
    labels = task.label_set
    own = np.exp(
        table.loc[test["example_id"], [f"log_probability.{label}" for label in labels]].to_numpy()
    )
    assert test["text"].str.split().str.len().max() > 16  # some texts are cut
    frame = pd.DataFrame({"text": test["text"]})

    served = mlflow.pyfunc.load_model(address).predict(frame)
    pipeline = mlflow.transformers.load_model(address)
    piped = [by_class(answer, labels) for answer in pipeline(list(test["text"]), top_k=None)]

    assert f"logged as {address}" in printed
    assert list(served["label"]) == list(table.loc[test["example_id"], "label"])
    columns = [f"probability.{label}" for label in labels]
    np.testing.assert_allclose(served[columns], own, atol=2e-6)
    np.testing.assert_allclose(piped, own, atol=2e-6)


def test_texts_that_look_like_numbers_code_or_special_tokens_are_read_as_texts(trained):
    _, address, _, _ = trained
    served = mlflow.pyfunc.load_model(address)
    pipeline = mlflow.transformers.load_model(address)
    labels = [column.name.removeprefix("probability.") for column in outputs_of(served)[2:]]

    answers = served.predict(pd.DataFrame({"text": [*TEXTS, None]}))

    piped = [by_class(answer, labels) for answer in pipeline(TEXTS, top_k=None)]
    columns = [f"probability.{label}" for label in labels]
    np.testing.assert_allclose(answers[columns].to_numpy()[:-1], piped, atol=2e-6)
    assert answers.iloc[-1].isna().all()
    assert pipeline.tokenizer._tokenizer.encode_special_tokens  # as in training
    with pytest.raises(mlflow.MlflowException, match=r"missing inputs \['text'\]"):
        served.predict(["kettle"])


def outputs_of(served):
    return served.metadata.signature.outputs.inputs


def test_the_tokenizer_loads_without_consent_to_run_code(trained):
    _, address, _, _ = trained
    folder = downloaded(address) / "components" / "tokenizer"

    tokenizer = AutoTokenizer.from_pretrained(folder)

    assert tokenizer.model_max_length == 16
    assert len(tokenizer("kettle " * 50, truncation=True)["input_ids"]) == 16


def test_a_model_has_signature_example_pins_tags_and_a_card_with_the_verdict(trained):
    run, address, _, _ = trained
    folder = downloaded(address)
    model = MlflowClient().get_logged_model(address.removeprefix("models:/"))

    loaded = mlflow.pyfunc.load_model(address)
    assert loaded.metadata.signature.inputs.input_names() == ["text"]
    assert list(loaded.input_example.columns) == ["text"]
    assert loaded.predict(loaded.input_example)["score"].notna().all()
    assert all(
        "==" in line for line in (folder / "requirements.txt").read_text().splitlines() if line
    )
    assert (model.tags["assay.arm"], model.tags["assay.task"]) == ("gold", "catalogue")
    card = (folder / "README.md").read_text(encoding="utf-8")
    root = read_run(run.tags["assay.root"])
    for part in (root.tags["assay.verdict"].upper(), "electronics", "max_length: 16", run.run_id):
        assert part in card
    assert "not made yet" not in card
    assert "What it is not for" in card

    assert write_verdicts(root.run_id) == 0
    MlflowClient().set_tag(root.run_id, "assay.verdict", "not safe")
    assert write_verdicts(root.run_id) == 1
    assert "NOT SAFE" in (downloaded(address) / "README.md").read_text(encoding="utf-8")
