"""Questions for a human, as CSV and for Label Studio, and the labels that come back."""

import dataclasses
import json
import xml.etree.ElementTree as ET

import pandas as pd
import pytest

from entrypoints import ask, budget, main, sweep
from project.data.card import CARDS
from project.labels.human import (
    answer_rows,
    label_studio_interface,
    label_studio_tasks,
    questions,
    read_human_labels,
)
from project.support.errors import AssayError
from project.tracking import children, latest_root, read_table

ENV = "--env-manager local"
EXAMPLES = pd.DataFrame({"example_id": list("stuvwxyz"), "text": "a text"})


def answers_of(small_task, tmp_path, rows):
    file = tmp_path / "answers.csv"
    pd.DataFrame(rows, columns=["example_id", "label"]).to_csv(file, index=False)
    return read_human_labels(file, small_task)


def test_human_labels_are_read_by_id_and_unusable_rows_are_listed(small_task, tmp_path):
    one, two, three, four = small_task.split("train")["example_id"][:4]
    rows = [
        (one, "books"),
        (one, "BOOKS "),
        (two, "books"),
        (two, "household"),
        (three, ""),
        (four, "household"),
        ("nobody", "books"),
    ]

    answers = answers_of(small_task, tmp_path, rows)

    assert answers.labels.to_dict() == {one: "books", four: "household"}
    assert (answers.unanswered, answers.contradictory, answers.unknown) == (
        (three,),
        (two,),
        ("nobody",),
    )
    said = " ".join(answers.notes())
    assert f"1 rows are labelled in two ways and count as unanswered ({two})" in said
    assert "1 rows are no examples of this task and are left aside (nobody)" in said


def test_a_label_that_the_task_does_not_have_is_refused_with_its_example(small_task, tmp_path):
    one = small_task.split("train")["example_id"][0]

    with pytest.raises(
        AssayError,
        match=rf"labels must be among books, .*; 1 are not, the first is 'bokos' of example "
        rf"'{one}'",
    ):
        answers_of(small_task, tmp_path, [(one, "bokos")])


def test_a_label_of_the_questions_comes_before_what_the_data_write_instead_of_labels(
    small_task, tmp_path
):
    """Two labels that differ in case alone, and numbers that stand for other labels in the data."""
    labels = ("us", "US", "1", "2")
    card = small_task.card.model_copy(update={"values": {"1": "2", "3": "us"}})
    task = dataclasses.replace(small_task, label_set=labels, card=card)
    ids = task.split("train")["example_id"][:5]
    written = ["us", "US", "1", "2", "3"]

    answers = answers_of(task, tmp_path, list(zip(ids, written, strict=True)))

    assert list(answers.labels) == ["us", "US", "1", "2", "us"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "id,label\n1,books\n",
            "must have the columns example_id and label; missing: example_id",
        ),
        ("a.json", "{", r"no export of Label Studio .*Export it as JSON or JSON-MIN"),
        (
            "a.json",
            '[{"data": {"other": "t"}, "annotations": []}]',
            r"no export of Label Studio .*KeyError: 'example_id'",
        ),
    ],
)
def test_files_without_human_labels_are_refused(small_task, tmp_path, name, content, message):
    (tmp_path / name).write_text(content)

    with pytest.raises(AssayError, match=message):
        read_human_labels(tmp_path / name, small_task)
    with pytest.raises(AssayError, match=r"none.json does not exist"):
        read_human_labels(tmp_path / "none.json", small_task)


def test_questions_are_shuffled_and_show_the_llm_s_labels_only_on_request():
    said = EXAMPLES.assign(label=["a", "b", "a", None] * 2)[["example_id", "label"]]
    plain, shown = questions(EXAMPLES, None, 1), questions(EXAMPLES, said, 1)

    assert list(plain.columns) == ["example_id", "text", "label"]
    assert sorted(plain["example_id"]) == list("stuvwxyz")
    assert list(plain["example_id"]) != list("stuvwxyz")
    assert list(questions(EXAMPLES, None, 2)["example_id"]) != list(plain["example_id"])
    assert shown.set_index("example_id")["llm_label"].fillna("-").to_dict() == dict(
        zip("stuvwxyz", "aba-aba-", strict=True)
    )


def test_the_annotators_of_one_export_of_label_studio_are_told_apart(tmp_path):
    def annotation(label, person, **more):
        result = [{"value": {"choices": [label]}}] if label else []
        return {"result": result, "completed_by": person, **more}

    tasks = [
        {"data": {"example_id": "a"}, "annotations": [annotation("x", 1), annotation("y", 2)]},
        {
            "data": {"example_id": "b"},
            "annotations": [annotation("", {"id": 2, "email": "eve@x.org"}, was_cancelled=True)],
        },
    ]
    (tmp_path / "two.json").write_text(json.dumps(tasks))
    (tmp_path / "one.json").write_text(json.dumps([{**tasks[0], "annotations": []}]))
    short = [
        {"example_id": "a", "label": label, "annotator": n} for n, label in ((1, "x"), (2, "y"))
    ]
    (tmp_path / "short.json").write_text(json.dumps(short))

    table = answer_rows(tmp_path / "two.json")
    assert list(table["rater"]) == ["annotator 1", "annotator 2", "annotator eve@x.org"]
    assert list(table["label"]) == ["x", "y", None]
    assert "rater" not in answer_rows(tmp_path / "one.json")
    # A task that nobody labelled, or that was submitted with nothing chosen, changes no rater.
    for number, more in enumerate(([], [annotation("", 1)])):
        extra = {"data": {"example_id": "c"}, "annotations": more}
        (tmp_path / f"more{number}.json").write_text(json.dumps([*tasks, extra]))
        raters = answer_rows(tmp_path / f"more{number}.json")["rater"]
        assert list(raters)[:3] == list(table["rater"])
    assert list(answer_rows(tmp_path / "short.json")["rater"]) == ["annotator 1", "annotator 2"]


def test_exports_of_label_studio_are_read_back_as_the_labels_that_were_given(small_task, tmp_path):
    """Exports of Label Studio 1.x: JSON, with a skipped task, and JSON-MIN."""
    train = small_task.split("train").head(3)
    tasks = json.loads(
        label_studio_tasks(questions(train, train.assign(label=train["gold_label"]), 0), "some LLM")
    )
    assert tasks[0]["predictions"][0]["model_version"] == "some LLM"
    whole = [
        {
            **task,
            "id": number,
            "annotations": [
                {"was_cancelled": number == 2, "result": task["predictions"][0]["result"]}
            ],
        }
        for number, task in enumerate(tasks)
    ]
    short = [
        {"id": 1, "text": "t", "example_id": task["data"]["example_id"], "label": "books"}
        for task in tasks
    ]
    short[1].pop("label")
    for name, export in (("whole.json", whole), ("short.json", short)):
        (tmp_path / name).write_text(json.dumps(export))

    skipped = tasks[2]["data"]["example_id"]
    gold = dict(zip(train["example_id"], train["gold_label"], strict=True))
    answers = read_human_labels(tmp_path / "whole.json", small_task)
    assert answers.labels.to_dict() == {
        name: label for name, label in gold.items() if name != skipped
    }
    assert answers.unanswered == (skipped,)
    answers = read_human_labels(tmp_path / "short.json", small_task)
    assert set(answers.labels) == {"books"}
    assert answers.unanswered == (tasks[1]["data"]["example_id"],)


def test_the_interface_is_valid_xml_for_labels_with_special_characters():
    view = ET.fromstring(  # noqa: S314  (our own file)
        label_studio_interface(["clothing & accessories", '"quoted" <b>'], "A & B")
    )

    assert [choice.get("value") for choice in view.iter("Choice")] == [
        "clothing & accessories",
        '"quoted" <b>',
    ]


def test_questions_are_written_answered_and_trained_on_by_the_next_run(params, store, capsys):
    """First the audit, then the texts that it teaches to doubt, then the experiment."""
    asked = params("ask", arms="learned", replace_share="60", max_train="40", encoder="bundled")
    ask.ask(asked)

    root = latest_root("questions")
    (first,) = (store / "work").rglob("questions.csv")
    audit = pd.read_csv(first, dtype=str, keep_default_na=False)
    assert len(audit) == 20
    assert list(audit.columns) == ["example_id", "text", "label", "allowed_labels"]
    printed = capsys.readouterr().err
    assert "these 20 texts are the audit" in printed
    assert f"to ask for the other texts:\nmlflow run . {ENV} -e ask -P " in printed
    assert printed.count("-P human=FILE") == 1
    sampled = read_table(root.run_id, "questions/sampling.parquet")
    assert (sampled.loc[sampled["asked"], "inclusion_probability"] == 0.5).all()

    gold = read_table(root.run_id, "examples.parquet").set_index("example_id")["gold_label"]
    answered = audit.assign(label=gold[audit["example_id"]].to_numpy())
    answered.to_csv(store / "answers.csv", index=False)
    ask.ask({**asked, "human": str(store / "answers.csv")})
    printed = capsys.readouterr().err
    assert f"together with those known before, to train on them:\nmlflow run . {ENV} -P " in printed
    assert f"-P human={store / 'answers.csv'},FILE" in printed
    assert "-P arms=learned" in printed
    assert "-P replace_share=60" in printed
    second = next(path for path in (store / "work").rglob("questions.csv") if path != first)
    more = pd.read_csv(second, dtype=str, keep_default_na=False)
    assert len(more) == 4
    sampled = read_table(latest_root("questions").run_id, "questions/sampling.parquet")
    assert sampled.loc[sampled["asked"], "inclusion_probability"].isna().all()
    assert not set(more["example_id"]) & set(audit["example_id"])

    more.assign(label=gold[more["example_id"]].to_numpy()).to_csv(store / "more.csv", index=False)
    both = f"{store / 'answers.csv'},{store / 'more.csv'}"
    with pytest.raises(
        AssayError, match="nothing is left to ask: all 24 texts of learned_60 are labelled"
    ):
        ask.ask({**asked, "human": both})
    given = {"arms": "learned", "replace_share": "60", "max_train": "40", "seeds": "1"}
    main.experiment(params(**given, human=both))
    (run,) = children(latest_root(), "seed")
    labels = read_table(run.run_id, "labels.parquet")
    by_human = labels.loc[labels["source"] == "human", "example_id"]
    assert set(by_human) == {*audit["example_id"], *more["example_id"]}
    assert "answers are unused" not in capsys.readouterr().err

    # The second file alone: the audit has no answers, and this is said.
    main.experiment(params(**given, human=str(store / "more.csv")))
    (note,) = [line for line in capsys.readouterr().err.splitlines() if "note: human" in line]
    assert "of training texts that no label source asks about" in note
    assert "not in the files). " in note
    assert "Name the answers of all rounds together: human=FIRST,SECOND." in note


def test_a_note_counts_unused_answers_and_unanswered_questions_of_every_arm(params, store, capsys):
    given = {"replace_share": "50", "max_train": "40", "seeds": "1", "epochs": "1"}
    ask.ask(params("ask", **given, arms="random"))
    (path,) = (store / "work").rglob("questions.csv")
    asked = list(pd.read_csv(path, dtype=str)["example_id"])
    examples = read_table(latest_root("questions").run_id, "examples.parquet")
    test = list(examples.loc[examples["split"] == "test", "example_id"])
    gold = examples.set_index("example_id")["gold_label"]

    def train(ids, arms):
        gold[ids].rename("label").reset_index().to_csv(store / "answers.csv", index=False)
        capsys.readouterr()
        main.experiment(params(**given, arms=arms, human=str(store / "answers.csv")))
        return [line for line in capsys.readouterr().err.splitlines() if "note: human" in line]

    assert train(asked, "llm,random") == []
    assert train([*asked[:17], *test[:2]], "llm,random,human_only") == [
        "note: human: 2 of 19 answers are unused (2 of test texts); questions without an answer: "
        "random_50 3 of 20 (3 not in the files), human_only_50 3 of 20 (3 not in the files). These "
        "texts keep the LLM's label, or are left out where the arm does not read it."
    ]
    assert train([*asked, test[0]], "llm,random") == [
        "note: human: 1 of 21 answers are unused (1 of test texts)."
    ]


def test_questions_are_about_unlabelled_texts_whose_answers_are_trained_on(params, store, capsys):
    """The first 100 texts are held out or demonstrate; the other 200 have no gold label."""
    table = (
        pd.read_csv(CARDS / "catalogue.csv", dtype=str)
        .sample(300, random_state=0)
        .reset_index(drop=True)
    )
    labels = table["label"].where(table.index < 100)
    table.assign(label=labels).to_csv(store / "texts.csv", index=False)
    given = {
        "data": str(store / "texts.csv"),
        "unlabelled": "true",
        "max_train": "60",
        "replace_share": "50",
    }

    with pytest.raises(
        AssayError,
        match=r"gold, entropy_50 need human labels of training texts; 60 of these have no gold",
    ):
        main.experiment(params(**given, arms="gold,llm,entropy"))
    with pytest.raises(
        AssayError, match="rows have an empty text and 200 a null label.*set unlabelled=true"
    ):
        main.experiment(params(**{**given, "unlabelled": "false"}))
    ask.ask(params("ask", **given, arms="entropy"))
    (path,) = (store / "work").rglob("questions.csv")
    asked = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert len(asked) == 30
    truth = table.set_index("text")["label"]
    answered = asked[["example_id"]].assign(label=truth[asked["text"]].to_numpy())
    answered.to_csv(store / "answers.csv", index=False)

    main.experiment(
        params(**given, arms="llm,entropy,human_only", human=str(store / "answers.csv"), seeds="1")
    )

    root = latest_root()
    examples = read_table(root.run_id, "examples.parquet")
    train = examples["split"] == "train"
    assert examples.loc[train, "gold_label"].isna().all()
    assert examples.loc[~train, "gold_label"].notna().all()
    sources = {
        run.params["arm"]: read_table(run.run_id, "labels.parquet")["source"]
        for run in children(root, "seed")
    }
    assert (sources["entropy_50"] == "human").sum() == 30
    assert (sources["llm"] == "llm").sum() == 60
    annotated = {run.params["split"]: run for run in children(root, "annotation")}
    assert "accuracy" not in annotated["train"].metrics
    assert "accuracy" in annotated["test"].metrics

    more = {**given, "arms": "entropy", "human": str(store / "answers.csv"), "seeds": "1"}
    budget.budget(params("budget", **more))
    assert {run.params["arm"] for run in children(latest_root("budget"), "seed")} == {
        "llm",
        "entropy_50",
    }  # gold there is none
    test = examples.loc[examples["split"] == "test", ["example_id", "gold_label"]].head(1)
    with (store / "answers.csv").open("a") as file:
        test.to_csv(file, index=False, header=False)
    capsys.readouterr()
    sweep.sweep(
        params(
            "sweep",
            **{**more, "replace_share": "25,50"},
            trials="2",
            sweep_ensemble_size="2",
            sweep_seeds="1",
        )
    )
    assert "note: human: 1 of 31 answers are unused (1 of test texts" in capsys.readouterr().err
    tested = [
        run for run in children(latest_root("sweep"), "seed") if run.params["evaluated"] == "test"
    ]
    assert {run.params["arm_kind"] for run in tested} == {"entropy"}
    with pytest.raises(AssayError, match=r"oracle_50 need human labels"):
        budget.budget(params("budget", **{**more, "arms": "oracle"}))


def test_the_page_has_the_codebook_and_shows_the_llm_s_labels_only_on_request(
    params, store, capsys
):
    given = {"arms": "entropy", "replace_share": "25", "max_train": "20"}
    with pytest.raises(AssayError, match=r"codebook must be a text file in UTF-8; none.md cannot"):
        ask.ask(params("ask", **given, codebook="none.md"))
    assert not (store / "work").exists()
    (store / "rules.md").write_text("\ufeff# Rules\n\nA cookbook is a book.\n", encoding="utf-8")
    given["codebook"] = str(store / "rules.md")

    pages = []
    for options in ({}, {"show_llm": "true", "blind": "false"}):
        ask.ask(params("ask", **given, **options))
        (path,) = (store / "work" / "questions" / latest_root("questions").run_id).glob("*.html")
        assert f"page         {path.resolve()}" in capsys.readouterr().err
        text = path.read_text().partition('"application/json">')[2].partition("</script>")[0]
        pages.append(json.loads(text))

    assert [page["codebook"] for page in pages] == ["# Rules\n\nA cookbook is a book."] * 2
    assert [page["blind"] for page in pages] == [True, False]
    assert [sum(llm is not None for *_, llm in page["questions"]) for page in pages] == [0, 5]


@pytest.mark.parametrize("arm", ["gold", "llm", "oracle", "drop_entropy", "flip"])
def test_sources_without_questions_are_refused(params, arm):
    with pytest.raises(AssayError, match="arms must be a source with questions for a person"):
        ask.ask(params("ask", arms=arm))


def test_several_sources_at_once_are_refused(params):
    with pytest.raises(AssayError, match="arms must be one value here; got 2"):
        ask.ask(params("ask", arms="entropy,margin"))
