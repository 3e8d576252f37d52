"""Labels that people gave in other programs, by the formats that these write."""

import dataclasses
import json

import pandas as pd
import pytest

from project.labels.human import answer_rows, read_human_labels
from project.support.errors import AssayError

BOTH = ["books", "household"]
SEVERAL, REJECTED, IGNORED = "have several labels", "are rejected", "are ignored"


@pytest.fixture
def texts(small_task):
    return small_task.split("train")[["example_id", "text"]].head(6)


@pytest.fixture
def read(small_task, tmp_path, texts):
    """A function: rows, and the file's ending -> labels and reasons in the order of the texts."""

    def made(rows, ending="jsonl"):
        path = tmp_path / f"export.{ending}"
        table = pd.DataFrame(rows)
        if ending == "jsonl":
            path.write_text("\n".join(json.dumps(row) for row in rows))
        elif ending == "json":
            path.write_text(json.dumps(rows))
        elif ending == "parquet":
            table.to_parquet(path)
        else:
            table.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
        answers = read_human_labels(path, small_task)
        assert answers.unknown == ()
        return [
            answers.labels.get(name) or answers.reasons.get(name, "")
            for name in texts["example_id"].head(len(rows))
        ]

    return made


def with_texts(texts, **columns):
    """Rows with the first texts and these columns."""
    n = len(next(iter(columns.values())))
    rows = [{"text": text} for text in texts["text"].head(n)]
    return [row | {k: v[i] for k, v in columns.items()} for i, row in enumerate(rows)]


def test_rejected_and_ignored_rows_of_prodigy_have_no_label(read, texts):
    rows = with_texts(
        texts,
        label=["books", "books", "books", "household"],
        answer=["accept", "reject", "ignore", "accept"],
    )

    for ending in ("jsonl", "csv", "json", "parquet"):
        assert read(rows, ending) == ["books", REJECTED, IGNORED, "household"]


def test_choices_of_prodigy_are_read_by_the_ids_or_the_texts_of_the_options(read, texts):
    options = [{"id": 1, "text": "books"}, {"id": 2, "text": "household"}]
    accept = [[2], [1, 2], [], [1]]
    rows = with_texts(texts, accept=accept, options=[options] * 4, answer=["accept"] * 4)

    assert read(rows) == ["household", SEVERAL, "", "books"]
    named = [{**row, "options": [{"id": label} for label in BOTH]} for row in rows]
    named = [row | {"accept": [BOTH[i - 1] for i in row["accept"]]} for row in named]
    assert read(named, "csv") == ["household", SEVERAL, "", "books"]


def test_the_annotators_of_prodigy_and_ids_under_meta_are_kept(tmp_path, small_task, texts):
    rows = [
        {"text": "changed on the way", "meta": {"example_id": name}, "label": "books"}
        | {"answer": "accept", "_annotator_id": person}
        for name in texts["example_id"][:2]
        for person in ("set-ann", "set-bob")
    ]
    (tmp_path / "two.jsonl").write_text("\n".join(map(json.dumps, rows)))

    table = answer_rows(tmp_path / "two.jsonl", small_task)

    assert list(table["rater"]) == ["set-ann", "set-bob"] * 2
    assert list(table["example_id"]) == list(texts["example_id"][:2].repeat(2))


@pytest.mark.parametrize("column", ["label", "labels", "cats"])
def test_lists_of_one_label_are_read_and_several_labels_are_no_answer(read, texts, column):
    rows = with_texts(texts, **{column: [["books"], BOTH, [], ["household", "household"]]})

    for ending in ("jsonl", "json", "parquet", "csv"):
        assert read(rows, ending) == ["books", SEVERAL, "", "household"]


def test_categories_with_numbers_and_labels_joined_in_a_cell_are_read(read, texts):
    numbered = [{"books": 1.0, "household": 0.0}, {"books": 1, "household": 1}]

    assert read(with_texts(texts, cats=numbered)) == ["books", SEVERAL]
    joined = ["books", "books#household", ""]
    assert read(with_texts(texts, label=joined), "csv") == ["books", SEVERAL, ""]


def response(value, user="u1", **more):
    return {"value": value, "user_id": user, **more}


def test_responses_of_argilla_count_and_suggestions_do_not(read, texts):
    records: list[dict[str, object]] = [
        {"responses": {"topic": [response("books")], "why": [response("free text")]}},
        {"responses": {}, "status": "pending"},
        {"responses": {"topic": [response("books", status="discarded")]}},
        {"responses": {"topic": [response(BOTH)]}},
    ]
    suggested = {"topic": {"value": "household"}}
    nested = [
        {**record, "fields": {"text": text}, "suggestions": suggested}
        for text, record in zip(texts["text"], records, strict=False)
    ]

    assert read(nested) == ["books", "", "are discarded", SEVERAL]
    assert read(nested, "json") == ["books", "", "are discarded", SEVERAL]


def test_flat_records_and_those_of_older_versions_of_argilla_are_read(read, texts):
    flat = with_texts(
        texts,
        **{
            "label.responses": [["books"], ["household"], None],
            "label.responses.users": [["u1"], ["u1"], None],
            "label.responses.status": [["submitted"], ["draft"], None],
            "label.suggestion": ["household"] * 3,
        },
    )
    by_person = with_texts(
        texts,
        fields=[{"text": text} for text in texts["text"].head(3)],
        responses=[
            [{"user_id": "u", "status": "submitted", "values": {"label": {"value": "books"}}}],
            [{"user_id": "u", "status": "draft", "values": {"label": {"value": "books"}}}],
            [],
        ],
    )
    first = with_texts(
        texts,
        annotation=["books", "household", "household"],
        prediction=[[{"label": "household", "score": 1.0}]] * 3,
        status=["Validated", "Discarded", "Default"],
    )

    assert read(flat) == read(flat, "parquet") == ["books", "are drafts", ""]
    assert read(by_person) == ["books", "are drafts", ""]
    assert read(first) == ["books", "are discarded", ""]


def test_people_who_differ_in_argilla_are_told_apart(small_task, tmp_path, texts):
    answers = [response("books"), response("household", "u2")]
    row = {"fields": {"text": texts["text"][0]}, "responses": {"label": answers}}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))

    assert list(answer_rows(tmp_path / "a.jsonl", small_task)["rater"]) == ["u1", "u2"]
    assert read_human_labels(tmp_path / "a.jsonl", small_task).contradictory == (
        texts["example_id"][0],
    )


def label_studio(texts, **columns):
    n = len(next(iter(columns.values())))
    own = {"annotator": [1] * n, "annotation_id": list(range(n)), "lead_time": [2.5] * n}
    return with_texts(texts, **columns, **own)


@pytest.mark.parametrize("ending", ["csv", "tsv", "json"])
def test_tables_of_label_studio_are_read_by_whichever_column_holds_the_labels(read, texts, ending):
    cells = ["books", '{"choices": ["books", "household"]}', "", "household"]
    rows = label_studio(texts, sentiment=cells, comment=["a", "b", "c", "d"])

    assert read(rows, ending) == ["books", SEVERAL, "", "household"]


def test_taxonomies_are_read_by_their_last_step_that_is_a_label(read, texts):
    paths = [[["goods", "books"]], [["books", "crime"]], [["x", "books"], ["x", "household"]]]
    rows = label_studio(texts, taxonomy=[json.dumps(path) for path in paths])
    tasks = [
        {"data": {"text": text}, "annotations": [{"result": [{"value": {"taxonomy": path}}]}]}
        for text, path in zip(texts["text"], paths[:2], strict=False)
    ]

    assert read(rows, "csv") == ["books", "books", SEVERAL]
    assert read(tasks, "json") == ["books", "books"]


def test_a_comment_box_beside_the_choices_is_left_aside(read, texts):
    def task(text, *results):
        return {"data": {"text": text}, "annotations": [{"completed_by": 1, "result": results}]}

    comment = {"type": "textarea", "value": {"text": ["hard"]}}
    choice = {"type": "choices", "value": {"choices": ["books"]}}
    first, second = texts["text"][:2]

    assert read([task(first, comment, choice), task(second, comment)], "json") == ["books", ""]
    with pytest.raises(AssayError, match=r"without choices; its answers are of the kind textarea"):
        read([task(first, comment)], "json")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [[[0, 5, "books"]]]}, "holds parts of texts with a label each"),
        ({"annotations": [[{"label": 3, "user": 1}]]}, "export of doccano with the numbers of"),
        ({"spans": [[]], "answer": ["accept"]}, "export of Prodigy, and has neither label nor"),
        (
            {"a.responses": [["yes"]], "b.responses": [["no"]]},
            "export of Argilla with the questions a, b, and none has the labels books",
        ),
        (
            {"annotator": [1], "lead_time": [1.0], "first": ["books"], "second": ["books"]},
            "export of Label Studio; several columns hold the labels .*: first, second. Rename",
        ),
    ],
)
def test_an_export_without_one_label_for_a_text_is_refused_by_name(read, texts, columns, message):
    with pytest.raises(AssayError, match=message):
        read(with_texts(texts, **columns))


def test_texts_are_found_by_their_words_where_no_id_is_given(small_task, tmp_path, texts):
    """Programs change line ends and outer space; an unknown text is named by its row."""
    rows = [(f" {texts['text'][0]}\r\n", "books"), ("no such text", "books")]
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(tmp_path / "a.csv", index=False)

    answers = read_human_labels(tmp_path / "a.csv", small_task)

    assert answers.labels.to_dict() == {texts["example_id"][0]: "books"}
    assert answers.unknown == ("row 2",)


def test_texts_that_a_spreadsheet_or_a_program_changed_in_form_are_found(small_task, tmp_path):
    ids = list(small_task.examples["example_id"][:4])
    changed = small_task.examples.copy()
    changed.loc[:3, "text"] = ["=1 good", "two  spaces", "same one", "same  one"]
    task = dataclasses.replace(small_task, examples=changed)
    table = pd.DataFrame({"text": ["'=1 good", "two spaces ", "same one", "same\tone"]})
    table.assign(label="books").to_csv(tmp_path / "a.csv", index=False)

    answers = read_human_labels(tmp_path / "a.csv", task)

    assert list(answers.labels.index) == ids[:3]
    assert answers.unknown == ("row 4",)


def test_several_files_are_put_together_and_differing_labels_count_as_unanswered(
    small_task, tmp_path, texts
):
    one, two, three = texts["example_id"][:3]
    files = []
    for name, given in (("a", {one: "books", two: "books"}), ("b", {two: "books", three: ""})):
        files.append(tmp_path / f"{name}.csv")
        pd.Series(given, name="label").rename_axis("example_id").to_csv(files[-1])
    again = tmp_path / "c.csv"
    pd.Series({one: "household", three: "books"}, name="label").rename_axis("example_id").to_csv(
        again
    )

    answers = read_human_labels(files, small_task)
    assert answers.labels.to_dict() == {one: "books", two: "books"}
    assert (answers.unanswered, answers.contradictory) == ((three,), ())
    answers = read_human_labels([*files, again], small_task)
    assert answers.labels.to_dict() == {two: "books", three: "books"}
    assert (answers.unanswered, answers.contradictory) == ((), (one,))


def test_texts_that_the_page_marks_as_unsure_are_counted_by_themselves(read, texts):
    rows = [
        {"example_id": name, "label": label, "unsure": unsure}
        for name, (label, unsure) in zip(
            texts["example_id"], [("books", False), ("", True), ("", False)], strict=False
        )
    ]

    assert read(rows) == ["books", "are marked unsure", ""]


def test_where_keeps_the_answers_of_the_task(small_task, tmp_path, texts):
    one, two = texts["example_id"][:2]
    rows = [(one, "a", "books"), (one, "b", "household"), (two, "b", "household")]
    table = pd.DataFrame(rows, columns=["example_id", "part", "label"])
    table.to_csv(tmp_path / "all.csv", index=False)

    of_part = dataclasses.replace(small_task, where="part=a")

    assert read_human_labels(tmp_path / "all.csv", of_part).labels.to_dict() == {one: "books"}
    by_label = dataclasses.replace(small_task, where="label=books")
    assert len(read_human_labels(tmp_path / "all.csv", by_label).labels) == 1
    assert read_human_labels(tmp_path / "all.csv", by_label).contradictory == (one,)


def test_a_column_named_reason_of_the_user_s_own_is_left_alone(small_task, tmp_path, texts):
    one, two = texts["example_id"][:2]
    rows = [(one, "books", "clear"), (two, "", None)]
    table = pd.DataFrame(rows, columns=["example_id", "label", "reason"])
    table.to_parquet(tmp_path / "mine.parquet")

    answers = read_human_labels(tmp_path / "mine.parquet", small_task)

    assert (answers.unanswered, answers.reasons) == ((two,), {})


def ticked(label, *more, control="label"):
    """A result of a control of Label Studio with these choices."""
    return {"from_name": control, "type": "choices", "value": {"choices": [label, *more]}}


def test_several_ticked_choices_are_no_answer_and_other_questions_are_left_aside(read, texts):
    results = [
        [ticked("books", "household")],
        [ticked("long", control="length"), ticked("books")],
        [ticked("books"), ticked("household", control="second")],
        [ticked("household", control="topic"), {"type": "textarea", "value": {"text": ["hm"]}}],
        [],
    ]
    ids = list(texts["example_id"][: len(results)])
    tasks = [
        {"data": {"example_id": name}, "annotations": [{"completed_by": 1, "result": result}]}
        for name, result in zip(ids, results, strict=True)
    ]

    assert read(tasks, "json") == [SEVERAL, "books", SEVERAL, "", ""]


def test_only_the_control_of_the_labels_answers_also_where_a_person_left_it_empty(read, texts):
    def tasks(*results):
        rows = zip(texts["text"], results, strict=False)
        return [{"data": {"text": text}, "annotations": [{"result": one}]} for text, one in rows]

    about_author = ticked("books", control="author")

    assert read(tasks([about_author], []), "json") == ["books", ""]
    assert read(tasks([about_author], [ticked("household")]), "json") == ["", "household"]
    with pytest.raises(AssayError, match="'unsure'"):
        read(tasks([ticked("unsure"), about_author], [ticked("books")]), "json")
    with pytest.raises(
        AssayError,
        match="^human file export.json is an export of .* author, topic all have the labels",
    ):
        read(tasks([about_author], [ticked("books", control="topic")]), "json")


def test_another_column_is_no_answer_because_all_its_cells_are_labels(read, texts):
    rows = label_studio(texts, sentiment=["books", "unsure"], author=["books", "household"])
    with pytest.raises(AssayError, match="several columns hold the labels .*: sentiment, author"):
        read(rows, "csv")
    argilla = with_texts(
        texts,
        **{"kind.responses": [["books"], ["unsure"]], "author.responses": [["books"], ["books"]]},
    )
    with pytest.raises(AssayError, match="questions kind, author, and several have the labels"):
        read(argilla)


def test_doccano_may_call_the_text_data(read, texts):
    rows = [{"id": 7, "data": text, "label": ["books"]} for text in texts["text"][:2]]
    assert read(rows) == ["books", "books"]
