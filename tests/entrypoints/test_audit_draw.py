"""The texts of an audit, drawn for people to label, and the audit of their labels."""

import numpy as np
import pandas as pd
import pytest

from entrypoints import ask
from project.config.loading import defaults
from project.data.card import CARDS
from project.tracking import read_json
from tests.helpers.audit_runs import N, catalogue, run

# One worker: the first run embeds texts for all tests.
pytestmark = pytest.mark.xdist_group("audit")


def test_a_drawn_audit_is_labelled_by_several_people_and_judged_by_its_probabilities(
    first, store, workspace, no_model
):
    labels = ",".join(first[3]["label_set"])
    given = {"data": str(first[0] / "codes.csv"), "workspace": str(workspace), "labels": labels}
    drawing = {"annotator": "recorded", "recorded_columns": "llm", "stratify": "label"}
    ask.ask({**defaults("ask"), **given, **drawing, "design": "audit", "n": "120"})
    (folder,) = (workspace / "questions").iterdir()
    questions = pd.read_csv(folder / "questions.csv", dtype=str)
    truth = pd.read_csv(CARDS / "catalogue.csv", dtype=str).set_index("text")["label"]
    answers = questions.assign(label=truth[questions["text"]].to_numpy())
    for name, share in (("ann", 0.0), ("bob", 0.1), ("cat", 0.2)):
        random = np.random.default_rng(len(name + str(share)))
        wrong = random.random(len(answers)) < share
        other = answers["label"].where(~wrong, labels.split(",")[0])
        answers.assign(label=other).to_csv(store / f"{name}.csv", index=False)
    files = ",".join(str(store / f"{name}.csv") for name in ("ann", "bob", "cat"))
    changes = {"human_column": "", "labels": labels, "human": files}
    changes["audit_design"] = str(folder / "sampling.parquet")
    _, root = run(first[0], workspace, recorded_columns="llm", **changes)
    result = read_json(root.run_id, "audit.json")

    sampling = pd.read_parquet(folder / "sampling.parquet")
    assert sampling["asked"].sum() == len(questions) == 120
    assert sampling["inclusion_probability"].sum() == pytest.approx(120)
    assert sampling["inclusion_probability"].nunique() > 1
    of_stratum = sampling.groupby("stratum")
    assert (of_stratum["asked"].mean() == of_stratum["inclusion_probability"].first()).all()
    assert len(of_stratum) == len(result["label_set"])
    assert (folder / "label.html").is_file()
    people = result["people"]["agreement"]
    assert people["raters"] == ["ann", "bob", "cat"]
    assert people["n_common"] == 120
    assert result["by_rater"].keys() == {"ann", "bob", "cat"}
    votes = pd.concat(
        [pd.read_csv(store / f"{name}.csv", dtype=str) for name in ("ann", "bob", "cat")]
    )
    by_text = votes.groupby("example_id")["label"]
    majority = by_text.agg(lambda column: column.value_counts().index[0])
    settled = by_text.agg(lambda column: column.value_counts().max()) > 1
    llm = catalogue().set_index("text")["llm"][questions["text"]].to_numpy()
    right = pd.Series(llm, index=questions["example_id"]) == majority[questions["example_id"]]
    weights = 1 / sampling.set_index("example_id")["inclusion_probability"][right.index]
    kept = settled[right.index]
    expected = np.average(right[kept], weights=weights[kept])
    assert result["llm"]["accuracy"]["estimate"] == pytest.approx(expected)
    test = people["alternative_annotator_test"]
    assert test["passes"] == (test["winning_rate"] >= 0.5)


def test_two_people_get_files_of_their_own_with_texts_in_common(first, store, workspace):
    given = {"data": str(first[0] / "codes.csv"), "workspace": str(workspace), "labels": "a,b"}
    people = {"design": "audit", "n": "60", "raters": "2", "overlap": "20"}
    ask.ask({**defaults("ask"), **given, **people})
    (folder,) = (workspace / "questions").iterdir()
    one, two = (set(pd.read_csv(folder / f"questions_{n}.csv", dtype=str)["text"]) for n in (1, 2))
    sampling = pd.read_parquet(folder / "sampling.parquet")

    assert set(sampling["stratum"]) == {0}
    assert (len(one), len(two), len(one & two)) == (40, 40, 20)
    assert (folder / "label_2.html").is_file()
    assert (folder / "label_studio_2.json").is_file()
    assert (sampling["asked_by"] == "1,2").sum() == 20
    assert (sampling["asked_by"] == "").sum() == N - 60
