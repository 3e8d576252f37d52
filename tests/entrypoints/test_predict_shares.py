"""Human labels of a sample of a corpus correct the class shares that a classifier gives it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mlflow.tracking import MlflowClient

from entrypoints import finetune, predict
from entrypoints.wiring import predict_run
from entrypoints.wiring.predict_shares import CorpusAudit, corrected_shares
from project.audit.sample import AuditSample
from project.config.experiment import experiment_config
from project.config.loading import defaults
from project.data.card import CARDS
from project.data.labelled_blocks import Columns
from project.data.task import load_task
from project.stats.survey import Design, corrected_share
from project.support.errors import AssayError
from project.tracking import latest_root, read_json
from project.training.classifier import Classifiers

N_KNOWN = 12


@pytest.fixture
def corpus(params):
    """A corpus of 200 new texts and 12 that the classifier was trained on, of two years.

    ``answers.csv`` has human labels of 60 of the new texts, and of 4 known ones.
    """
    values = params(
        "finetune", precision="fp32", log_model="all", learning_rate="0.01", max_length="16"
    )
    finetune.finetune(values)
    task = load_task(
        experiment_config({**values, "annotator": "none", "annotator_model": "none"}).task
    )
    used = set(task.examples["text"])
    catalogue = pd.read_csv(CARDS / "catalogue.csv")
    new = catalogue[~catalogue["text"].isin(used)].drop_duplicates("text").head(200)
    known = task.split("train").head(N_KNOWN).rename(columns={"gold_label": "label"})
    table = pd.concat([known, new])[["text", "label"]].reset_index(drop=True)
    table["year"] = np.where(np.arange(len(table)) < 180, 2025, 2026)
    table.loc[[20, 21], "year"] = 1999
    table[["text", "year"]].to_parquet("corpus.parquet")
    chosen = np.random.default_rng(0).permutation(np.arange(N_KNOWN, len(table)))[:60]
    rows = table.loc[[0, 1, 2, 3, *chosen]]
    rows[["text", "label"]].to_csv("answers.csv", index=False)
    return table, np.sort(chosen), task.label_set


def label(**changes):
    values = {"data": "corpus.parquet", "output": "out.parquet", "precision": "fp32"}
    predict.predict({**defaults("predict"), **values, **changes})


def test_shares_are_corrected_by_the_texts_that_the_classifier_does_not_know(
    corpus, capsys, monkeypatch
):
    table, chosen, label_set = corpus
    given = {"human": "answers.csv", "audit_design": "random", "by": "year"}
    label(**given)

    printed = capsys.readouterr().err
    predicted = pd.read_parquet("out.parquet")["label"].to_numpy()[N_KNOWN:]
    gold = table["label"].to_numpy()[chosen]
    design = Design(np.ones(60), None, 60 / 200)
    run = latest_root("predict")
    result = read_json(run.run_id, "corrected_shares.json")
    for name in label_set:
        expected = corrected_share(
            (gold == name).astype(float),
            (predicted[chosen - N_KNOWN] == name).astype(float),
            float((predicted == name).mean()),
            design,
        )
        found = result["all"][name]["corrected"]
        assert list(found.values()) == pytest.approx(list(expected))
        assert result["all"][name]["predicted"] == pytest.approx((predicted == name).mean())
    assert (result["texts"], result["labelled"]) == (200, 60)
    books = result["all"]["books"]["corrected"]["estimate"]
    assert run.metrics["corrected_share.books"] == pytest.approx(books)
    assert f"{N_KNOWN} of 212 texts are training or validation texts" in printed
    assert [part["value"] for part in result["parts"]] == ["1999", "2025", "2026"]
    few = result["parts"][0]["classes"]["books"]["corrected"]
    assert few == {"estimate": None, "low": None, "high": None}
    assert re.search(r"year = 1999 +\d of 2 +books +[\d.]+ +too few", printed)
    wide = result["parts"][1]["classes"]["books"]["corrected"]
    assert (
        wide["high"] - wide["low"]
        > result["all"]["books"]["corrected"]["high"] - (result["all"]["books"]["corrected"]["low"])
    )
    note = MlflowClient().get_run(run.run_id).data.tags["mlflow.note.content"]
    assert "Corrected class shares" in note

    # Labels that come later correct an output that exists; nothing is predicted again.
    monkeypatch.setattr(Classifiers, "classify", None)
    later = pd.read_csv("answers.csv").head(44)
    later.to_csv("answers.csv", index=False)
    label(**given)
    assert "holds these labels already" in capsys.readouterr().err
    assert read_json(run.run_id, "corrected_shares.json")["labelled"] == 40
    assert latest_root("predict").run_id == run.run_id

    # Too few labels leave no figure of earlier ones behind.
    later.head(8).to_csv("answers.csv", index=False)
    label(**given)
    metrics = latest_root("predict").metrics
    assert metrics["texts_labelled_by_people"] == 4
    assert np.isnan([metrics["corrected_share.books"], metrics["corrected_share_low.books"]]).all()


def test_an_output_without_labels_gets_its_table_when_they_come(corpus, capsys):
    label()
    label(human="answers.csv", audit_design="random")

    note = latest_root("predict").tags["mlflow.note.content"]
    assert "classifier's errors; those in the table are." in note
    assert note.count("```") == 2
    assert note.count("Corrected class shares") == 1
    assert "of no text of this task" not in capsys.readouterr().err


def test_a_call_that_was_killed_before_its_run_ended_goes_on(corpus, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(predict_run, "_log", None)
        with pytest.raises(TypeError):
            label()
    first = pd.read_parquet("out.parquet")

    monkeypatch.setattr(Classifiers, "classify", None)
    label()

    pd.testing.assert_frame_equal(pd.read_parquet("out.parquet"), first)
    assert latest_root("predict").status == "FINISHED"
    assert not Path("out.parquet.parts").exists()


def test_whole_numbers_of_the_column_by_are_one_part_whatever_their_type(corpus):
    table = corpus[0]
    rows = table[["text", "year"]]
    Path("folder").mkdir()
    rows.head(100).to_csv("folder/a.csv", index=False)
    rows.tail(112).astype({"year": float}).to_parquet("folder/b.parquet")

    label(data="folder", human="answers.csv", audit_design="random", by="year")

    parts = read_json(latest_root("predict").run_id, "corrected_shares.json")["parts"]
    assert [part["value"] for part in parts] == ["1999", "2025", "2026"]


def test_labels_are_matched_with_the_texts_that_count():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 2, 90)
    counts = rng.random(90) < 0.8
    gold = np.where(rng.random(90) < 0.8, codes, 1 - codes)[counts]
    indices = np.sort(rng.permutation(counts.sum())[:40])
    sample = AuditSample(indices, gold[indices], np.full(40, 40 / counts.sum()), counts.sum(), 2)
    labels = [("a", "b")[code] for code in codes]
    rows = [*labels[:50], None, "", *labels[50:]]  # two rows without a text
    tables = [pa.table({"p_label": rows[start : start + 31]}) for start in range(0, 92, 31)]
    columns = Columns(("a", "b"), "p_", has_agreement=False)
    audit = CorpusAudit(sample, counts, [], "", [])

    found = corrected_shares(audit, iter(tables), columns)

    proxy = codes[counts]
    expected = corrected_share(
        (gold[indices] == 1).astype(float),
        (proxy[indices] == 1).astype(float),
        float((proxy == 1).mean()),
        sample.design,
    )
    assert found.overall[1].corrected == pytest.approx(expected)
    assert found.overall[1].llm == (proxy == 1).mean()
    assert (found.n_texts, found.n_labelled) == (counts.sum(), 40)


def test_labels_that_cannot_correct_shares_are_refused_before_anything_is_computed(
    corpus, monkeypatch
):
    monkeypatch.setattr(Classifiers, "classify", None)
    pd.read_csv("answers.csv").head(4).to_csv("known.csv", index=False)
    pd.DataFrame({"text": ["x"], "label": ["books"]}).to_csv("others.csv", index=False)
    pd.DataFrame({"text": [corpus[0]["text"][50]], "label": ["cars"]}).to_csv("wrong.csv")
    random = {"audit_design": "random"}
    for changes, words in (
        ({"human": "answers.csv"}, "audit_design must be random or the path of"),
        ({"by": "year"}, "by needs human"),
        (random, "audit_design needs human"),
        ({"human": "answers.csv", "by": "place", **random}, "by must be one of text, year"),
        ({"human": "answers.csv", "id_column": "id", **random}, "id_column must be one of"),
        ({"human": "known.csv", **random}, "all 4 labelled texts are training or validation"),
        ({"human": "others.csv", **random}, "none of its ids is among hashes of the texts"),
        ({"human": "wrong.csv", **random}, "labels must be among"),
        ({"human": "gone.csv", **random}, "gone.csv"),
    ):
        with pytest.raises(AssayError, match=re.escape(words)):
            label(**changes)
    assert "predict" not in {
        run.data.tags["assay.kind"] for run in MlflowClient().search_runs(["1"])
    }
