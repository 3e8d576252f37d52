"""Task data: how they are read and split, and which data are refused."""

import dataclasses

import pandas as pd
import pytest

from project.config.task import TaskConfig
from project.data.card import CARDS, load_card
from project.data.task import load_task
from project.support.errors import AssayError
from tests.helpers.pets import CARD, with_value


def test_numbers_that_yaml_reads_as_text_become_numbers_in_a_cards_defaults(pets):
    config = pets(card=CARD + "defaults: {learning_rate: 1e-4}\n")

    assert load_task(config).defaults == {"learning_rate": 1e-4}


def test_the_projects_cards_are_valid_and_have_the_papers_classes():
    cards = {path.stem: load_card(path.stem) for path in CARDS.glob("*.yaml")}

    assert cards.keys() == {"catalogue", "ecommerce", "imdb", "manifestos", "toxic"}
    assert cards["imdb"].labels == ("negative", "positive")
    assert cards["manifestos"].labels == ("present", "future", "past")
    assert cards["toxic"].labels == ("hate speech", "offensive language", "neither")
    assert cards["ecommerce"].labels == (
        "books",
        "clothing & accessories",
        "electronics",
        "household",
    )
    assert all(card.licence and card.citation for card in cards.values())
    assert all(
        cards[name].sizes["train"] == 5000 and cards[name].sizes["test"] <= 2000
        for name in cards.keys() - {"catalogue"}
    )


def test_splits_are_stratified_sized_and_disjoint(pets):
    task = load_task(pets())

    assert {
        split: len(task.split(split)) for split in ("demonstration", "train", "validation", "test")
    } == {
        "demonstration": 4,
        "train": 20,
        "validation": 6,
        "test": 10,
    }
    assert task.examples["example_id"].is_unique
    assert (task.split("train")["gold_label"] == "dog").mean() == pytest.approx(2 / 3, abs=0.05)


def test_a_note_names_the_sizes_of_all_splits_where_one_is_smaller_than_asked_for(pets):
    config = pets()

    task = load_task(dataclasses.replace(config, max_train=60, max_test=30))

    sizes = {split: len(task.split(split)) for split in ("train", "validation", "test")}
    assert sizes == {"train": 35, "validation": 3, "test": 18}
    assert task.notes == (
        "the data have too few rows for max_train=60 and max_test=30: demonstration 4 of 4, train "
        "35 of 60, validation 3 of 6, test 18 of 30. Give more data, or lower the size of another "
        "split.",
    )
    assert load_task(dataclasses.replace(config, max_train=20)).notes == ()


def test_sizes_of_the_card_are_limits_and_make_no_note(pets):
    task = load_task(pets(card=CARD.replace("train: 20", "train: 90")))

    assert len(task.split("train")) < 90
    assert task.notes == ()


def test_unlabelled_texts_go_to_training_and_labelled_ones_to_the_other_splits_first(pets):
    def change(table):
        more = pd.DataFrame(
            {
                "text": [f"unlabelled letter {i}" for i in range(30)]
                + ["letter number 0", "letter number 1"],
                "label": None,
            }
        )
        return pd.concat([table, more.assign(split=["test"] * 5 + [""] * 27)], ignore_index=True)

    task = load_task(dataclasses.replace(pets(change), unlabelled=True, max_train=1000))
    known = task.examples["gold_label"].notna()
    sizes = task.examples[known]["split"].value_counts()

    assert set(task.examples.loc[~known, "split"]) == {"train"}
    # five are given to the test split; two more may stand there with a label
    assert 25 <= (~known).sum() <= 27
    assert (sizes["test"], sizes["validation"], sizes["demonstration"]) == (10, 6, 4)
    texts = task.examples.groupby("text")["split"].nunique()
    assert (texts == 1).all()
    assert task.counts["unlabelled"] == (~known).sum()
    assert not any("has no train example" in note for note in task.notes)


def test_a_blank_label_counts_as_missing_in_every_format(pets, tmp_path):
    pets()
    table = pd.DataFrame(
        {"text": [f"letter {i}" for i in range(60)], "label": ["cat", "dog"] * 20 + [" ", ""] * 10}
    )
    table.to_json(tmp_path / "blank.jsonl", orient="records", lines=True)
    table.to_parquet(tmp_path / "blank.parquet")
    for name in ("blank.jsonl", "blank.parquet"):
        task = load_task(
            TaskConfig(task=str(tmp_path / "pets.yaml"), data=str(tmp_path / name), unlabelled=True)
        )
        assert task.counts["unlabelled"] > 0


def test_splits_depend_on_ids_and_seed_but_not_on_the_order_of_rows(pets):
    task = load_task(pets())
    shuffled = load_task(pets(lambda table: table.sample(frac=1, random_state=3)))
    other = load_task(dataclasses.replace(pets(), split_seed=1))

    assert task.content_hash == shuffled.content_hash
    assert task.content_hash != other.content_hash


def test_exact_duplicates_stay_in_one_split_and_have_ids_of_their_own(pets):
    task = load_task(
        pets(
            lambda table: pd.concat([table, table.iloc[:30].assign(text=lambda t: t["text"] + " ")])
        )
    )

    assert (task.examples.groupby(task.examples["text"].str.strip())["split"].nunique() == 1).all()
    assert task.examples["text"].str.strip().duplicated().any()
    assert task.examples["example_id"].is_unique


def test_given_splits_are_used_and_training_rows_with_a_test_text_are_left_out(pets):
    def change(table):
        table["split"] = ["test"] * 20 + ["train"] * 40
        table.loc[25, "text"] = table.loc[3, "text"]
        return table

    task = load_task(pets(change))

    assert set(task.split("test")["text"]) <= {f"letter number {i}" for i in range(20)}
    assert not set(task.split("train")["text"]) & {f"letter number {i}" for i in range(20)}
    assert task.counts["straddling_dropped"] == 1


def test_a_split_column_named_by_the_card_is_used_in_any_spelling(pets):
    config = pets(
        lambda t: t.assign(fold=["Test"] * 20 + ["dev"] * 10 + ["TRAIN"] * 30),
        CARD.replace("label: label}", "label: label, split: fold}"),
    )

    task = load_task(config)

    assert set(task.split("test")["text"]) <= {f"letter number {i}" for i in range(20)}
    assert set(task.split("validation")["text"]) <= {f"letter number {i}" for i in range(20, 30)}


def test_a_file_without_header_gets_the_cards_column_names(tmp_path):
    rows = pd.DataFrame(
        {"label": ["Household", "Books"] * 200, "text": [f"item {i}" for i in range(400)]}
    )
    rows.to_csv(tmp_path / "ecommerceDataset.csv", index=False, header=False)

    task = load_task(TaskConfig(task="ecommerce", data=str(tmp_path / "ecommerceDataset.csv")))

    assert task.counts["read"] == 400
    assert "class 'electronics' has no train example" in task.notes[1]


def test_small_data_shrink_all_splits_by_the_same_factor(pets):
    task = load_task(pets(lambda table: table.iloc[:24]))

    # The card wants 40: test 10 and validation 6 shrink by 24/40, the demonstration pool keeps its
    # 4, and the rest is train.
    assert [
        len(task.split(split)) for split in ("test", "validation", "demonstration", "train")
    ] == [6, 3, 4, 11]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_file_of_any_format_with_its_own_columns_replaces_the_cards_source(tmp_path, suffix):
    table = pd.DataFrame(
        {
            "body": [f"item {i} é" for i in range(80)],
            "kind": ["Books", "Household"] * 40,
            "key": range(80),
        }
    )
    path = tmp_path / f"mine{suffix}"
    {
        ".csv": lambda: table.to_csv(path, index=False),
        ".parquet": lambda: table.to_parquet(path),
        ".jsonl": lambda: table.to_json(path, orient="records", lines=True),
    }[suffix]()
    config = TaskConfig(
        data=str(path), text_column="body", label_column="kind", id_column="key", where="kind=Books"
    )
    with pytest.raises(AssayError, match="at least two classes"):
        load_task(config)

    task = load_task(dataclasses.replace(config, where=""))

    assert set(task.examples["gold_label"]) == {"books", "household"}
    assert set(task.examples["example_id"]) <= {str(i) for i in range(80)}
    assert task.examples["text"].str.contains("é").all()


def test_labels_may_be_indices_into_the_label_set(pets):
    task = load_task(
        pets(lambda table: table.assign(label=table["label"].map({"cat": 0, "dog": 1})))
    )

    assert (
        task.examples["gold_label"].value_counts()["dog"]
        > task.examples["gold_label"].value_counts()["cat"]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.rename(columns={"label": "labell"}),
            r"label_column must be one of .*got 'label'. Did you mean 'labell'\?.*Set label_column",
        ),
        (
            with_value(7, "label", "dgo"),
            r"label in the data must be one of cat, dog; got 'dgo'. Did you mean 'dog'\?.*'values'",
        ),
        (
            with_value(7, "text", "  "),
            r"1 rows have an empty text and 0 a null label, the first in row 8.*bad_rows=drop",
        ),
        (
            with_value(7, "label", None),
            r"0 rows have an empty text and 1 a null label, the first in row 8.*bad_rows=drop",
        ),
        (
            lambda t: t.assign(label=["0", "1"] * 29 + ["2", "2"]),
            "the label column 'label' must hold the names of the classes; it has the numbers 0",
        ),
        (
            lambda t: t.assign(split="fold 1"),
            "column 'split' must name the splits train, validation and test; it holds 'fold 1'",
        ),
        (
            lambda t: t.assign(label="cat"),
            "label must hold at least two classes; found 'cat' in 60 rows",
        ),
        (lambda t: t.iloc[:3], "3 examples are too few: none is left for the"),
    ],
)
def test_bad_rows_are_refused_with_the_value_and_the_way_out(pets, change, message):
    with pytest.raises(AssayError, match=message):
        load_task(pets(change))


def test_bad_rows_can_be_dropped_and_are_counted(pets):
    config = pets(lambda t: with_value(7, "text", " ")(with_value(9, "label", None)(t)))

    task = load_task(dataclasses.replace(config, bad_rows="drop"))

    assert (
        task.counts["read"],
        task.counts["empty_text_dropped"],
        task.counts["null_label_dropped"],
    ) == (60, 1, 1)


def test_duplicate_ids_are_refused(pets):
    config = dataclasses.replace(pets(lambda t: t.assign(key=["a", "b"] * 30)), id_column="key")

    with pytest.raises(
        AssayError, match="id_column 'key' must be unique; it holds 'a' more than once"
    ):
        load_task(config)


def test_a_file_that_is_not_utf8_is_refused_with_the_position_of_the_byte(tmp_path):
    (tmp_path / "latin.csv").write_bytes("text,label\ncaf\xe9,books\n".encode("latin-1"))

    with pytest.raises(AssayError, match="latin.csv must be UTF-8; byte 14, in line 2, is not"):
        load_task(TaskConfig(data=str(tmp_path / "latin.csv")))


def test_unknown_tasks_and_files_are_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(
        AssayError, match=r"task must be one of .*; got 'imbd'. Did you mean 'imdb'\?"
    ):
        load_task(TaskConfig(task="imbd"))
    with pytest.raises(AssayError, match="does not exist"):
        load_task(TaskConfig(data=str(tmp_path / "nothing.csv")))
    with pytest.raises(AssayError, match="must end in .csv, .tsv, .jsonl or .parquet"):
        (tmp_path / "a.xlsx").write_bytes(b"")
        load_task(TaskConfig(data=str(tmp_path / "a.xlsx")))


def test_the_error_for_a_task_without_its_data_names_the_download():
    with pytest.raises(
        AssayError, match=r"download ecommerceDataset.csv from https://doi.org/.* data=PATH"
    ):
        load_task(TaskConfig(task="ecommerce"))


def test_a_hub_task_without_network_fails_in_one_line():
    with pytest.raises(
        AssayError, match=r"data set stanfordnlp/imdb could not be read from the hub .*data=PATH"
    ) as caught:
        load_task(TaskConfig(task="imdb"))
    assert "\n" not in str(caught.value)


def test_numbers_do_not_count_as_indices_if_the_card_maps_values(pets):
    config = pets(
        lambda t: t.assign(label=["1", "5", "0"] * 20), CARD + 'values: {"5": cat, "1": dog}\n'
    )

    with pytest.raises(AssayError, match="label in the data must be one of cat, dog; got '0'"):
        load_task(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("split: {", "defaults: {learning_rate: 0}\nsplit: {"),
            "defaults: learning_rate must be above 0; got 0",
        ),
        (
            ("split: {", "defaults: {label_style: nam}\nsplit: {"),
            "defaults: label_style must be one of integer, letter, name; got 'nam'",
        ),
        (("split: {", "values: [a, b]\nsplit: {"), "'values' must be a mapping"),
        (("label: label}", "label: label, split: fold}"), "columns.split must be one of"),
        (("name: pets\n", ""), "the key 'name' is missing"),
        (
            ("labels: [cat, dog]", "labels: [yes, no]"),
            "must be a list of strings.*Quote words such as yes",
        ),
        (("labels: [cat, dog]", "labels: [cat, cat]"), "2 to 1000 different names"),
        (("labels:", "label:"), "the key 'labels' is missing"),
        (("split:", "splits:"), "a key must be one of .*got 'splits'. Did you mean 'split'"),
        (("pets.csv", "../pets.csv"), "must lie beside the card.*data=FILE"),
        (("train: 20", "train: -1"), "a positive whole number; got -1"),
        (("name: pets", "name: [pets"), "is not valid YAML"),
    ],
)
def test_a_bad_card_is_refused_with_the_key(pets, change, message):
    with pytest.raises(AssayError, match=message):
        load_task(pets(card=CARD.replace(*change)))
