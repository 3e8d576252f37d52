"""The entry point audit, from a file with few human labels to its verdict in the store."""

import contextlib
import io
import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from entrypoints import ask, audit, hits
from entrypoints.wiring import audit_encoder
from entrypoints.wiring.audit_labels import audit_sample, gather, people_result
from project.audit import fine_tuned
from project.config import logged_names
from project.config.audit import AuditConfig, PoolConfig
from project.config.loading import defaults
from project.config.task import TaskConfig
from project.data.card import CARDS
from project.data.pool import load_pool
from project.data.tables import codes
from project.support.errors import AssayError
from project.tracking import children, latest_root, read_json
from project.training import embeddings

# One worker: the first run embeds texts for all tests.
pytestmark = pytest.mark.xdist_group("audit")
N = 260
LABELLED = 120
ANSWERS = {"human_column": "human", "recorded_columns": "llm"}
RANDOM_AUDIT = {**ANSWERS, "audit_design": "random"}


def catalogue():
    """The shortest texts of the bundled catalogue, few with a human label, all with an LLM's."""
    table = pd.read_csv(CARDS / "catalogue.csv", dtype=str)
    table = table.loc[table["text"].str.len().argsort(kind="stable")[:N]].reset_index(drop=True)
    random = np.random.default_rng(0)
    labels = sorted(table["label"].unique())
    wrong = random.random(N) < 0.15
    other = [labels[index] for index in random.integers(0, len(labels), N)]
    labelled = random.permutation(N) < LABELLED
    return pd.DataFrame(
        {
            "text": table["text"],
            "human": table["label"].where(labelled, ""),
            "llm": table["label"].where(~wrong, other),
            "year": [str(2000 + number % 3) if number % 7 else "" for number in range(N)],
        }
    )


def run(folder, workspace, **changes):
    """Run the entry point; the lines that it prints and the root run."""
    file = folder / "codes.csv"
    if not file.exists():
        catalogue().to_csv(file, index=False)
    given = {"data": str(file), "workspace": str(workspace), "n_next": "10", **changes}
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        audit.audit({**defaults("audit"), **given})
    return output.getvalue().splitlines(), latest_root("audit")


@contextlib.contextmanager
def new_store(migrated_store, folder):
    """A store of its own in ``folder`` for fixtures that live longer than a test."""
    shutil.copy(migrated_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.setenv("ASSAY_CACHE", str(folder / "cache"))
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        yield
        mlflow.set_tracking_uri("")


@pytest.fixture(scope="module")
def first(tmp_path_factory, migrated_store):
    """A run by year: its folder, its printed lines, the root run and its ``audit.json``."""
    folder = tmp_path_factory.mktemp("audit")
    with new_store(migrated_store, folder):
        lines, root = run(folder, folder / "work", **RANDOM_AUDIT, by="year", at_least="70")
        return folder, lines, root, read_json(root.run_id, "audit.json")


@pytest.fixture
def workspace(first, tmp_path):
    """A workspace in which the texts are embedded already; loading a model again is an error."""
    shutil.copytree(first[0] / "work" / "embeddings", tmp_path / "work" / "embeddings")
    return tmp_path / "work"


@pytest.fixture
def no_model(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(embeddings, "load_pretrained", fail)


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


def sample_of(folder, table, **settings):
    """The audit in a table, as the entry point reads it."""
    table.to_csv(folder / "codes.csv", index=False)
    pool = load_pool(
        TaskConfig(task="", data=str(folder / "codes.csv")), PoolConfig(human_column="human")
    )
    sample = audit_sample(pool, AuditConfig(audit_design="random", **settings))
    return sample, pool.columns.iloc[sample.indices]


def test_texts_of_a_document_are_one_group_and_a_text_without_a_document_is_alone(tmp_path):
    table = catalogue()
    table["document"] = [str(row // 10) if row % 5 else "" for row in range(N)]
    sample, columns = sample_of(tmp_path, table, group="document")

    has_document = columns["document"].notna().to_numpy()
    assert len(set(sample.groups[has_document])) == columns["document"].nunique()
    for _, rows in pd.Series(sample.groups).groupby(columns["document"].to_numpy()):
        assert rows.nunique() == 1
    alone = sample.groups[~has_document]
    assert len(set(alone)) == len(alone) > 5
    assert not set(alone) & set(sample.groups[has_document])
    assert sample_of(tmp_path, table)[0].groups is None


def test_inclusion_probabilities_stay_beside_their_texts(tmp_path):
    table = catalogue()
    table["p"] = [str(0.1 + number / 1000) for number in range(N)]
    sample, columns = sample_of(tmp_path, table, inclusion_column="p")
    by_text = dict(zip(table["text"], table["p"].astype(float), strict=True))

    assert sample.inclusion_probability.tolist() == [by_text[text] for text in columns["text"]]
    # Nobody draws a text without a label: its cell may be empty.
    table.loc[table["human"] == "", "p"] = ""
    assert sample_of(tmp_path, table, inclusion_column="p")[0].n == LABELLED


def test_a_random_design_gives_every_text_the_same_probability(tmp_path):
    sample, _ = sample_of(tmp_path, catalogue())

    assert set(sample.inclusion_probability) == {LABELLED / N}


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
    assert (workspace / "reports" / "hits" / "hits_estimates.csv").is_file()


def test_a_plan_says_how_many_texts_to_label_before_anybody_has(first, store, workspace, no_model):
    changes = {"human_column": "", "labels": ",".join(first[3]["label_set"])}
    changes |= {"plan": "true", "tolerance": "30", "price_label": "0.5"}
    output = io.StringIO()
    given = {"data": str(first[0] / "codes.csv"), "workspace": str(workspace), **ANSWERS, **changes}
    with contextlib.redirect_stdout(output):
        audit.audit({**defaults("audit"), **given})
    result = read_json(latest_root("audit plan").run_id, "audit.json")

    assert [row["size"] for row in result["rows"]] == [50, 100, 150, 250]
    assert [row["price"] for row in result["rows"]] == [25, 50, 75, 125]
    for name in ("llm_accuracy", "loss_macro_f1", "classifier_macro_f1"):
        widths = [row[name] for row in result["rows"]]
        assert widths == sorted(widths, reverse=True)
    decided = [row["decided"] for row in result["rows"]]
    assert decided == sorted(decided)
    assert f"{max(result['enough'], result['enough_of_rarest'])} audited texts" in output.getvalue()


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

    assert (len(one), len(two), len(one & two)) == (40, 40, 20)
    assert (folder / "label_2.html").is_file()
    assert (folder / "label_studio_2.json").is_file()
    assert (sampling["asked_by"] == "1,2").sum() == 20
    assert (sampling["asked_by"] == "").sum() == N - 60


def test_labels_of_texts_that_were_not_drawn_are_no_part_of_the_audit(
    first, store, workspace, no_model, capsys
):
    folder, _, _, before = first
    ids = ids_of_catalogue(first)
    sampling = pd.DataFrame({"example_id": ids, "inclusion_probability": 0.4})
    labelled = catalogue()["human"] != ""
    drawn = np.zeros(N, dtype=bool)
    drawn[np.flatnonzero(labelled)[:100]] = True
    sampling["asked"] = drawn
    sampling.to_parquet(store / "sampling.parquet")
    changes = {**ANSWERS, "audit_design": str(store / "sampling.parquet")}
    _, root = run(folder, workspace, **changes)

    assert before["n_audit"] == LABELLED
    assert read_json(root.run_id, "audit.json")["n_audit"] == 100
    assert (
        f"note: {LABELLED - 100} texts have a human label but were not" in capsys.readouterr().err
    )


def test_people_who_label_a_demonstration_do_not_shift_the_llm_s_labels(store):
    """A text that prompts show is judged, but has no label of the LLM in the pool."""
    table = pd.DataFrame(
        {"text": [f"text {n}" for n in range(100)], "human": ["a", "b"] * 25 + [""] * 50}
    )
    table.to_csv(store / "codes.csv", index=False)
    config = TaskConfig(task="", data=str(store / "codes.csv"))
    known = PoolConfig(human_column="human")
    pool = load_pool(config, known, n_demonstrations=3)
    judged = pool.task.examples.dropna(subset=["gold_label"])
    for name in ("ann", "bob", "cat"):
        file = judged[["example_id"]].assign(label=judged["gold_label"])
        file.to_csv(store / f"{name}.csv", index=False)
    files = ",".join(str(store / f"{name}.csv") for name in ("ann", "bob", "cat"))
    pool, judgements, notes = gather(pool, PoolConfig(), AuditConfig(human=files))
    llm = codes(pool.examples["gold_label"], pool.task.label_set)
    people = people_result(pool, judgements, llm, with_texts=True)

    assert people is not None
    assert notes == []
    assert people["settle"] == []
    assert people["agreement"]["n_common"] == 40  # ten of the 50 are demonstrations
    assert people["agreement"]["alternative_annotator_test"]["advantage_probability"] == 1.0


def ids_of_catalogue(first):
    """The ids of the texts of the first run, in the order of ``catalogue``."""
    pool = load_pool(
        TaskConfig(task="", data=str(first[0] / "codes.csv")), PoolConfig(human_column="human")
    )
    by_text = pool.examples.set_index("text")["example_id"]
    return list(by_text[catalogue()["text"]])


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


@pytest.mark.parametrize("name", ["audit_scores.png", "audit_shares.png"])
def test_the_report_has_pictures(first, name):
    (folder,) = (first[0] / "work" / "reports").iterdir()

    assert (folder / name).read_bytes()[:4] == b"\x89PNG"
