"""A pool from one file with few human labels: what is read, what is refused, what is counted."""

import json

import pandas as pd
import pytest

from project.config.audit import PoolConfig
from project.config.task import TaskConfig
from project.data.pool import load_pool, with_human_labels
from project.data.tables import check
from project.data.task import load_task
from project.support.errors import AssayError

N = 20
HUMAN = ["cat", "dog", "", "dog"]


@pytest.fixture
def pool_of(tmp_path):
    """A function that writes 20 rows, which its first argument may change, and reads the pool."""

    def load(change=lambda table: table, *, own=(), labels="", human_column="human", **more):
        table = pd.DataFrame(
            {
                "text": [f"letter {number}" for number in range(N)],
                "human": [HUMAN[number % 4] for number in range(N)],
                "llm": ["cat", "dog"] * 10,
                "year": [str(2000 + number) for number in range(N)],
            }
        )
        path = tmp_path / "codes.csv"
        change(table).to_csv(path, index=False)
        config = TaskConfig(**{"task": "", "data": str(path), **more})
        return load_pool(config, PoolConfig(human_column=human_column, labels=labels), own)

    return load


def gold_labels(pool):
    """The human label of every example, None where there is none."""
    return [label if isinstance(label, str) else None for label in pool.task.examples["gold_label"]]


def gold_by_text(pool):
    return dict(zip(pool.task.examples["text"], gold_labels(pool), strict=True))


def refused(load, *arguments, **more):
    """The message of a refusal, which stands on one line."""
    with pytest.raises(AssayError) as caught:
        load(*arguments, **more)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_file_is_enough_and_classes_are_the_human_labels_that_occur(pool_of):
    pool = pool_of()
    gold = gold_by_text(pool)

    assert pool.task.label_set == ("cat", "dog")
    assert pool.task.name == "codes"
    assert [gold[f"letter {number}"] for number in range(4)] == ["cat", "dog", None, "dog"]
    assert pool.task.examples["gold_label"].notna().sum() == 15
    assert set(pool.task.examples["split"]) == {"train"}
    assert pool.notes == ()
    check("examples", pool.task.examples, pool.task.label_set)


def test_a_spreadsheets_semicolons_and_byte_order_mark_are_read(pool_of, tmp_path):
    plain = pool_of()
    path = tmp_path / "codes.csv"
    text = path.read_text(encoding="utf-8").replace(",", ";")
    path.write_text(text, encoding="utf-8-sig")
    pool = load_pool(TaskConfig(task="", data=str(path)), PoolConfig(human_column="human"))

    assert gold_by_text(pool) == gold_by_text(plain)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_numbers_beside_nulls_are_classes(tmp_path, suffix):
    path = tmp_path / f"codes{suffix}"
    table = pd.DataFrame(
        {"text": [f"t{number}" for number in range(6)], "code": [1.0, 0, None] * 2}
    )
    if suffix == ".parquet":
        table.to_parquet(path)
    else:
        lines = [
            json.dumps({k: None if v != v else v for k, v in row.items()})
            for row in table.to_dict("records")
        ]
        path.write_text("\n".join(lines))
    pool = load_pool(TaskConfig(task="", data=str(path)), PoolConfig(human_column="code"))

    assert pool.task.label_set == ("0", "1")
    gold = gold_by_text(pool)
    assert [gold["t0"], gold["t1"], gold["t2"]] == ["1", "0", None]


def test_upper_case_and_space_make_no_new_class_where_classes_are_named(pool_of):
    def change(table):
        return table.assign(human=[" DOG ", "Cat"] + ["  "] * (N - 2))

    gold = gold_by_text(pool_of(change, labels="cat, dog"))
    assert (gold["letter 0"], gold["letter 1"], gold["letter 2"]) == ("dog", "cat", None)


def test_named_classes_overrule_the_card_and_the_card_what_occurs(pool_of, pets):
    card = pets().task
    with_card = pool_of(task=card)
    assert with_card.task.label_set == ("cat", "dog")
    assert with_card.task.description == "You sort letters about pets."

    more = pool_of(task=card, labels="dog,cat,eel")
    assert more.task.label_set == ("dog", "cat", "eel")
    assert more.task.description == "You sort letters about pets."
    assert pool_of(labels="dog,cat,eel").task.label_set == ("dog", "cat", "eel")


def test_a_card_names_classes_that_no_person_has_given(pool_of, pets):
    card = pets().task
    pool = pool_of(lambda table: table.assign(human=["cat"] + [""] * (N - 1)), task=card)

    assert pool.task.label_set == ("cat", "dog")


def test_a_human_label_that_is_no_class_is_refused_with_its_rows(pool_of):
    def change(table):
        return table.assign(human=["cat", "dgo", "dgo", "dog"] * 5)

    message = refused(pool_of, change, labels="cat,dog")
    assert message.startswith("human must hold one of cat, dog; 10 rows have 'dgo'.")
    assert "labels" in message


@pytest.mark.parametrize(("label", "shown"), [("cat", "has cat."), ("", "has none.")])
def test_one_class_is_refused(pool_of, label, shown):
    message = refused(pool_of, lambda table: table.assign(human=[label] * 5 + [""] * 15))

    assert shown in message
    assert message.endswith("Name every class in labels.")


def test_a_column_of_texts_is_not_taken_for_labels(pool_of):
    def change(table):
        return pd.concat([table] * 3).assign(human=[f"remark {number}" for number in range(60)])

    message = refused(pool_of, change)
    assert "'human' has 60 different values, such as 'remark 0'" in message


def test_without_human_labels_classes_must_be_named(pool_of):
    assert "labels must name every class" in refused(pool_of, human_column="")
    pool = pool_of(human_column="", labels="cat,dog")

    assert pool.task.examples["gold_label"].isna().all()


@pytest.mark.parametrize("has_card", [False, True])
@pytest.mark.parametrize("labels", ["cat", "cat,cat"])
def test_classes_that_do_not_differ_are_refused(pool_of, pets, labels, has_card):
    task = pets().task if has_card else ""

    message = refused(pool_of, human_column="", labels=labels, task=task)
    assert "different names" in message


def test_spellings_that_may_be_one_class_or_two_are_refused_unless_the_classes_are_named(pool_of):
    def mixed(table):
        return table.assign(human=["Cat", "dog", "cat", "DOG"] * 5)

    assert "'Cat' and 'cat', which differ in upper and lower case" in refused(pool_of, mixed)
    two = pool_of(mixed, labels="cat,dog").task.examples["gold_label"]
    assert two.value_counts().to_dict() == {"cat": 10, "dog": 10}
    three = pool_of(mixed, labels="Cat,cat,dog").task.examples["gold_label"]
    assert three.value_counts().to_dict() == {"dog": 10, "Cat": 5, "cat": 5}


@pytest.mark.parametrize("label", ["two\nlines", "x" * 201, "a\u2028b"])
def test_what_is_no_name_of_a_class_is_refused(pool_of, label):
    message = refused(pool_of, lambda table: table.assign(human=[label, "cat"] * 10))

    assert "must be lines of at most 200 characters" in message
    assert len(message) < 300


@pytest.mark.parametrize("name", ["my\tcodes.csv", f"{'n' * 240}.csv"])
def test_a_file_may_have_any_name(tmp_path, name):
    table = pd.DataFrame({"text": ["a", "b"], "human": ["cat", "dog"]})
    table.to_csv(tmp_path / name, index=False)
    config = TaskConfig(task="", data=str(tmp_path / name))

    assert load_pool(config, PoolConfig(human_column="human")).task.label_set == ("cat", "dog")


def test_without_a_file_or_a_card_there_is_no_pool():
    message = refused(load_pool, TaskConfig(task=""), PoolConfig())

    assert message.startswith("data must name the file")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("human_column", {"human_column": "humn"}),
        ("text_column", {"text_column": "txt"}),
        ("id_column", {"id_column": "idd"}),
        ("by", {"own": [("by", "yaer")]}),
        ("group", {"own": [("by", "year"), ("group", "documnt")]}),
    ],
)
def test_a_column_that_does_not_exist_is_refused_with_the_parameter(pool_of, name, settings):
    message = refused(pool_of, **settings)

    assert message.startswith(name)
    assert "year" in message


def test_rows_without_a_text_are_left_out_and_counted(pool_of):
    def change(table):
        table.loc[[3, 7], "text"] = ["", "   "]
        return table

    pool = pool_of(change)
    assert len(pool.task.examples) == len(pool.columns) == 18
    assert pool.notes == ("2 rows have no text and are left out.",)
    assert (pool.task.counts["read"], pool.task.counts["empty_text_dropped"]) == (20, 2)
    # A label of a row that is left out may be anything.
    assert "letter 3" not in gold_by_text(pool)


def test_the_users_columns_stay_beside_their_texts(pool_of):
    def change(table):
        table.loc[5, "text"] = ""
        return table

    pool = pool_of(change, own=[("by", "year"), ("group", ""), ("by", "year")])
    ids = list(pool.task.examples["example_id"])
    assert ids == sorted(ids)
    numbers = [int(text.split()[1]) for text in pool.task.examples["text"]]
    assert numbers != sorted(numbers)
    assert list(pool.columns["year"]) == [str(2000 + number) for number in numbers]
    assert gold_labels(pool) == [HUMAN[number % 4] or None for number in numbers]


def test_ids_of_a_column_are_used_and_must_differ(pool_of):
    pool = pool_of(id_column="year")
    assert pool.task.examples["example_id"].iloc[0] == "2000"
    assert "more than once" in refused(pool_of, id_column="llm")


def test_copies_of_a_text_have_ids_of_their_own(pool_of):
    pool = pool_of(lambda table: table.assign(text="the same"))

    assert pool.task.examples["example_id"].is_unique


def test_ids_are_those_of_a_task_with_the_same_texts(pets, tmp_path):
    task = load_task(pets())
    config = TaskConfig(task="", data=str(tmp_path / "pets.csv"))
    pool = load_pool(config, PoolConfig(human_column="label"))

    assert set(task.examples["example_id"]) <= set(pool.task.examples["example_id"])


def test_human_labels_of_files_take_the_place_of_the_columns(pool_of):
    pool = pool_of()
    ids = pool.task.examples["example_id"]
    changed = with_human_labels(pool, pd.Series({ids[4]: "cat", ids[9]: "dog"}))

    assert changed.task.examples["gold_label"].notna().sum() == 2
    assert changed.task.examples["gold_label"][4] == "cat"
    check("examples", changed.task.examples, changed.task.label_set)
    assert pool.task.examples["gold_label"].notna().sum() == 15


def test_no_human_label_of_files_leaves_an_examples_table(pool_of):
    pool = with_human_labels(pool_of(), pd.Series({}, dtype=object))

    check("examples", pool.task.examples, pool.task.label_set)
    assert pool.task.examples["gold_label"].isna().all()


def test_the_hash_of_the_examples_is_that_of_the_labels_that_they_have(pool_of):
    pool = pool_of()
    ids = pool.task.examples["example_id"]
    one = with_human_labels(pool, pd.Series({ids[4]: "cat"}))
    other = with_human_labels(pool, pd.Series({ids[4]: "dog"}))

    assert len({pool.task.content_hash, one.task.content_hash, other.task.content_hash}) == 3


def test_demonstrations_leave_the_pool_and_keep_their_labels(tmp_path):
    table = pd.DataFrame(
        {"text": [f"text {n}" for n in range(100)], "human": ["a", "b"] * 25 + [""] * 50}
    )
    table.to_csv(tmp_path / "codes.csv", index=False)
    config = TaskConfig(task="", data=str(tmp_path / "codes.csv"))
    pool = load_pool(config, PoolConfig(human_column="human"), n_demonstrations=3)

    shown = pool.task.split("demonstration")
    assert len(shown) == 10  # a fifth of the labelled texts
    assert shown["gold_label"].notna().all()
    assert len(pool.examples) == len(pool.columns) == 90
    assert list(pool.columns["text"]) == list(pool.examples["text"])
    assert not set(shown["text"]) & set(pool.examples["text"])
    forgotten = with_human_labels(pool, pd.Series(dtype=object))
    assert forgotten.examples["gold_label"].isna().all()
    assert forgotten.task.split("demonstration").equals(shown)


def test_a_complete_task_shows_the_demonstrations_of_other_entry_points_and_their_texts_first():
    task = load_task(TaskConfig())
    config = TaskConfig(max_train=300)
    pool = load_pool(config, PoolConfig(human_column="label"), n_demonstrations=3)

    for column in ("example_id", "text", "gold_label"):
        shown = task.split("demonstration")[column]
        assert list(pool.task.split("demonstration")[column]) == list(shown)
    assert set(task.split("train")["example_id"]) <= set(pool.examples["example_id"])
    rest = set(pool.examples["example_id"]) - set(task.split("train")["example_id"])
    assert len(rest) == 300 - 256
    assert rest <= set(task.split("test")["example_id"])


@pytest.mark.parametrize("empty", ["NA", "nan", "None", "-"])
def test_a_word_for_no_label_is_a_class_only_where_labels_names_it(pool_of, empty):
    def change(table):
        return table.assign(human=table["human"].replace("", empty))

    message = refused(pool_of, change)
    assert f"human_column must hold labels, or nothing; 'human' has '{empty}' in 5 rows" in message
    assert gold_labels(pool_of(change, labels=f"cat,dog,{empty}")).count(empty) == 5
