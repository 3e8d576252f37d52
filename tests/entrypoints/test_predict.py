"""A corpus is labelled by a logged classifier as its run predicts, and a stop loses no block."""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from entrypoints import finetune, predict
from entrypoints.wiring.predict_choice import pick_threshold
from project.config.experiment import experiment_config
from project.config.loading import defaults
from project.config.predict import PredictConfig
from project.data.task import load_task
from project.support.errors import AssayError
from project.tracking import children, latest_root, read_json, read_table
from project.training.classifier import Classifiers


@pytest.fixture
def trained(params):
    """The test texts of a finished fine-tuning whose two seeds are logged, and its task."""
    values = params(
        "finetune", precision="fp32", log_model="all", learning_rate="0.01", max_length="16"
    )
    finetune.finetune(values)
    task = load_task(
        experiment_config({**values, "annotator": "none", "annotator_model": "none"}).task
    )
    test = task.split("test")[["text"]].assign(kept=range(len(task.split("test"))))
    test.loc[len(test)] = [None, -1]
    test.to_parquet("corpus.parquet")
    return test, task


def label(**changes):
    values = {"data": "corpus.parquet", "output": "out.parquet", "precision": "fp32"}
    predict.predict({**defaults("predict"), **values, **changes})
    return pd.read_parquet(changes.get("output", "out.parquet"))


def own_probabilities(run, task):
    table = read_table(run.run_id, "predictions.parquet").set_index("example_id")
    columns = [f"log_probability.{name}" for name in task.label_set]
    return np.exp(table.loc[task.split("test")["example_id"], columns].to_numpy())


def test_a_corpus_is_labelled_as_the_runs_of_the_seeds_predict(trained, capsys):
    test, task = trained
    seeds = children(latest_root(), "seed")
    by_seed = [own_probabilities(run, task) for run in seeds]
    columns = [f"probability.{name}" for name in task.label_set]

    table = label(block_size="7", seeds="all")

    mean = np.mean(by_seed, axis=0)
    np.testing.assert_allclose(table[columns].to_numpy()[:-1], mean, atol=2e-6)
    assert list(table["label"][:-1]) == [task.label_set[code] for code in mean.argmax(axis=1)]
    agreement = np.mean([each.argmax(axis=1) == mean.argmax(axis=1) for each in by_seed], axis=0)
    np.testing.assert_allclose(table["agreement"][:-1], agreement)
    assert list(table["kept"]) == list(test["kept"])
    assert list(table["abstained"]) == [False] * (len(test) - 1) + [True]
    assert table["label"].isna().sum() == 1
    printed = capsys.readouterr().err
    assert "the mean of 2 seeds (0, 1)" in printed
    assert "1 of 25 rows have no text" in printed

    best = max(
        seeds, key=lambda run: (run.metrics["best_validation_macro_f1"], -int(run.params["seed"]))
    )
    one = label(output="one.parquet", threshold="0.4", register_model="sorter", prefix="p_")
    own = own_probabilities(best, task)
    np.testing.assert_allclose(
        one[[f"p_{column}" for column in columns]].to_numpy()[:-1], own, atol=2e-6
    )
    assert set(one["p_run_id"]) == {best.run_id}
    assert list(one["p_abstained"][:-1]) == list(own.max(axis=1) < np.float32(0.4))
    printed = capsys.readouterr().err
    assert f"seed {best.params['seed']}, the logged one with the best macro-F1" in printed
    assert "registered as models:/sorter/1" in printed
    served = mlflow.pyfunc.load_model("models:/sorter/1").predict(test[["text"]][:-1])
    np.testing.assert_allclose(served[columns], own, atol=2e-6)

    job = latest_root("predict")
    run = MlflowClient().get_run(job.run_id)
    assert job.metrics["texts"] == 24
    assert job.metrics["rows_without_text"] == 1
    assert job.metrics["abstained_share"] == pytest.approx((own.max(axis=1) < 0.4).mean())
    assert run.inputs
    assert [data.dataset.name for data in run.inputs.dataset_inputs] == ["corpus.parquet"]
    assert read_json(job.run_id, "summary.json")["n_rows"] == 25


def test_a_stop_keeps_the_blocks_that_are_done_and_other_parameters_are_refused(
    trained, monkeypatch, capsys
):
    real = Classifiers.classify
    calls = []

    def stopping(self, texts):
        calls.append(len(texts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, texts)

    monkeypatch.setattr(Classifiers, "classify", stopping)
    with pytest.raises(KeyboardInterrupt):
        label(block_size="7")
    assert not Path("out.parquet").exists()
    assert calls == [7, 7, 7]
    job = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'predict'")[0]
    assert job.info.status == "KILLED"
    with pytest.raises(AssayError, match="begun by another job: block_size, prefix differ"):
        label(block_size="8", prefix="x_")

    table = label(block_size="7", threshold="0.3")

    assert calls == [7, 7, 7, 7, 3]
    assert "2 blocks are done already" in capsys.readouterr().err
    monkeypatch.setattr(Classifiers, "classify", real)
    pd.testing.assert_frame_equal(
        table, label(output="again.parquet", block_size="7", threshold="0.3")
    )
    monkeypatch.setattr(Classifiers, "classify", None)
    n_runs = len(all_runs())
    label(block_size="7", threshold="0.3")  # the same command: nothing is left to do
    printed = capsys.readouterr().err
    assert "out.parquet holds these labels already (run " in printed
    assert len(all_runs()) == n_runs
    with pytest.raises(AssayError, match="must be a new file"):
        label(block_size="7")  # another threshold
    table.iloc[:-1].to_parquet("out.parquet")
    with pytest.raises(AssayError, match="must be a new file"):
        label(block_size="7", threshold="0.3")  # the file was changed


def test_a_precision_that_cannot_be_promised_is_refused_before_anything_is_computed(
    trained, monkeypatch, capsys
):
    monkeypatch.setattr(Classifiers, "classify", None)
    with pytest.raises(AssayError, match=r"min_precision=99 cannot be promised.*At most min_pre"):
        label(min_precision="99")
    with pytest.raises(AssayError, match="arm must be one with a logged classifier: gold; got"):
        label(arm="llm")
    with pytest.raises(AssayError, match="text_column must be one of kept, text; got 'body'"):
        label(text_column="body")
    MlflowClient().set_tag(latest_root().run_id, "assay.private", "true")
    with pytest.raises(AssayError, match="private must be true"):
        label()
    with pytest.raises(AssayError, match=r"output must name the file.*output=labels.parquet"):
        label(output="")
    with pytest.raises(AssayError, match="data must name the texts to label"):
        label(data="")
    assert not Path("out.parquet").exists()
    assert "predict" not in {run.data.tags["assay.kind"] for run in all_runs()}

    predict.predict({**defaults("predict"), "data": "corpus.parquet", "dry_run": "true"} | PRIVATE)
    assert "a dry run labels nothing" in capsys.readouterr().err


PRIVATE = {"private": "true"}


def all_runs():
    return MlflowClient().search_runs(["1"])


def test_a_run_without_logged_classifiers_is_refused_with_the_way_out(params):
    finetune.finetune(params("finetune", seeds="1"))

    with pytest.raises(AssayError, match="logged no classifier. Run it again with .*log_model="):
        label()


def test_a_promise_is_made_for_every_arm_that_the_test_texts_compared():
    from types import SimpleNamespace

    from analysis.questions.chosen_arm import ChosenArm
    from entrypoints.wiring.predict_choice import Choice

    rng = np.random.default_rng(0)
    gold = rng.integers(0, 2, 400)
    right = rng.random(400) < 0.97
    top = np.where(right, 0.9, 0.7)
    code = np.where(right, gold, 1 - gold)
    probabilities = np.where(np.arange(2) == code[:, None], top[:, None], 1 - top[:, None])
    experiment: Any = SimpleNamespace(
        arms={"llm": SimpleNamespace(log_probabilities=np.log(probabilities)[None])},
        gold=gold,
        label_set=("a", "b"),
    )

    def threshold(n_looks):
        choice = Choice(experiment, ChosenArm("llm", "", n_looks), [], [], [0])
        config = PredictConfig(data="d", output="o.parquet", min_precision=95)
        return pick_threshold(config, choice)

    one = threshold(1)
    assert "at least 95 % of the given labels are right" in one.sentence
    assert 0 < one.value <= 0.9
    many = threshold(5)
    assert "and 5 arms" in many.sentence
    assert many.candidates[-1].lower < one.candidates[-1].lower
    assert json.dumps([candidate._asdict() for candidate in many.candidates])
