"""The entry point audit, from a file with few human labels to its verdict in the store."""

import contextlib
import io
import json
from pathlib import Path

import pandas as pd
import pytest

from entrypoints import hits
from project.config import logged_names
from project.data.card import CARDS
from project.support.errors import AssayError
from project.tracking import read_json
from tests.helpers.audit_runs import ANSWERS, LABELLED, RANDOM_AUDIT, N, catalogue, run

# One worker: the first run embeds texts for all tests.
pytestmark = pytest.mark.xdist_group("audit")


def limits(value):
    """Every interval in a JSON value."""
    if isinstance(value, dict):
        if "low" in value:
            return [value]
        return [item for part in value.values() for item in limits(part)]
    return [item for part in value for item in limits(part)] if isinstance(value, list) else []


def test_the_last_line_is_the_path_of_the_file_with_every_number(first):
    _, lines, _, result = first

    assert json.loads(Path(lines[-1]).read_text(encoding="utf-8")) == result
    assert any(line.startswith(f"{result['verdict'].upper()}. ") for line in lines)


def test_the_result_counts_the_pool_and_the_audit(first):
    _, _, _, result = first
    table = catalogue()

    assert (result["n_pool"], result["n_audit"]) == (N, LABELLED)
    counts = table["human"][table["human"] != ""].value_counts().to_dict()
    assert result["n_audit_by_class"] == counts
    assert result["label_set"] == sorted(counts)
    right = (table["human"] == table["llm"])[table["human"] != ""].mean()
    assert result["llm"]["accuracy"]["estimate"] == pytest.approx(right)
    for label in counts:
        share = (table["llm"] == label).mean()
        assert result["shares"][label]["llm"]["estimate"] == pytest.approx(share)


def test_every_score_has_limits(first):
    _, _, _, result = first

    assert result["verdict"] in ("safe", "not safe", "cannot tell")
    for name in ("llm", "classifier", "gold_trained", "loss"):
        for metric in ("accuracy", "macro_f1"):
            interval = result[name][metric]
            assert interval["low"] < interval["estimate"] < interval["high"]
    assert result["classifier"]["macro_f1"]["estimate"] > 0.4
    assert result["llm"]["good_enough"] == "yes"
    assert 0 < result["agreement"]["alpha"]["estimate"] < 1
    assert (result["needs"]["reason"] == "") == (result["verdict"] != "cannot tell")


def test_shares_and_errors_are_told_apart_by_year(first):
    _, _, _, result = first
    table = catalogue()

    parts = {part["value"]: part["n_pool"] for part in result["shares_by"]}
    assert parts == table["year"].replace("", "(empty)").value_counts().to_dict()
    by_year = next(test for test in result["errors_by"] if test["column"] == "year")
    wrong = (table["human"] != table["llm"])[(table["human"] != "") & (table["year"] == "2001")]
    rates = {item["value"]: item["estimate"] for item in by_year["values"]}
    assert rates["2001"] == pytest.approx(wrong.mean())


def test_texts_to_label_next_have_no_human_label_yet(first):
    _, _, _, result = first
    table = catalogue().set_index("text")

    texts = result["next"]["texts"]
    assert len(texts) == 10
    for entry in texts:
        assert table.loc[entry["text"], "human"] == ""
        assert table.loc[entry["text"], "llm"] == entry["llm"]


def test_numbers_and_verdict_stand_in_the_store_under_names_that_are_explained(first):
    _, lines, root, result = first

    assert root.tags["assay.kind"] == "audit"
    assert "audit" in {entry.name for entry in logged_names.KINDS}
    assert root.tags["assay.verdict"] == result["verdict"]
    metrics = {name: value for name, value in root.metrics.items() if name.startswith("audit.")}
    assert metrics["audit.n"] == LABELLED
    assert metrics["audit.loss.macro_f1"] == result["loss"]["macro_f1"]["estimate"]
    assert metrics.keys() <= {entry.name for entry in logged_names.OTHER_METRICS}
    assert "audit.json" in {entry.name for entry in logged_names.ARTIFACTS}
    assert root.tags["assay.verdict_reason"].split()[0] in " ".join(lines)


def test_a_second_run_embeds_nothing_again_and_gives_the_same_numbers(
    first, store, workspace, no_model
):
    folder, _, _, before = first
    lines, _ = run(folder, workspace, **RANDOM_AUDIT, by="year", at_least="70")

    assert json.loads(Path(lines[-1]).read_text(encoding="utf-8")) == before


def test_an_unknown_design_gives_no_limits_and_cannot_tell(first, store, workspace, no_model):
    lines, root = run(first[0], workspace, **ANSWERS, at_least="10")
    result = read_json(root.run_id, "audit.json")

    assert result["verdict"] == root.tags["assay.verdict"] == "cannot tell"
    assert result["llm"]["good_enough"] == "cannot tell"
    assert result["needs"]["more_audited"] == 250
    assert "audit_design=random" in " ".join(lines)
    parts = {key: value for key, value in result.items() if key != "agreement"}
    assert {(item["low"], item["high"]) for item in limits(parts)} == {(None, None)}
    estimate = first[3]["llm"]["accuracy"]["estimate"]
    assert result["llm"]["accuracy"]["estimate"] == estimate


def test_without_human_labels_the_agreement_is_told_and_texts_are_named(
    first, store, workspace, no_model
):
    changes = {"human_column": "", "labels": ",".join(first[3]["label_set"])}
    _, root = run(first[0], workspace, **{**RANDOM_AUDIT, **changes})
    result = read_json(root.run_id, "audit.json")

    assert (result["verdict"], result["n_audit"]) == ("cannot tell", 0)
    assert result["needs"]["more_audited"] == 250
    assert result["agreement"] == first[3]["agreement"]
    assert len(result["next"]["texts"]) == 10


def test_many_unusable_labels_are_named_and_give_no_verdict(first, store, workspace, no_model):
    table = catalogue()
    table.loc[table["llm"] == "books", "llm"] = "Buch"
    table.to_csv(store / "typing.csv", index=False)
    lines, root = run(first[0], workspace, **{**RANDOM_AUDIT, "data": str(store / "typing.csv")})
    result = read_json(root.run_id, "audit.json")
    n_wrong = int((table["llm"] == "Buch").sum())

    assert (result["n_unanswered"], result["unusable"]) == (n_wrong, {"Buch": n_wrong})
    assert result["verdict"] == "cannot tell"
    assert "have no usable label of the LLM" in result["needs"]["reason"]
    assert f"Most frequent: Buch ({n_wrong})." in " ".join(" ".join(lines).split())


def test_a_private_audit_leaves_no_text_in_the_store(first, store, workspace, no_model):
    _, root = run(first[0], workspace, **RANDOM_AUDIT, private="true")
    result = read_json(root.run_id, "audit.json")

    assert "text" not in result["next"]["texts"][0]
    assert result["loss"] == first[3]["loss"]
    texts = catalogue()["text"]
    pieces = {text[:20].encode() for text in texts}
    stored = [store / "mlflow.db", *(path for path in (store / "mlruns").rglob("*"))]
    files = [path for path in stored if path.is_file()]
    assert len(files) > 5
    found = [path for path in files if any(piece in path.read_bytes() for piece in pieces)]
    assert found == []
    tables = [pd.read_parquet(path) for path in files if path.suffix == ".parquet"]
    cells = {str(cell) for table in tables for column in table for cell in table[column]}
    assert tables
    assert not cells & set(texts)


def test_a_simulated_audit_shows_what_is_true(first, store, workspace, no_model):
    table = pd.read_csv(CARDS / "catalogue.csv", dtype=str).set_index("text")["label"]
    complete = catalogue().assign(human=lambda rows: table[rows["text"]].to_numpy())
    complete.to_csv(store / "complete.csv", index=False)
    changes = {"data": str(store / "complete.csv"), "simulate": "150"}
    lines, root = run(first[0], workspace, **{**ANSWERS, **changes})
    result = read_json(root.run_id, "audit.json")

    assert (result["n_audit"], result["audit_design"]) == (150, "random")
    truth = result["truth"]
    assert truth["llm"]["accuracy"] == pytest.approx((complete["human"] == complete["llm"]).mean())
    assert truth["loss"]["macro_f1"] == pytest.approx(
        truth["gold_trained"]["macro_f1"] - truth["classifier"]["macro_f1"]
    )
    interval = result["llm"]["accuracy"]
    assert interval["low"] <= truth["llm"]["accuracy"] <= interval["high"]
    assert any("true macro-F1" in line for line in lines)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        hits.hits({"workspace": str(workspace)})
    assert "150 to 349" in output.getvalue()
    assert (workspace / "reports" / "hits" / "tables" / "hits_estimates.csv").is_file()


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"human_column": "humn"}, "human_column"),
        ({"by": "year,yaer"}, "by"),
        ({"group": "documnt"}, "group"),
        ({"inclusion_column": "pp"}, "inclusion_column"),
        ({"text_column": "txt"}, "text_column"),
        ({"recorded_columns": "gpt"}, "recorded_columns"),
        ({"data": "nowhere.csv"}, "data"),
        ({"data": ""}, "data"),
        ({"human": "nobody.csv"}, ""),
        ({"labels": "books,household"}, "human must hold one of"),
        ({"inclusion_column": "year"}, "inclusion_column must give a probability"),
        ({"audit_design": "sampled"}, "audit_design must be"),
        ({"recorded_columns": "year"}, ""),
    ],
)
def test_a_mistake_is_named_in_one_line(first, store, workspace, no_model, changes, start):
    with pytest.raises(AssayError) as refused:
        run(first[0], workspace, **{**RANDOM_AUDIT, **changes})

    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith(start)
    assert len(message) < 500


@pytest.mark.parametrize("name", ["audit_scores.png", "audit_shares.png"])
def test_the_report_has_pictures(first, name):
    (folder,) = (first[0] / "work" / "reports").iterdir()

    assert (folder / "figures" / name).read_bytes()[:4] == b"\x89PNG"
