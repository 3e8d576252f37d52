"""Label sources that make the LLM's labels anew, from recorded answers to the report."""

import numpy as np
import pandas as pd
import pytest

from entrypoints import budget, main
from project.support.errors import AssayError
from project.tracking import LABELS_NOTE, children, latest_root, read_table

CARD = """\
name: moods
source: {file: moods.csv}
columns: {text: text, label: mood}
description: In which mood is the writer?
labels: [bad, fine, good]
split: {demonstration: 3, train: 120, validation: 15, test: 60}
"""
WORDS = ("awful broken", "dull late", "great lovely")
LABELS = ("bad", "fine", "good")
ARMS = ("posterior", "certified", "threshold", "forward", "evidence", "jury", "jury_soft")


@pytest.fixture
def given(params, store):
    """A function that returns the parameters of an experiment on labels of three LLMs."""
    random = np.random.default_rng(0)
    mood = random.integers(0, 3, 210)
    table = pd.DataFrame(
        {
            "text": [f"{WORDS[code]} parcel number {row}" for row, code in enumerate(mood)],
            "mood": np.array(LABELS)[mood],
        }
    )
    for llm in ("a", "b", "c"):
        # An LLM that says "fine" too often, and others that err elsewhere.
        chosen = np.where(random.random(210) < 0.3, 1, mood)
        probability = np.full((210, 3), 0.2)
        probability[np.arange(210), chosen] = 0.6
        for code, label in enumerate(LABELS):
            table[f"{llm}.{label}"] = probability[:, code]
    table.to_csv(store / "moods.csv", index=False)
    (store / "moods.yaml").write_text(CARD)

    def make(name="main", **changes):
        return {
            **params(
                name,
                task=str(store / "moods.yaml"),
                annotator="recorded",
                annotator_model="auto",
                recorded=str(store / "moods.csv"),
                recorded_columns="a,b,c",
                encoder="linear",
                seeds="2",
            ),
            "max_train": "auto",
            "max_validation": "auto",
            "max_test": "auto",
            "ensemble_size": "3",
            "learning_rate": "auto",
            "workers": "auto",
            **changes,
        }

    return make


def test_every_such_source_is_trained_and_says_what_became_of_the_labels(given, capsys):
    arms = ",".join(("llm", *ARMS))
    main.experiment(given(arms=arms, replace_share="25", certified_error="0.2"))
    output = capsys.readouterr()
    seeds = {run.params["arm"]: run for run in children(latest_root("experiment"), "seed")}

    assert {*seeds} == {"llm", *(f"{kind}_25" for kind in ARMS[:5]), "jury_3", "jury_soft_3"}
    assert "LLM labels are certified, of which at most 20 % are wrong" in output.err
    assert "forward_25: its loss knows the confusions of 30 audited labels" in output.err
    assert "evidence_25: its loss takes the LLM's label" in output.err
    assert "labels change to meet the audited shares" in output.err
    assert {run.metrics["human_labels"] for arm, run in seeds.items() if "_25" in arm} == {30.0}
    for arm in ("llm", "jury_3"):
        assert seeds[arm].metrics["human_labels"] == 0
    notes = {arm: run.tags.get(LABELS_NOTE, "") for arm, run in seeds.items()}
    assert "are certified, of which at most 20 % are wrong" in notes["certified_25"]
    assert notes["llm"] == ""
    labels = read_table(seeds["posterior_25"].run_id, "labels.parquet")
    soft = labels[labels["source"] == "llm"]
    assert np.allclose(soft[[f"probability.{name}" for name in LABELS]].sum(axis=1), 1)
    assert soft["reason"].str.startswith("posterior by").all()
    forward = read_table(seeds["forward_25"].run_id, "labels.parquet")
    assert (forward["likelihood.fine"].isna() == (forward["source"] == "gold")).all()


def test_a_budget_leaves_out_audits_that_are_too_small_to_certify(given, capsys):
    budget.budget(given("budget", arms="posterior,certified,evidence", replace_share="10,25"))

    said = capsys.readouterr().err
    assert "certified_10 is left out: its audit needs 19 labels, and the budget is 12" in said
    assert "posterior_10 is left out: its audit needs 20 labels, and the budget is 12" in said
    assert "evidence_10 is left out: its audit needs 20 labels, and the budget is 12" in said
    arms = {run.params["arm"] for run in children(latest_root("budget"), "seed")}
    assert arms == {"gold", "llm", "posterior_25", "certified_25", "evidence_25"}


def test_labels_without_probabilities_cannot_be_cut_anew(given, store):
    names = pd.read_csv(store / "moods.csv")
    names.assign(only=names["mood"]).to_csv(store / "moods.csv", index=False)
    with pytest.raises(AssayError, match="threshold"):
        main.experiment(
            given(arms="threshold", recorded_columns="only", replace_share="25", ensemble_size="1")
        )


def test_one_llm_is_no_jury(given):
    with pytest.raises(AssayError, match="must be at least 2 for the arm jury"):
        main.experiment(given(arms="llm,jury", recorded_columns="a", ensemble_size="1"))


@pytest.mark.parametrize("kind", ["forward", "evidence"])
def test_targets_of_another_kind_are_refused_before_anything_is_annotated(given, kind, capsys):
    with pytest.raises(AssayError, match="label_smoothing must be 0.0 with the arms forward"):
        main.experiment(given(arms=f"llm,{kind}", replace_share="25", label_smoothing="0.1"))
    assert "annotate" not in capsys.readouterr().err


def test_coteach_is_trained_in_pairs_and_says_which_share_it_leaves_out(
    given, tiny_encoder, capsys
):
    main.experiment(
        given(
            arms="llm,coteach",
            encoder=str(tiny_encoder),
            epochs="1",
            evaluations="1",
            coteach_noise="25",
            max_train="48",
            max_test="12",
        )
    )

    said = "coteach: its networks leave out 25 % of the labels, as coteach_noise says"
    assert said in capsys.readouterr().err
    seeds = children(latest_root("experiment"), "seed")
    digests = {run.tags["assay.digest"] for run in seeds}
    assert len(digests) == 4
    noise = {run.params["arm"]: run.params.get("coteach_noise") for run in seeds}
    assert noise == {"llm": None, "coteach": "25.0"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "encoder must be one that is fine-tuned with the arm coteach"),
        (
            {"encoder": "bundled", "batching": "stacked"},
            "batching must not be stacked with the arm coteach",
        ),
    ],
)
def test_coteach_is_refused_where_two_networks_cannot_be_trained(given, changes, message):
    with pytest.raises(AssayError, match=message):
        main.experiment(given(arms="llm,coteach", **changes))
