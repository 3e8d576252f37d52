"""The embedded task has enough varied listings, slight imbalance and no near-duplicates."""

import re

import pandas as pd
import pytest

from project.config.task import TaskConfig
from project.data.card import CARDS
from project.data.task import load_task


@pytest.fixture(scope="module")
def listings():
    return pd.read_csv(CARDS / "catalogue.csv", keep_default_na=False)


def five_grams(text):
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def near_duplicates(texts, bound):
    """Pairs of texts whose word 5-grams have a Jaccard similarity over ``bound``.

    Only pairs that share a 5-gram are compared.
    """
    grams = [five_grams(text) for text in texts]
    texts_with: dict[tuple[str, ...], list[int]] = {}
    for index, text_grams in enumerate(grams):
        for gram in text_grams:
            texts_with.setdefault(gram, []).append(index)
    pairs = {(i, j) for indices in texts_with.values() for i in indices for j in indices if i < j}
    return [
        (texts[i], texts[j])
        for i, j in pairs
        if len(grams[i] & grams[j]) / len(grams[i] | grams[j]) > bound
    ]


def test_there_are_at_least_900_distinct_listings_of_8_to_60_words(listings):
    words = listings["text"].str.split().str.len()

    assert listings["text"].nunique() == len(listings) >= 900
    assert words.between(8, 60).all()
    assert listings["listing_id"].is_unique


def test_classes_are_slightly_imbalanced_and_about_one_in_eight_listings_is_hard(listings):
    shares = listings["label"].value_counts(normalize=True)

    assert len(shares) == 4
    assert 1.2 < shares.max() / shares.min() < 2
    assert listings["hard"].mean() == pytest.approx(1 / 8, abs=0.02)
    assert (listings.groupby("label")["hard"].mean() > 0.1).all()


def test_there_are_several_styles_and_none_makes_up_a_quarter(listings):
    assert listings["style"].nunique() >= 6
    assert listings["style"].value_counts(normalize=True).max() < 0.25


def test_no_two_listings_are_near_duplicates(listings):
    assert near_duplicates(list(listings["text"]), 0.5) == []


def test_the_search_for_near_duplicates_finds_a_planted_one(listings):
    text = listings["text"].iloc[0]

    assert near_duplicates([text, text + " today"], 0.5) == [(text, text + " today")]


def test_no_text_stands_in_two_splits_and_no_near_copy_in_the_task():
    task = load_task(TaskConfig())
    splits = task.examples.groupby(task.examples["text"].str.strip().str.casefold())[
        "split"
    ].nunique()

    assert (splits == 1).all()
    assert near_duplicates(list(task.examples["text"]), 0.2) == []
