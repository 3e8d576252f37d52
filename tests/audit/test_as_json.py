"""The findings as JSON: strict, complete, and without limits that are not promised."""

import dataclasses
import json

import numpy as np
import pytest

from project.audit.as_json import as_json
from project.audit.examine import examine, n_steps
from project.audit.findings import Question
from project.audit.verdict import CANNOT_TELL
from tests.helpers.audits import NearestMean, audit_of

N = 400
LABELS = ("cat", "dog", "eel")
RANDOM = np.random.default_rng(0)
POINTS = RANDOM.uniform(-1, 1, (N, 2))
GOLD = np.digitize(POINTS[:, 0], [-0.3, 0.4])
LLM = np.where(RANDOM.random(N) < 0.1, (GOLD + 1) % 3, GOLD)
IDS = [f"id{number}" for number in range(N)]
QUESTION = Question(
    label_set=LABELS,
    tolerance=0.02,
    at_least=0.7,
    by={"year": [str(2000 + number % 3) for number in range(N)]},
    texts=["x" * (1 + number % 50) for number in range(N)],
    n_next=20,
    seed=0,
)


def result_of(sample, llm=LLM, **more):
    steps: list[int] = []
    classifier = NearestMean(POINTS, 3)
    findings = examine(sample, llm, QUESTION, classifier=classifier, progress=steps.append, **more)
    assert sum(steps) == len(classifier.calls) <= n_steps(sample, len(more.get("by_rater", ())))
    result = as_json(findings, LABELS, IDS)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    return result


def limits(value):
    """Every interval in a JSON value, by its path."""
    if isinstance(value, dict):
        if "low" in value:
            return [value]
        return [item for part in value.values() for item in limits(part)]
    if isinstance(value, list):
        return [item for part in value for item in limits(part)]
    return []


@pytest.fixture(scope="module")
def result():
    return result_of(audit_of(GOLD, 200))


def test_a_whole_audit_has_every_number(result):
    sample = audit_of(GOLD, 200)

    assert (result["n_pool"], result["n_audit"], result["intervals"]) == (N, 200, True)
    counts = np.bincount(sample.gold).tolist()
    assert result["n_audit_by_class"] == dict(zip(LABELS, counts, strict=True))
    accuracy = (LLM[sample.indices] == sample.gold).mean()
    assert result["llm"]["accuracy"]["estimate"] == pytest.approx(accuracy)
    for name in ("llm", "classifier", "gold_trained", "loss"):
        for metric in ("accuracy", "macro_f1"):
            value = result[name][metric]
            assert value["low"] <= value["estimate"] <= value["high"]
    gold_trained = result["gold_trained"]["macro_f1"]["estimate"]
    loss = gold_trained - result["classifier"]["macro_f1"]["estimate"]
    assert result["loss"]["macro_f1"]["estimate"] == pytest.approx(loss)
    assert 0 < result["agreement"]["alpha"]["estimate"] < 1
    assert 0 < result["agreement"]["unchanged"]["estimate"] < 1
    assert result["llm"]["good_enough"] == "yes"


def test_every_cell_of_the_transition_is_named(result):
    cells = result["llm"]["transition"]

    assert [(cell["gold"], cell["given"]) for cell in cells[:4]] == [
        ("cat", "cat"),
        ("cat", "dog"),
        ("cat", "eel"),
        ("cat", None),
    ]
    assert len(cells) == 12
    assert sum(cell["estimate"] for cell in cells[:4]) == pytest.approx(1)


def test_shares_and_errors_are_told_apart_by_the_users_columns(result):
    assert list(result["shares"]) == list(LABELS)
    assert [part["value"] for part in result["shares_by"]] == ["2000", "2001", "2002"]
    assert sum(part["n_pool"] for part in result["shares_by"]) == N
    assert {test["column"] for test in result["errors_by"]} == {
        "class by the LLM",
        "length",
        "year",
    }


def test_texts_to_label_next_are_named_by_id(result):
    audited = {IDS[index] for index in audit_of(GOLD, 200).indices}
    named = [entry["example_id"] for entry in result["next"]["texts"]]

    assert len(named) == 20
    assert not set(named) & audited
    assert result["next"]["expected_wrong"] > result["next"]["expected_wrong_random"]


def test_an_unknown_design_promises_no_limit():
    result = result_of(audit_of(GOLD, 200, design="unknown"))

    assert result["verdict"] == CANNOT_TELL
    assert result["needs"]["more_audited"] > 0
    assert result["llm"]["accuracy"]["estimate"] > 0.8
    assert result["llm"]["good_enough"] == CANNOT_TELL
    without_agreement = {key: value for key, value in result.items() if key != "agreement"}
    found = limits(without_agreement)
    assert len(found) > 20
    assert {(item["low"], item["high"]) for item in found} == {(None, None)}


def test_no_audited_text_leaves_what_needs_none():
    result = result_of(audit_of(GOLD, 0, n_classes=3))

    assert (result["verdict"], result["n_audit"]) == (CANNOT_TELL, 0)
    assert result["llm"]["accuracy"]["estimate"] is None
    assert result["errors_overlap"] is None
    assert result["errors_by"] == []
    assert result["shares"]["cat"]["llm"]["estimate"] == pytest.approx((LLM == 0).mean())
    assert result["agreement"]["alpha"]["estimate"] is not None
    assert len(result["next"]["texts"]) == 20


def test_a_rare_class_hides_macro_f1s_limits_and_whether_it_is_enough():
    rare = np.where((GOLD == 2) & (np.arange(N) % 8 > 0), 1, GOLD)
    result = result_of(audit_of(rare, 100, n_classes=3))

    assert result["n_audit_by_class"]["eel"] < 10
    assert "'eel'" in result["needs"]["reason"]
    assert result["llm"]["macro_f1"]["low"] is None
    assert result["llm"]["accuracy"]["low"] is not None
    assert result["llm"]["good_enough"] == CANNOT_TELL
    assert result["classifier"]["good_enough"] == CANNOT_TELL
    assert result["loss"]["macro_f1"]["estimate"] is None


def test_texts_without_a_label_have_a_column_of_their_own():
    silent = np.where(np.arange(N) % 5 == 0, -1, LLM)
    result = result_of(audit_of(GOLD, 200), llm=silent)

    none = [cell for cell in result["llm"]["transition"] if cell["given"] is None]
    assert all(cell["estimate"] > 0 for cell in none)
    by_class = next(test for test in result["errors_by"] if test["column"] == "class by the LLM")
    assert next(item for item in by_class["values"] if item["value"] == "no label")["estimate"] == (
        pytest.approx(1)
    )
    assert all(entry["disagreement"] <= 1 for entry in result["next"]["texts"])


def test_the_verdict_with_the_labels_of_one_person_alone_stands_beside_the_joint_one():
    sample = audit_of(GOLD, 200)
    careless = dataclasses.replace(sample, gold=LLM[sample.indices])
    result = result_of(sample, by_rater={"anna": sample, "ben": careless})

    assert result["by_rater"]["anna"]["verdict"] == result["verdict"]
    assert result["by_rater"]["anna"]["loss"] == result["loss"]["macro_f1"]
    ben = result["by_rater"]["ben"]["loss"]["estimate"]
    assert ben < result["loss"]["macro_f1"]["estimate"]


def test_the_same_audit_gives_the_same_result(result):
    assert result_of(audit_of(GOLD, 200)) == result
