"""Audits that fine-tune an encoder."""

import pandas as pd
import pytest

from entrypoints.wiring import audit_encoder
from project.audit import fine_tuned
from project.data.card import CARDS
from project.tracking import children, read_json
from tests.helpers.audit_runs import ANSWERS, N, catalogue, run

# One worker: the first run embeds texts for all tests.
pytestmark = pytest.mark.xdist_group("audit")


@pytest.fixture
def encoder_of(tiny_encoder):
    """Parameters of an audit that fine-tunes a tiny encoder for a few steps."""
    return {
        "encoder": str(tiny_encoder),
        "seeds": "2",
        "epochs": "1",
        "min_steps": "6",
        "train_batch_size": "64",
        "max_length": "16",
        "workers": "1",
    }


def test_an_audit_of_an_encoder_names_it_logs_every_training_and_shows_what_is_true(
    first, store, workspace, no_model, encoder_of, tiny_encoder
):
    table = pd.read_csv(CARDS / "catalogue.csv", dtype=str).set_index("text")["label"]
    complete = catalogue().assign(human=lambda rows: table[rows["text"]].to_numpy())
    complete.to_csv(store / "complete.csv", index=False)
    changes = {"data": str(store / "complete.csv"), "simulate": "130", **encoder_of}
    lines, root = run(first[0], workspace, **{**ANSWERS, **changes})
    result = read_json(root.run_id, "audit.json")
    name = f"fine-tuned {tiny_encoder.name}"
    trainings = children(root, "audit training")

    assert result["classifier_name"] == name
    assert result["loss"]["macro_f1"]["low"] < result["loss"]["macro_f1"]["high"]
    assert (result["agreement"]["classifier"], result["agreement"]["n_texts"]) == (name, 130)
    assert f"a {name} has a macro-F1 about" in " ".join(" ".join(lines).split())
    truth = result["truth"]
    assert truth["loss"]["macro_f1"] == pytest.approx(
        truth["gold_trained"]["macro_f1"] - truth["classifier"]["macro_f1"]
    )
    assert len(trainings) == fine_tuned.n_trainings(2) + 2 * fine_tuned.FOLDS
    by_llm = [run for run in trainings if run.params["trained_on"] == "the LLM's labels"]
    assert [run.params["n_train"] for run in by_llm[:2]] == [str(N - 130)] * 2
    assert {run.params["epochs"] for run in by_llm} == {"2"}

    _, again = run(first[0], workspace, **{**ANSWERS, **changes})
    assert read_json(again.run_id, "audit.json") == result


def test_where_nothing_can_be_said_no_encoder_is_trained(
    first, store, workspace, no_model, encoder_of, monkeypatch
):
    monkeypatch.setattr(
        audit_encoder, "run_jobs", lambda *args, **kwargs: pytest.fail("an encoder is trained")
    )
    _, root = run(first[0], workspace, **ANSWERS, **encoder_of)
    result = read_json(root.run_id, "audit.json")

    assert result["verdict"] == "cannot tell"
    assert result["classifier_name"] == "logistic regression on sentence embeddings"
    assert any("was trained" in note for note in result["notes"])
