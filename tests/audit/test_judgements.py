"""Labels of several people, joined into one table without losing any in silence."""

import itertools

import numpy as np
import pandas as pd
import pytest

from project.audit.judgements import audit_labels, codes, combine
from project.data.task import load_task
from project.support.errors import AssayError
from tests.helpers.pets import CARD


@pytest.fixture
def ids(small_task):
    return list(small_task.examples["example_id"][:6])


def frame(rows, *more):
    return pd.DataFrame(rows, columns=["example_id", "label", *more])


def labels_of(audit):
    return dict(zip(audit.table["example_id"], audit.table["label"], strict=True))


def reasons_of(audit):
    return dict(zip(audit.table["example_id"], audit.table["reason"], strict=True))


def test_the_file_names_the_rater_unless_a_column_does(small_task, ids):
    tables = {
        "answers/anna.csv": frame([(ids[0], "books")]),
        "team.jsonl": frame([(ids[0], "books", "ben"), (ids[1], None, " carla ")], "rater"),
    }
    found = combine(tables, small_task)

    assert found.raters == ("anna", "ben", "carla")
    assert found.table.to_dict("list") == {
        "example_id": [ids[0], ids[0], ids[1]],
        "rater": ["anna", "ben", "carla"],
        "label": ["books", "books", None],
        "file": ["answers/anna.csv", "team.jsonl", "team.jsonl"],
    }
    assert found.notes() == ["judgements: 1 have no label"]


def test_every_row_is_counted_by_what_became_of_it(small_task, ids):
    tables = {
        "anna.csv": frame(
            [
                (ids[0], "books"),
                (ids[0], "BOOKS "),  # the same label again
                (ids[1], "books"),
                (ids[1], "household"),  # another label
                (ids[1], ""),
                (ids[2], ""),
                (ids[2], "household"),  # a label after none
                (ids[3], " "),
                (ids[3], None),
                ("nobody", "books"),
            ]
        ),
        "ben.csv": frame([(ids[1], "household")]),
    }
    found = combine(tables, small_task)

    assert found.counts == {
        "read": 11,
        "labelled": 3,
        "skipped": 1,
        "repeated": 3,
        "contradictory": 3,
        "unknown": 1,
    }
    assert found.contradictory == (("anna", ids[1]),)
    assert found.unknown == ("nobody",)
    rows = found.table[["rater", "example_id", "label"]]
    assert list(rows.itertuples(index=False, name=None)) == [
        ("anna", ids[0], "books"),
        ("anna", ids[2], "household"),
        ("anna", ids[3], None),
        ("ben", ids[1], "household"),
    ]
    assert found.notes() == [
        "judgements: 1 have no label",
        "judgements: 3 rows repeat what their rater says elsewhere",
        "judgements: 1 rows are of no text of this task (nobody)",
        f"judgements: anna labelled 1 texts in different ways; these labels are left out "
        f"({ids[1]})",
    ]


def test_the_counts_add_up_for_any_rows(small_task, ids):
    random = np.random.default_rng(0)
    labels = [*small_task.label_set[:3], "", None]
    for _ in range(20):
        rows = [
            (random.choice([*ids, "nobody"]), labels[random.integers(5)], random.choice(["a", "b"]))
            for _ in range(40)
        ]
        found = combine(
            {"x.csv": frame(rows[:25], "rater"), "y.csv": frame(rows[25:], "rater")}, small_task
        )
        assert found.counts["read"] == 40 == sum(found.counts.values()) - 40
        assert not found.table.duplicated(["rater", "example_id"]).any()
        array = codes(found, ids, small_task.label_set)
        assert (array >= 0).sum() == found.counts["labelled"]


def test_codes_have_a_row_for_each_rater_and_minus_one_for_no_label(small_task, ids):
    tables = {
        "ben.csv": frame([(ids[2], "household"), (ids[0], "books"), (ids[4], "books")]),
        "anna.csv": frame([(ids[1], ""), (ids[0], "household")]),
    }
    first, second = (small_task.label_set.index(label) for label in ("books", "household"))
    found = combine(tables, small_task)
    array = codes(found, ids[:3], small_task.label_set)

    assert found.raters == ("ben", "anna")
    assert array.tolist() == [[first, -1, second], [second, -1, -1]]
    with pytest.raises(AssayError, match="label of a judgement must be one of books; got 'househ"):
        codes(found, ids, ["books"])


def test_the_label_of_most_raters_is_the_audit_label_and_the_reason_is_told(small_task, ids):
    votes: dict[str, list[str | None]] = {
        ids[0]: ["books", "books", "books"],
        ids[1]: ["books", "household", "books"],
        ids[2]: ["books", "household", ""],
        ids[3]: ["household", "", ""],
        ids[4]: ["", "", None],
    }
    tables = {
        f"{rater}.csv": frame([(example_id, row[i]) for example_id, row in votes.items()])
        for i, rater in enumerate(["anna", "ben", "carla"])
    }
    # Only anna judged the last text, in two ways.
    tables["anna.csv"] = pd.concat(
        [tables["anna.csv"], frame([(ids[5], "books"), (ids[5], "household")])]
    )
    found = audit_labels(combine(tables, small_task), small_task.label_set)

    assert labels_of(found) == {
        ids[0]: "books",
        ids[1]: "books",
        ids[2]: None,
        ids[3]: "household",
        ids[4]: None,
        ids[5]: None,
    }
    assert list(reasons_of(found).values()) == [
        "unanimous",
        "majority",
        "tie",
        "single",
        "skipped",
        "contradictory",
    ]
    assert found.table["n_labels"].tolist() == [3, 3, 2, 1, 0, 0]
    assert found.to_adjudicate == (ids[2], ids[1], ids[5])
    assert found.counts == dict.fromkeys(reasons_of(found).values(), 1)


def tied_tables(ids):
    return {
        "anna.csv": frame([(ids[0], "books"), (ids[1], "books"), (ids[2], "books")]),
        "ben.csv": frame([(ids[0], "household"), (ids[1], "books"), (ids[2], "household")]),
    }


@pytest.mark.parametrize(
    ("file", "column", "adjudicator"),
    [
        ("final.csv", [], "final"),
        ("final.csv", [], "final.csv"),
        ("final.csv", ["anna"], "final.csv"),
        ("more.csv", ["dora"], "dora"),
    ],
)
def test_the_adjudicators_label_wins_and_is_no_raters(small_task, ids, file, column, adjudicator):
    # The adjudicator decides a tie, overrules an agreement, and leaves another tie open.
    decisions = [(ids[0], "household"), (ids[1], "household"), (ids[2], "")]
    rows = [(*row, *column) for row in decisions]
    tables = {**tied_tables(ids), file: frame(rows, *(["rater"] if column else []))}
    judgements = combine(tables, small_task, adjudicator, adjudicates_only=True)
    found = audit_labels(judgements, small_task.label_set)

    assert judgements.raters == ("anna", "ben")
    assert judgements.contradictory == ()
    assert codes(judgements, ids, small_task.label_set).shape == (2, 6)
    assert labels_of(found) == {ids[0]: "household", ids[1]: "household", ids[2]: None}
    assert list(reasons_of(found).values()) == ["adjudicated", "adjudicated", "tie"]
    assert found.table["n_labels"].tolist() == [2, 2, 2]
    assert found.to_adjudicate == (ids[2],)


@pytest.mark.parametrize("adjudicator", ["ben", "ben.csv"])
def test_a_rater_whose_label_wins_stays_a_rater(small_task, ids, adjudicator):
    judgements = combine(tied_tables(ids), small_task, adjudicator)
    found = audit_labels(judgements, small_task.label_set)

    assert judgements.raters == ("anna", "ben")
    assert labels_of(found) == {ids[0]: "household", ids[1]: "books", ids[2]: "household"}


def test_without_an_adjudicator_all_files_are_of_raters(small_task, ids):
    tables = {**tied_tables(ids), "final.csv": frame([(ids[0], "household")])}
    judgements = combine(tables, small_task)
    found = audit_labels(judgements, small_task.label_set)

    assert judgements.raters == ("anna", "ben", "final")
    assert reasons_of(found) == {ids[0]: "majority", ids[1]: "unanimous", ids[2]: "tie"}


def test_an_unknown_adjudicator_is_refused_with_the_raters_and_files(small_task, ids):
    with pytest.raises(
        AssayError,
        match=r"adjudicator must be one of anna, anna.csv, ben, ben.csv; got 'ann'\. Did you mean "
        r"'anna'\?",
    ):
        combine(tied_tables(ids), small_task, "ann")


def test_the_order_of_files_changes_no_audit_label(small_task, ids):
    tables = {**tied_tables(ids), "carla.csv": frame([(ids[2], "books"), (ids[0], "")])}
    found = [
        audit_labels(combine(dict(order), small_task), small_task.label_set)
        for order in itertools.permutations(tables.items())
    ]

    assert all(labels_of(other) == labels_of(found[0]) for other in found)
    assert all(set(other.to_adjudicate) == {ids[0], ids[2]} for other in found)


def test_the_same_rater_in_two_files_is_one_person(small_task, ids):
    tables = {
        "one.csv": frame([(ids[0], "books", "anna"), (ids[1], "books", "anna")], "rater"),
        "two.csv": frame([(ids[0], "books", "anna"), (ids[1], "household", "anna")], "rater"),
    }
    found = combine(tables, small_task)

    assert found.raters == ("anna",)
    assert (found.counts["labelled"], found.counts["repeated"]) == (1, 1)
    assert found.contradictory == (("anna", ids[1]),)


def test_numbers_are_class_indices_only_where_the_data_have_such(small_task, ids, pets):
    table = pd.DataFrame({"example_id": ids[:2], "label": [0.0, None]})
    with pytest.raises(AssayError, match=r"1 are not, the first is '0.0' of example"):
        combine({"anna.parquet": table}, small_task)

    task = load_task(pets(lambda rows: rows.assign(label=rows["label"].map({"cat": 0, "dog": 1}))))
    of_task = table.assign(example_id=list(task.examples["example_id"][:2]))
    assert combine({"anna.parquet": of_task}, task).table["label"].tolist() == ["cat", None]


def test_a_label_of_the_task_is_never_read_as_a_value_of_the_data(pets):
    # In these data "cat" stands for a dog and "feline" for a cat; people write what they see.
    task = load_task(
        pets(
            lambda table: table.assign(label=table["label"].map({"cat": "feline", "dog": "cat"})),
            CARD + "values: {cat: dog, feline: cat}\n",
        )
    )
    ids = list(task.examples["example_id"][:2])
    found = combine({"anna.csv": frame([(ids[0], "cat"), (ids[1], "feline")])}, task)

    assert found.table["label"].tolist() == ["cat", "cat"]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"a.csv": pd.DataFrame({"label": ["books"]})}, r"a.csv must have .* missing: example_id"),
        ({"a.csv": frame([("x", "bokos")])}, r"a.csv: labels .* 1 are not, the first is 'bokos'"),
        (
            {"a.csv": frame([("x", "books", "anna"), ("x", "books", " ")], "rater")},
            r"a.csv must have a rater in every row; 1 have none, the first is row 2",
        ),
        (
            {"one/a.csv": frame([("x", "books")]), "two/a.csv": frame([("x", "books")])},
            r"one/a.csv: the file names the rater, and another file is also called a\.",
        ),
    ],
)
def test_files_that_cannot_be_understood_are_refused(small_task, tables, message):
    with pytest.raises(AssayError, match=message):
        combine(tables, small_task)


@pytest.mark.parametrize("tables", [{}, {"anna.csv": frame([])}])
def test_no_judgement_is_no_error(small_task, tables):
    judgements = combine(tables, small_task)
    found = audit_labels(judgements, small_task.label_set)

    assert judgements.counts["read"] == 0
    assert judgements.raters == ()
    assert codes(judgements, ["x"], small_task.label_set).shape == (0, 1)
    assert len(found.table) == 0
    assert found.to_adjudicate == ()
