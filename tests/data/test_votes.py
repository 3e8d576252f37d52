"""Human votes that a task card names: their shares, and which votes are refused."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from project.annotation.prompt import build_prompts
from project.config.prompt import PromptConfig
from project.data.tables import GOLD_PROBABILITY, check, class_columns
from project.data.task import load_task
from project.support.errors import AssayError
from tests.helpers.pets import CARD, with_value

# not in the order of the labels
VOTED = CARD + "gold_probabilities: {dog: for_dog, cat: for_cat}\n"


def votes(table):
    """0 to 3 votes for a cat and 1 to 5 for a dog, by the letter's number."""
    return table.assign(
        for_cat=[i % 4 for i in range(len(table))], for_dog=[1 + i % 5 for i in range(len(table))]
    )


def shares(task):
    """The shares of the votes by text, ``(n, 2)``, in the order of the label set."""
    return pd.DataFrame(
        class_columns(task.examples, task.label_set, GOLD_PROBABILITY), index=task.examples["text"]
    )


def test_human_votes_become_shares_in_the_order_of_the_labels(pets):
    task = load_task(pets(votes, VOTED))

    assert list(task.examples.columns) == [
        "example_id",
        "text",
        "gold_label",
        "gold_probability.cat",
        "gold_probability.dog",
        "gold_votes",
        "split",
    ]
    assert list(task.examples["gold_votes"]) == [
        int(text.split()[-1]) % 4 + 1 + int(text.split()[-1]) % 5 for text in task.examples["text"]
    ]
    for text, (cat, dog) in shares(task).iterrows():
        number = int(text.split()[-1])
        assert (cat, dog) == pytest.approx(
            np.array([number % 4, 1 + number % 5]) / (number % 4 + 1 + number % 5), abs=1e-15
        )
    assert list(class_columns(task.split("test"), task.label_set, GOLD_PROBABILITY)[0]) == list(
        shares(task).loc[task.split("test")["text"].iloc[0]]
    )
    assert not any("votes" in note for note in task.notes)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_examples_without_votes_have_null_shares_and_a_note_counts_them(pets, tmp_path, suffix):
    config = pets(card=VOTED.replace("train: 20", "train: 40"))  # all 60 rows
    table = pd.DataFrame(
        {
            "text": [f"letter number {i}" for i in range(60)],
            "label": ["cat", "dog", "dog"] * 20,
            "for_cat": 1.0,
            "for_dog": 3.0,
        }
    )
    table.loc[:3, "for_cat"], table.loc[:3, "for_dog"] = (
        [np.nan, 0, np.nan, np.nan],
        [np.nan, 0, 0, 2],
    )
    path = tmp_path / f"votes{suffix}"
    {
        ".csv": lambda: table.to_csv(path, index=False),
        ".parquet": lambda: table.to_parquet(path),
        ".jsonl": lambda: (
            table.astype(object)
            .where(table.notna(), " ")
            .to_json(path, orient="records", lines=True)
        ),
    }[suffix]()

    task = load_task(dataclasses.replace(config, data=str(path)))

    found = shares(task).loc[list(table["text"])]
    assert found[:3].isna().all(axis=None)
    assert list(found.iloc[3]) == [0, 1]
    assert (found[4:] == [0.25, 0.75]).all(axis=None)
    assert task.notes == ("3 of 60 examples have no human votes; their distribution is null.",)


def test_shares_stay_with_their_texts_for_shuffled_and_for_dropped_rows(
    pets,
):
    task = load_task(pets(votes, VOTED))
    shuffled = load_task(pets(lambda table: votes(table).sample(frac=1, random_state=3), VOTED))
    fewer = load_task(
        dataclasses.replace(
            pets(
                lambda table: with_value(7, "text", " ")(
                    with_value(3, "label", None)(votes(table))
                ),
                VOTED,
            ),
            bad_rows="drop",
        )
    )
    several = load_task(
        dataclasses.replace(
            pets(lambda table: votes(table).assign(who=["a", "b"] * 30), VOTED), where="who=b"
        )
    )

    pd.testing.assert_frame_equal(shuffled.examples, task.examples)
    assert (shuffled.content_hash, shuffled.data_hash) == (task.content_hash, task.data_hash)
    for other in (fewer, several):
        for text, found in shares(other).iterrows():
            number = int(text.split()[-1])
            assert found[0] == (number % 4) / (number % 4 + 1 + number % 5)


def test_votes_change_neither_splits_nor_content_hash_nor_prompts(pets):
    plain = load_task(pets(votes))
    voted = load_task(pets(votes, VOTED))
    other = load_task(pets(lambda table: votes(table).assign(for_cat=7), VOTED))

    pd.testing.assert_frame_equal(voted.examples[list(plain.examples)], plain.examples)
    assert voted.content_hash == other.content_hash == plain.content_hash
    assert voted.data_hash != other.data_hash  # what was read is another file
    prompts = [
        build_prompts(
            PromptConfig(), task.label_set, task.description, task.split("demonstration"), n_draws=2
        )
        for task in (plain, voted)
    ]
    assert prompts[0] == prompts[1]


def test_a_card_without_votes_keeps_its_columns_and_hashes(pets):
    task = load_task(pets())

    assert list(task.examples) == ["example_id", "text", "gold_label", "split"]
    assert task.content_hash == "8a2d019c51e2b0da8119c18410c02705ec64ec87b26305593645b53de512c62c"
    assert task.data_hash == "d5efc4100f97c3b7c58f41e0005655717b27d30c4fd07982b9a574ffd4b1d8ba"


def test_a_users_file_may_lack_all_vote_columns_with_a_note_but_not_some_of_them(pets, tmp_path):
    config = pets(card=VOTED)
    own = dataclasses.replace(config, data=str(tmp_path / "pets.csv"))

    task = load_task(own)
    assert list(task.examples) == ["example_id", "text", "gold_label", "split"]
    assert task.notes[-1] == (
        "the data have none of the columns for_dog, for_cat: how human votes are distributed is "
        "left out."
    )
    with pytest.raises(
        AssayError,
        match=r"gold_probabilities must be one of label, text; got 'for_cat'\."
        ".*in the task card, or leave the key out",
    ):
        load_task(config)
    pets(lambda table: votes(table).rename(columns={"for_dog": "for_dogs"}), VOTED)
    with pytest.raises(
        AssayError,
        match=r"gold_probabilities must be one of .*; got 'for_dog'. Did you mean 'for_dogs'\?"
        ".*of all labels in the task card",
    ):
        load_task(own)


@pytest.mark.parametrize("value", [-1, "many", "nan", "inf", "1,5"])
def test_votes_must_be_numbers_from_zero_up(pets, value):
    def change(table):
        table = votes(table).astype({"for_dog": object})
        table.loc[[11, 20], "for_dog"] = value
        return table

    with pytest.raises(
        AssayError,
        match=f"column 'for_dog' must hold votes, numbers from 0 up; row 12 has '{value}'. "
        "Correct the data, or",
    ):
        load_task(pets(change, VOTED))
    dropped = dataclasses.replace(
        pets(
            lambda table: change(table).assign(
                label=lambda t: t["label"].where(t["for_dog"] != value)
            ),
            VOTED,
        ),
        bad_rows="drop",
    )
    assert (
        load_task(dropped).counts["null_label_dropped"] == 2
    )  # rows that are not used may hold anything


@pytest.mark.parametrize(
    "votes_of",
    [
        "{cat: for_cat}",
        "{cat: for_cat, dgo: for_dog}",
        "{cat: for_cat, dog: for_dog, bird: for_bird}",
        "{cat: for_cat, Dog: for_dog}",
        "{}",
        "{cat: for_cat, dog: for_cat}",
        "{cat: for_cat, dog: 3}",
        "{cat: for_cat, dog: }",
        "{cat: for_cat, dog: ' '}",
    ],
)
def test_a_card_must_name_a_column_of_votes_for_every_label_and_nothing_else(pets, votes_of):
    with pytest.raises(
        AssayError,
        match=r"task card pets.yaml: 'gold_probabilities' must map each of the labels cat, dog, "
        r"and nothing else, .*; got \{",
    ):
        load_task(pets(votes, CARD + f"gold_probabilities: {votes_of}\n"))


@pytest.mark.parametrize("votes_of", ["[for_cat, for_dog]", "for_cat", ""])
def test_votes_of_a_card_must_be_a_mapping(pets, votes_of):
    with pytest.raises(AssayError, match="'gold_probabilities' must be a mapping; got"):
        load_task(pets(votes, CARD + f"gold_probabilities: {votes_of}\n"))


def test_shares_that_do_not_sum_to_one_are_refused(pets):
    examples = load_task(pets(votes, VOTED)).examples

    check(
        "examples",
        with_value(0, "gold_probability.cat", examples["gold_probability.cat"][0] + 1e-7)(
            examples.copy()
        ),
        ("cat", "dog"),
    )
    check(
        "examples",
        with_value(0, ["gold_probability.cat", "gold_probability.dog"], None)(examples.copy()),
        ("cat", "dog"),
    )
    for value in (examples["gold_probability.cat"][0] + 2e-6, None):
        with pytest.raises(
            AssayError, match="the shares of human votes in every row must sum to 1"
        ):
            check(
                "examples",
                with_value(0, "gold_probability.cat", value)(examples.copy()),
                ("cat", "dog"),
            )
    with pytest.raises(AssayError, match="has no column 'gold_probability.dog'"):
        check("examples", examples.drop(columns="gold_probability.dog"), ("cat", "dog"))


def test_a_column_of_votes_must_be_a_single_name(pets):
    with pytest.raises(
        AssayError,
        match=r"task card pets.yaml: 'gold_probabilities.dog' must be one value; got \['dogs'\]\.",
    ):
        load_task(
            pets(
                lambda table: table, f"{CARD}\ngold_probabilities: {{cat: for_cat, dog: [dogs]}}\n"
            )
        )
