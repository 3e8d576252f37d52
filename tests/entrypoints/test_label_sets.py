"""Texts with several labels: every label is an experiment, and a page puts them together."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, jaccard_score

from analysis.questions.suite_report import publish
from analysis.questions.suite_scored import read_scored
from analysis.questions.suite_sets import _Sets, _verdict, sets_section
from entrypoints.annotate import annotate
from entrypoints.ask import ask
from entrypoints.audit import audit
from entrypoints.finetune import finetune
from entrypoints.main import experiment
from entrypoints.suite import suite
from entrypoints.wiring import suite_processes
from entrypoints.wiring.external_labels import labels_condition
from project.annotation.engines.recorded import RecordedAnnotator
from project.config.annotation import RecordedConfig
from project.config.finetune import FinetuneConfig
from project.config.loading import defaults
from project.config.task import TaskConfig
from project.data.task import load_task
from project.stats.bootstrap import NO_INTERVAL, Interval
from project.support.errors import AssayError
from project.tracking import latest_root, read_run
from tests.helpers import forked, topics

pytestmark = pytest.mark.xdist_group("label-sets")
LABELS = ("billing", "delivery")
CARD = """
name: letters
description: What is the letter about?
source: {file: letters.csv}
columns: {text: text, label: topics}
labels: [billing, delivery]
label_type: multi
split: {demonstration: 4, train: 40, validation: 12, test: 40}
"""


def write_letters(folder):
    """A card and 96 letters; the LLM leaves out delivery where a letter has both labels."""
    sets = ["billing", "delivery", "billing;delivery", "[]"]
    cells = [sets[number % 4] for number in range(96)]
    table = pd.DataFrame(
        {
            "text": [f"letter {n} about {cell}" for n, cell in enumerate(cells)],
            "topics": cells,
            "llm": [cell.split(";")[0] for cell in cells],
        }
    )
    table.to_csv(folder / "letters.csv", index=False)
    (folder / "letters.yaml").write_text(CARD)


@pytest.fixture
def finished(params, store, once, monkeypatch):
    """A finished suite of both labels: logistic regressions on gold and on the LLM's labels."""

    def make():
        write_letters(store)
        forked.forkserver()
        monkeypatch.setattr(suite_processes, "Popen", forked.Popen)
        suite(
            {
                **defaults("suite"),
                "tasks": str(store / "letters.yaml"),
                "annotator": "recorded",
                "recorded": str(store / "letters.csv"),
                "recorded_columns": "llm",
                "arms": "gold,llm",
                "encoder": "linear",
                "seeds": "2",
                "workspace": str(store / "work"),
            }
        )

    once(make)
    return store


def test_every_label_is_an_experiment_with_a_verdict(finished):
    scored = read_scored()

    assert [entry.judged.name for entry in scored.entries] == [
        "letters billing",
        "letters delivery",
    ]
    assert all(entry.judged.decision.word for entry in scored.entries)
    assert len({entry.data for entry in scored.entries}) == 1  # the same texts


def test_the_scores_of_the_sets_are_those_of_scikit_learn(finished):
    scored = read_scored()
    section = sets_section(scored)
    assert section is not None
    table = section.tables[0].frame.set_index("source")
    test = pd.read_csv(finished / "letters.csv").set_index("text")
    texts = scored.entries[0].judged.scored.experiment.split("test")["text"]
    gold, llm = (
        np.array([[label in cell for label in LABELS] for cell in test.loc[texts, name]])
        for name in ("topics", "llm")
    )
    itself = table.loc["the LLM itself"]

    assert itself["macro_f1"] == pytest.approx(f1_score(gold, llm, average="macro"))
    assert itself["micro_f1"] == pytest.approx(f1_score(gold, llm, average="micro"))
    assert itself["jaccard"] == pytest.approx(
        jaccard_score(gold, llm, average="samples", zero_division=1)
    )
    assert itself["exact"] == pytest.approx((gold == llm).all(axis=1).mean())
    # Two trainings say little of others: Student's t with one or two degrees of freedom.
    assert table.loc["llm", "loss_jaccard_low"] < 0 < table.loc["llm", "loss_jaccard"]
    assert table.loc["llm", "verdict"] == "cannot tell"
    assert table.loc["gold", "verdict"] == ""


def test_the_page_has_the_sets_and_says_what_they_lose(finished, capsys):
    publish("", "pages")
    shown = capsys.readouterr().out
    page = next((finished / "pages").rglob("report.html")).read_text()

    assert "What do the labels of a text cost together?" in page
    assert "cannot tell. The sets of 2 labels lose" in " ".join(shown.split())


def test_the_verdict_on_sets_follows_the_limits_and_needs_two_trainings():
    gold = np.ones((60, 2), dtype=bool)
    trainings = np.ones((2, 60, 2), dtype=bool)
    sources = {"gold": trainings, "llm": trainings, "one": trainings[:1]}
    sets = _Sets("letters", "GPT", LABELS, (), gold, sources, gold[:, 0], tolerance=2.0)

    assert _verdict(Interval(0.01, -0.01, 0.02), sets, "llm") == "safe"
    assert _verdict(Interval(0.05, 0.021, 0.08), sets, "llm") == "not safe"
    assert _verdict(Interval(0.01, -0.01, 0.021), sets, "llm") == "cannot tell"
    assert _verdict(Interval(0.01, -0.01, 0.01), sets, "one") == "cannot tell"
    assert _verdict(NO_INTERVAL, sets, "gold") == ""


def test_people_can_be_asked_about_one_label(finished, params):
    shared = {"task": "letters.yaml", "data": "letters.csv", "workspace": "asked"}
    ask({**defaults("ask"), **shared, "label": "delivery", "design": "audit", "n": "10"})
    (sheet,) = (finished / "asked").rglob("questions.csv")

    assert len(pd.read_csv(sheet)) == 10
    assert "delivery" in (sheet.parent / "label.html").read_text()


def test_people_are_asked_about_all_labels_at_once_and_judge_each(finished, capsys):
    shared = {
        "task": "letters.yaml",
        "data": "letters.csv",
        "annotator": "recorded",
        "recorded": "letters.csv",
        "recorded_columns": "llm",
        "workspace": "together",
    }
    ask({**defaults("ask"), **shared, "design": "audit", "n": "60"})
    (sheet,) = (finished / "together").rglob("questions.csv")
    asked = pd.read_csv(sheet)
    assert asked["allowed_labels"].iloc[0] == "billing | delivery"
    shown = " ".join(capsys.readouterr().err.split())
    assert "';' stands between the labels of a text, and none says that no label fits" in shown
    assert 'choice="multiple"' in (sheet.parent / "label_studio.xml").read_text()
    gold = pd.read_csv("letters.csv").set_index("text")["topics"]
    sets = asked["text"].map(gold).replace("[]", "none")
    asked.assign(label=sets).to_csv("people.csv", index=False)
    design = {"human": "people.csv", "audit_design": str(sheet.parent / "sampling.parquet")}

    right = {}
    for label in LABELS:
        audit({**defaults("audit"), **shared, **design, "label": label})
        metrics = read_run(latest_root("audit").run_id).metrics
        right[label] = metrics["audit.llm.accuracy"]

    assert right["billing"] == pytest.approx(1)
    assert right["delivery"] == pytest.approx(0.75, abs=0.12)  # a quarter lacks it


@pytest.mark.parametrize("needs", [{"show_llm": "true"}, {"stratify": "label"}, {"to": "mlflow"}])
def test_what_needs_the_question_of_one_label_is_refused(store, needs):
    write_letters(store)
    given = {"task": "letters.yaml", "data": "letters.csv", "design": "audit", "n": "10"}

    with pytest.raises(AssayError, match="label must name one label of letters"):
        ask({**defaults("ask"), **given, **needs})


def test_a_suite_takes_no_label_for_all_its_tasks(store):
    write_letters(store)
    given = {"tasks": str(store / "letters.yaml"), "label": "billing"}

    with pytest.raises(AssayError, match="label must be empty in a suite; got 'billing'"):
        suite({**defaults("suite"), **given})


def test_an_experiment_on_all_labels_at_once_is_refused_with_the_way_out(finished):
    with pytest.raises(AssayError, match="judge all of them with the entry point suite"):
        experiment({**defaults("main"), "task": "letters.yaml", "workspace": "work"})


def test_the_suite_knows_its_labels_from_the_store(finished):
    facts = read_scored(latest_root("suite").run_id).entries[1].judged.scored.experiment.config

    assert facts["task"]["one_label"] == {
        "task": "letters",
        "label": "delivery",
        "labels": list(LABELS),
    }


def write_topics(folder):
    """A card of the topics and 60 letters about one, two or none of them."""
    card = CARD.replace("[billing, delivery]", "[Billing, Delivery, Account]")
    words = ["invoice", "invoice and the parcel", "password", "weather", "courier"]
    sets = ["Billing", "Billing;Delivery", "Account", "none", "Delivery"]
    table = pd.DataFrame(
        {
            "text": [f"letter {n} about the {words[n % 5]}" for n in range(60)],
            "topics": [sets[n % 5] for n in range(60)],
        }
    )
    table.to_csv(folder / "letters.csv", index=False)
    (folder / "letters.yaml").write_text(card)


def test_an_llm_names_all_labels_of_a_text_in_one_reply(store, capsys):
    topics.register()
    write_topics(store)
    given = {"task": "letters.yaml", "annotator": "topics", "splits": "train,test"}
    annotate({**defaults("annotate"), **given, "workspace": "work"})
    root = read_run(latest_root("annotation set").run_id)
    (path,) = (store / "work").rglob("sets.parquet")
    sets = pd.read_parquet(path).set_index("text")["llm"]
    shown = capsys.readouterr().err

    assert root.metrics["sets.exact"] == 1
    assert root.metrics["missing"] == 0
    assert set(sets) == {
        '["Billing"]',
        '["Billing", "Delivery"]',
        '["Account"]',
        "[]",
        '["Delivery"]',
    }
    assert "-e suite -P tasks=letters.yaml -P annotator=recorded -P recorded=work/sets" in shown
    n_written = topics.COUNTS["written"]
    annotate({**defaults("annotate"), **given, "workspace": "work"})
    assert topics.COUNTS["written"] == n_written  # nothing is paid for twice


def test_the_sets_of_an_llm_are_read_for_each_label(store):
    topics.register()
    write_topics(store)
    given = {"task": "letters.yaml", "annotator": "topics", "splits": "train,test"}
    annotate({**defaults("annotate"), **given, "workspace": "work"})
    (path,) = (store / "work").rglob("sets.parquet")
    task = load_task(TaskConfig(task="letters.yaml", label="Delivery"))
    annotator = RecordedAnnotator(RecordedConfig(recorded=str(path), recorded_columns="llm"), task)
    test = task.split("test")
    keys = test[annotator.keyed_by].tolist()
    answers = annotator.read(annotator.prompts(1)[0], keys)

    assert [task.label_set[code] for code in answers.label] == test["gold_label"].tolist()


def test_the_set_at_once_has_no_dry_run(store):
    topics.register()
    write_topics(store)

    with pytest.raises(AssayError, match="label must name one label with dry_run"):
        annotate(
            {
                **defaults("annotate"),
                "task": "letters.yaml",
                "annotator": "topics",
                "dry_run": "true",
            }
        )


def test_a_label_that_no_text_has_and_a_reply_of_other_names_are_counted(
    store, capsys, monkeypatch
):
    topics.register()
    write_topics(store)
    card = (store / "letters.yaml").read_text().replace("Account]", "Account, App]")
    (store / "letters.yaml").write_text(card)
    reply = topics._reply
    monkeypatch.setattr(
        topics, "_reply", lambda request: reply(request).replace("Account", "Something else")
    )
    given = {"task": "letters.yaml", "annotator": "topics", "splits": "train,test"}
    annotate({**defaults("annotate"), **given, "workspace": "work"})
    metrics = read_run(latest_root("annotation set").run_id).metrics
    shown = capsys.readouterr().err

    # A fifth of the letters is about an account: there no label is known to be right.
    assert metrics["sets.exact"] == pytest.approx(0.8, abs=0.05)
    assert metrics["missing"] > 0
    assert "Without App: gold has them everywhere or nowhere." in shown


def own_labels(folder, **changes):
    """A file with the sets of the training letters, some of them changed by the number of a row."""
    task = load_task(TaskConfig(task=str(folder / "letters.yaml"), label="delivery"))
    train = task.split("train")
    sets = pd.read_csv(folder / "letters.csv").set_index("text")["topics"]
    table = pd.DataFrame({"example_id": train["example_id"], "label": train["text"].map(sets)})
    for row, cell in changes.items():
        table.loc[int(row.removeprefix("row_")), "label"] = cell
    table.to_csv(folder / "own.csv", index=False)
    return task, train["gold_label"].tolist()


def test_labels_of_ones_own_may_be_sets_or_answers(store):
    write_letters(store)
    task, gold = own_labels(store, row_0="yes", row_1="no", row_2="none")
    condition = labels_condition("own.csv", task, FinetuneConfig())

    assert condition.labels["label"].tolist() == ["yes", "no", "no", *gold[3:]]


def test_fine_tuning_on_sets_of_ones_own_trains_or_names_what_is_wrong(store):
    write_letters(store)
    own_labels(store)
    given = {
        **defaults("finetune"),
        "task": "letters.yaml",
        "label": "delivery",
        "labels": "own.csv",
        "encoder": "linear",
        "seeds": "1",
        "workspace": "work",
    }
    finetune(given)
    assert read_run(latest_root().run_id).metrics

    own_labels(store, row_3="billing;parcels")
    with pytest.raises(AssayError, match=r"1 cells name 'parcels'\. Map it to a label"):
        finetune(given)
