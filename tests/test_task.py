"""Task cards and their data: what is read, how it is split, what is refused and how."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from project.card import CARDS, load_card
from project.config import PromptConfig, TaskConfig
from project.errors import AssayError
from project.prompt import build_prompts
from project.tables import GOLD_PROBABILITY, check, class_columns
from project.task import load_task

CARD = """\
name: pets
source: {file: pets.csv}
columns: {text: text, label: label}
description: You sort letters about pets.
labels: [cat, dog]
split: {demonstration: 4, train: 20, validation: 6, test: 10}
"""
VOTED = CARD + "gold_probabilities: {dog: for_dog, cat: for_cat}\n"  # not in the order of the labels


@pytest.fixture
def pets(tmp_path):
    """A card with a file of 60 rows beside it; call it with changes to the rows."""

    def write(change=lambda table: table, card=CARD):
        table = pd.DataFrame({"text": [f"letter number {i}" for i in range(60)], "label": ["cat", "dog", "dog"] * 20})
        change(table).to_csv(tmp_path / "pets.csv", index=False)
        (tmp_path / "pets.yaml").write_text(card)
        return TaskConfig(task=str(tmp_path / "pets.yaml"))

    return write


def with_value(row, column, value):
    def change(table):
        table.loc[row, column] = value
        return table

    return change


def votes(table):
    """0 to 3 votes for a cat and 1 to 5 for a dog, by the letter's number."""
    return table.assign(for_cat=[i % 4 for i in range(len(table))], for_dog=[1 + i % 5 for i in range(len(table))])


def shares(task):
    """The shares of the votes by text, ``(n, 2)``, in the order of the label set."""
    return pd.DataFrame(class_columns(task.examples, task.label_set, GOLD_PROBABILITY), index=task.examples["text"])


def test_defaults_of_a_card_are_numbers_even_where_yaml_reads_text(pets):
    config = pets(card=CARD + "defaults: {learning_rate: 1e-4}\n")

    assert load_task(config).defaults == {"learning_rate": 1e-4}


def test_every_card_of_the_project_is_valid_and_has_the_papers_classes():
    cards = {path.stem: load_card(path.stem) for path in CARDS.glob("*.yaml")}

    assert cards.keys() == {"catalogue", "ecommerce", "imdb", "manifestos", "toxic"}
    assert cards["imdb"].labels == ("negative", "positive")
    assert cards["manifestos"].labels == ("present", "future", "past")
    assert cards["toxic"].labels == ("hate speech", "offensive language", "neither")
    assert cards["ecommerce"].labels == ("books", "clothing & accessories", "electronics", "household")
    assert all(card.licence and card.citation for card in cards.values())
    assert all(cards[name].sizes["train"] == 5000 and cards[name].sizes["test"] <= 2000 for name in cards.keys() - {"catalogue"})


def test_splits_are_stratified_sized_and_disjoint(pets):
    task = load_task(pets())

    assert {split: len(task.split(split)) for split in ("demonstration", "train", "validation", "test")} == {
        "demonstration": 4, "train": 20, "validation": 6, "test": 10,
    }  # fmt: skip
    assert task.examples["example_id"].is_unique
    assert (task.split("train")["gold_label"] == "dog").mean() == pytest.approx(2 / 3, abs=0.05)


def test_unlabelled_texts_are_training_texts_alone_and_leave_the_labelled_ones_to_the_other_splits(pets):
    def change(table):
        more = pd.DataFrame({"text": [f"nobody read {i}" for i in range(30)] + ["letter number 0", "letter number 1"], "label": None})
        return pd.concat([table, more.assign(split=["test"] * 5 + [""] * 27)], ignore_index=True)

    task = load_task(dataclasses.replace(pets(change), unlabelled=True, max_train=1000))
    known = task.examples["gold_label"].notna()
    sizes = task.examples[known]["split"].value_counts()

    assert set(task.examples.loc[~known, "split"]) == {"train"}
    assert 25 <= (~known).sum() <= 27  # five were given to the test split, two may stand there with a label
    assert (sizes["test"], sizes["validation"], sizes["demonstration"]) == (10, 6, 4)
    texts = task.examples.groupby("text")["split"].nunique()
    assert (texts == 1).all()
    assert task.counts["unlabelled"] == (~known).sum()
    assert not any("has no train example" in note for note in task.notes)


def test_a_blank_label_is_none_in_any_format(pets, tmp_path):
    pets()
    table = pd.DataFrame({"text": [f"letter {i}" for i in range(60)], "label": ["cat", "dog"] * 20 + [" ", ""] * 10})
    table.to_json(tmp_path / "blank.jsonl", orient="records", lines=True)
    table.to_parquet(tmp_path / "blank.parquet")
    for name in ("blank.jsonl", "blank.parquet"):
        task = load_task(TaskConfig(task=str(tmp_path / "pets.yaml"), data=str(tmp_path / name), unlabelled=True))
        assert task.counts["unlabelled"] > 0


def test_a_split_depends_on_ids_and_seed_alone_not_on_the_order_of_rows(pets):
    one = load_task(pets())
    shuffled = load_task(pets(lambda table: table.sample(frac=1, random_state=3)))
    other = load_task(dataclasses.replace(pets(), split_seed=1))

    assert one.content_hash == shuffled.content_hash
    assert one.content_hash != other.content_hash


def test_exact_duplicates_never_straddle_splits_and_keep_their_own_ids(pets):
    task = load_task(pets(lambda table: pd.concat([table, table.iloc[:30].assign(text=lambda t: t["text"] + " ")])))

    assert (task.examples.groupby(task.examples["text"].str.strip())["split"].nunique() == 1).all()
    assert task.examples["text"].str.strip().duplicated().any()
    assert task.examples["example_id"].is_unique


def test_given_splits_are_kept_and_training_rows_that_occur_in_test_are_left_out(pets):
    def change(table):
        table["split"] = ["test"] * 20 + ["train"] * 40
        table.loc[25, "text"] = table.loc[3, "text"]
        return table

    task = load_task(pets(change))

    assert set(task.split("test")["text"]) <= {f"letter number {i}" for i in range(20)}
    assert not set(task.split("train")["text"]) & {f"letter number {i}" for i in range(20)}
    assert task.counts["straddling_dropped"] == 1


def test_a_split_column_named_by_the_card_is_used_in_any_spelling(pets):
    config = pets(lambda t: t.assign(fold=["Test"] * 20 + ["dev"] * 10 + ["TRAIN"] * 30), CARD.replace("label: label}", "label: label, split: fold}"))

    task = load_task(config)

    assert set(task.split("test")["text"]) <= {f"letter number {i}" for i in range(20)}
    assert set(task.split("validation")["text"]) <= {f"letter number {i}" for i in range(20, 30)}


def test_a_file_without_header_is_read_as_the_card_says(tmp_path):
    rows = pd.DataFrame({"label": ["Household", "Books"] * 200, "text": [f"item {i}" for i in range(400)]})
    rows.to_csv(tmp_path / "ecommerceDataset.csv", index=False, header=False)

    task = load_task(TaskConfig(task="ecommerce", data=str(tmp_path / "ecommerceDataset.csv")))

    assert task.counts["read"] == 400
    assert "class 'electronics' has no train example" in task.notes[1]


def test_small_data_shrink_all_splits_alike(pets):
    task = load_task(pets(lambda table: table.iloc[:24]))

    # 40 were asked for: test 10 and validation 6 shrink by 24/40; the demonstration pool stays at its 4; the rest is train
    assert [len(task.split(split)) for split in ("test", "validation", "demonstration", "train")] == [6, 3, 4, 11]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_data_of_any_kind_with_its_own_column_names_replaces_the_cards_source(tmp_path, suffix):
    table = pd.DataFrame({"body": [f"item {i} é" for i in range(80)], "kind": ["Books", "Household"] * 40, "key": range(80)})
    path = tmp_path / f"mine{suffix}"
    {
        ".csv": lambda: table.to_csv(path, index=False), ".parquet": lambda: table.to_parquet(path),
        ".jsonl": lambda: table.to_json(path, orient="records", lines=True),
    }[suffix]()  # fmt: skip
    config = TaskConfig(data=str(path), text_column="body", label_column="kind", id_column="key", where="kind=Books")
    with pytest.raises(AssayError, match="at least two classes"):
        load_task(config)

    task = load_task(dataclasses.replace(config, where=""))

    assert set(task.examples["gold_label"]) == {"books", "household"}
    assert set(task.examples["example_id"]) <= {str(i) for i in range(80)}
    assert task.examples["text"].str.contains("é").all()


def test_labels_may_be_indices_into_the_label_set(pets):
    task = load_task(pets(lambda table: table.assign(label=table["label"].map({"cat": 0, "dog": 1}))))

    assert task.examples["gold_label"].value_counts()["dog"] > task.examples["gold_label"].value_counts()["cat"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.rename(columns={"label": "labell"}), r"label_column must be one of .*got 'label'. Did you mean 'labell'\?.*-P label_column"),
        (with_value(7, "label", "dgo"), r"label in the data must be one of cat, dog; got 'dgo'. Did you mean 'dog'\?.*'values'"),
        (with_value(7, "text", "  "), r"1 rows have an empty text and 0 a null label, the first in row 8.*bad_rows=drop"),
        (with_value(7, "label", None), r"0 rows have an empty text and 1 a null label, the first in row 8.*bad_rows=drop"),
        (lambda t: t.assign(label=["0", "1"] * 29 + ["2", "2"]), "label in the data must be one of cat, dog; got '2'"),
        (lambda t: t.assign(split="fold 1"), "column 'split' must name the splits train, validation and test; it holds 'fold 1'"),
        (lambda t: t.assign(label="cat"), "label must hold at least two classes; found 'cat' in 60 rows"),
        (lambda t: t.iloc[:3], "3 examples are too few: none is left for the"),
    ],
)
def test_bad_rows_are_refused_with_name_value_and_way_out(pets, change, message):
    with pytest.raises(AssayError, match=message):
        load_task(pets(change))


def test_bad_rows_can_be_dropped_and_are_counted(pets):
    config = pets(lambda t: with_value(7, "text", " ")(with_value(9, "label", None)(t)))

    task = load_task(dataclasses.replace(config, bad_rows="drop"))

    assert (task.counts["read"], task.counts["empty_text_dropped"], task.counts["null_label_dropped"]) == (60, 1, 1)


def test_duplicate_ids_are_refused(pets):
    config = dataclasses.replace(pets(lambda t: t.assign(key=["a", "b"] * 30)), id_column="key")

    with pytest.raises(AssayError, match="id_column 'key' must be unique; it holds 'a' more than once"):
        load_task(config)


def test_a_file_that_is_not_utf8_is_refused_with_the_byte(tmp_path):
    (tmp_path / "latin.csv").write_bytes("text,label\ncaf\xe9,books\n".encode("latin-1"))

    with pytest.raises(AssayError, match="latin.csv must be UTF-8; byte 14 is not"):
        load_task(TaskConfig(data=str(tmp_path / "latin.csv")))


def test_unknown_tasks_and_files_are_named_with_the_nearest_and_the_way_out(tmp_path):
    with pytest.raises(AssayError, match=r"task must be one of .*; got 'imbd'. Did you mean 'imdb'\?"):
        load_task(TaskConfig(task="imbd"))
    with pytest.raises(AssayError, match="does not exist"):
        load_task(TaskConfig(data=str(tmp_path / "nothing.csv")))
    with pytest.raises(AssayError, match="must end in .csv, .jsonl or .parquet"):
        (tmp_path / "a.xlsx").write_bytes(b"")
        load_task(TaskConfig(data=str(tmp_path / "a.xlsx")))


def test_a_task_that_cannot_be_fetched_says_where_its_data_are():
    with pytest.raises(AssayError, match=r"download ecommerceDataset.csv from https://doi.org/.* -P data=PATH"):
        load_task(TaskConfig(task="ecommerce"))


def test_a_hub_task_without_network_fails_in_one_line():
    with pytest.raises(AssayError, match=r"data set stanfordnlp/imdb could not be read from the hub .*-P data=PATH") as caught:
        load_task(TaskConfig(task="imdb"))
    assert "\n" not in str(caught.value)


def test_numbers_are_no_indices_where_the_card_maps_values(pets):
    config = pets(lambda t: t.assign(label=["1", "5", "0"] * 20), CARD + 'values: {"5": cat, "1": dog}\n')

    with pytest.raises(AssayError, match="label in the data must be one of cat, dog; got '0'"):
        load_task(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("split: {", "defaults: {learning_rate: 0}\nsplit: {"), "defaults: learning_rate must be above 0; got 0"),
        (("split: {", "defaults: {label_style: nam}\nsplit: {"), "defaults: label_style must be one of integer, letter, name; got 'nam'"),
        (("split: {", "values: [a, b]\nsplit: {"), "'values' must be a mapping"),
        (("label: label}", "label: label, split: fold}"), "columns.split must be one of"),
        (("name: pets\n", ""), "the key 'name' is missing"),
        (("labels: [cat, dog]", "labels: [yes, no]"), "must be a list of strings.*Quote words such as yes"),
        (("labels: [cat, dog]", "labels: [cat, cat]"), "two different names"),
        (("labels:", "label:"), "the key 'labels' is missing"),
        (("split:", "splits:"), "a key must be one of .*got 'splits'. Did you mean 'split'"),
        (("pets.csv", "../pets.csv"), "must lie beside the card"),
        (("train: 20", "train: -1"), "positive whole numbers"),
        (("name: pets", "name: [pets"), "is not valid YAML"),
    ],
)
def test_a_bad_card_is_refused_with_the_key(pets, change, message):
    with pytest.raises(AssayError, match=message):
        load_task(pets(card=CARD.replace(*change)))


def test_human_votes_become_shares_in_the_order_of_the_labels(pets):
    task = load_task(pets(votes, VOTED))

    assert list(task.examples.columns) == ["example_id", "text", "gold_label", "gold_probability.cat", "gold_probability.dog", "split"]
    for text, (cat, dog) in shares(task).iterrows():
        number = int(text.split()[-1])
        assert (cat, dog) == pytest.approx(np.array([number % 4, 1 + number % 5]) / (number % 4 + 1 + number % 5), abs=1e-15)
    assert list(class_columns(task.split("test"), task.label_set, GOLD_PROBABILITY)[0]) == list(shares(task).loc[task.split("test")["text"].iloc[0]])
    assert not any("votes" in note for note in task.notes)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_examples_that_nobody_voted_on_have_null_shares_and_are_counted_and_a_null_vote_is_none(pets, tmp_path, suffix):
    config = pets(card=VOTED.replace("train: 20", "train: 40"))  # all 60 rows
    table = pd.DataFrame({"text": [f"letter number {i}" for i in range(60)], "label": ["cat", "dog", "dog"] * 20, "for_cat": 1.0, "for_dog": 3.0})
    table.loc[:3, "for_cat"], table.loc[:3, "for_dog"] = [np.nan, 0, np.nan, np.nan], [np.nan, 0, 0, 2]
    path = tmp_path / f"votes{suffix}"
    {
        ".csv": lambda: table.to_csv(path, index=False), ".parquet": lambda: table.to_parquet(path),
        ".jsonl": lambda: table.astype(object).where(table.notna(), " ").to_json(path, orient="records", lines=True),
    }[suffix]()  # fmt: skip

    task = load_task(dataclasses.replace(config, data=str(path)))

    found = shares(task).loc[list(table["text"])]
    assert found[:3].isna().all(axis=None)
    assert list(found.iloc[3]) == [0, 1]
    assert (found[4:] == [0.25, 0.75]).all(axis=None)
    assert task.notes == ("3 of 60 examples have no human votes; their distribution is null.",)


def test_shares_of_votes_stay_with_their_texts_in_any_order_of_rows_and_where_rows_are_dropped(pets):
    one = load_task(pets(votes, VOTED))
    shuffled = load_task(pets(lambda table: votes(table).sample(frac=1, random_state=3), VOTED))
    fewer = load_task(
        dataclasses.replace(pets(lambda table: with_value(7, "text", " ")(with_value(3, "label", None)(votes(table))), VOTED), bad_rows="drop")
    )
    several = load_task(dataclasses.replace(pets(lambda table: votes(table).assign(who=["a", "b"] * 30), VOTED), where="who=b"))

    pd.testing.assert_frame_equal(shuffled.examples, one.examples)
    assert (shuffled.content_hash, shuffled.data_hash) == (one.content_hash, one.data_hash)
    for other in (fewer, several):
        for text, found in shares(other).iterrows():
            number = int(text.split()[-1])
            assert found[0] == (number % 4) / (number % 4 + 1 + number % 5)


def test_votes_change_neither_the_splits_nor_what_names_the_examples_nor_the_prompts(pets):
    plain = load_task(pets(votes))
    voted = load_task(pets(votes, VOTED))
    other = load_task(pets(lambda table: votes(table).assign(for_cat=7), VOTED))

    pd.testing.assert_frame_equal(voted.examples[list(plain.examples)], plain.examples)
    assert voted.content_hash == other.content_hash == plain.content_hash
    assert voted.data_hash != other.data_hash  # what was read is another file
    prompts = [build_prompts(PromptConfig(), task.label_set, task.description, task.split("demonstration"), 2) for task in (plain, voted)]
    assert prompts[0] == prompts[1]


def test_a_card_without_votes_gives_the_columns_and_hashes_it_always_gave(pets):
    task = load_task(pets())

    assert list(task.examples) == ["example_id", "text", "gold_label", "split"]
    assert task.content_hash == "8a2d019c51e2b0da8119c18410c02705ec64ec87b26305593645b53de512c62c"
    assert task.data_hash == "d5efc4100f97c3b7c58f41e0005655717b27d30c4fd07982b9a574ffd4b1d8ba"


def test_a_file_of_ones_own_may_lack_all_vote_columns_which_is_said_but_not_some_of_them(pets, tmp_path):
    config = pets(card=VOTED)
    own = dataclasses.replace(config, data=str(tmp_path / "pets.csv"))

    task = load_task(own)
    assert list(task.examples) == ["example_id", "text", "gold_label", "split"]
    assert task.notes[-1] == "the data have none of the columns for_dog, for_cat: how human votes are distributed is left out."
    with pytest.raises(AssayError, match=r"gold_probabilities must be one of label, text; got 'for_cat'\..*in the task card, or leave the key out"):
        load_task(config)
    pets(lambda table: votes(table).rename(columns={"for_dog": "for_dogs"}), VOTED)
    with pytest.raises(
        AssayError, match=r"gold_probabilities must be one of .*; got 'for_dog'. Did you mean 'for_dogs'\?.*of all labels in the task card"
    ):
        load_task(own)


@pytest.mark.parametrize("value", [-1, "many", "nan", "inf", "1,5"])
def test_votes_that_are_no_numbers_from_zero_up_are_refused_with_row_and_column(pets, value):
    def change(table):
        table = votes(table).astype({"for_dog": object})
        table.loc[[11, 20], "for_dog"] = value
        return table

    with pytest.raises(AssayError, match=f"column 'for_dog' must hold votes, numbers from 0 up; row 12 has '{value}'. Mend the data, or"):
        load_task(pets(change, VOTED))
    dropped = dataclasses.replace(
        pets(lambda table: change(table).assign(label=lambda t: t["label"].where(t["for_dog"] != value)), VOTED), bad_rows="drop"
    )
    assert load_task(dropped).counts["null_label_dropped"] == 2  # rows that are not used may hold anything


@pytest.mark.parametrize(
    "votes_of",
    [
        "{cat: for_cat}", "{cat: for_cat, dgo: for_dog}", "{cat: for_cat, dog: for_dog, bird: for_bird}", "{cat: for_cat, Dog: for_dog}", "{}",
        "{cat: for_cat, dog: for_cat}", "{cat: for_cat, dog: 3}", "{cat: for_cat, dog: }", "{cat: for_cat, dog: ' '}", "{cat: for_cat, dog: [dogs]}",
    ],
)  # fmt: skip
def test_a_card_must_name_a_column_of_votes_for_every_label_and_nothing_else(pets, votes_of):
    with pytest.raises(
        AssayError, match=r"task card pets.yaml: 'gold_probabilities' must map each of the labels cat, dog, and nothing else, .*; got \{"
    ):
        load_task(pets(votes, CARD + f"gold_probabilities: {votes_of}\n"))


@pytest.mark.parametrize("votes_of", ["[for_cat, for_dog]", "for_cat", ""])
def test_votes_of_a_card_must_be_a_mapping(pets, votes_of):
    with pytest.raises(AssayError, match="'gold_probabilities' must be a mapping; got"):
        load_task(pets(votes, CARD + f"gold_probabilities: {votes_of}\n"))


def test_shares_of_votes_that_do_not_sum_to_one_are_no_examples_table(pets):
    examples = load_task(pets(votes, VOTED)).examples

    check("examples", with_value(0, "gold_probability.cat", examples["gold_probability.cat"][0] + 1e-7)(examples.copy()), ("cat", "dog"))
    check("examples", with_value(0, ["gold_probability.cat", "gold_probability.dog"], None)(examples.copy()), ("cat", "dog"))
    for value in (examples["gold_probability.cat"][0] + 2e-6, None):
        with pytest.raises(AssayError, match="the shares of human votes in every row must sum to 1"):
            check("examples", with_value(0, "gold_probability.cat", value)(examples.copy()), ("cat", "dog"))
    with pytest.raises(AssayError, match="has no column 'gold_probability.dog'"):
        check("examples", examples.drop(columns="gold_probability.dog"), ("cat", "dog"))
