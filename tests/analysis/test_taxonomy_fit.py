"""How the labels of a taxonomy fit: numbers where the LLM gave not every text a probability."""

import numpy as np
import pandas as pd
import pytest

from analysis.questions.taxonomy_fit import fit_of, labels_section
from analysis.questions.taxonomy_report import sections
from analysis.store.taxonomies import StoredTaxonomy
from project.tracking import Record

LABELS = ["A", "A", "A", "B", "Other", None]
PROBABILITIES = np.array(
    [
        [0.5, 0.4, 0.1],
        [0.9, 0.05, 0.05],
        [np.nan] * 3,
        [0.1, 0.8, 0.1],
        [0.1, 0.3, 0.6],
        [np.nan] * 3,
    ]
)


def stored(labels, probabilities, **params):
    columns = {f"llm.{name}": probabilities[:, i] for i, name in enumerate(("A", "B", "Other"))}
    texts = [f"text {number}" for number in range(len(labels))]
    table = pd.DataFrame({"example_id": texts, "text": texts, "label": labels, **columns})
    facts = {
        "use_case": "sort",
        "labels": [["A", "a"], ["B", "b"]],
        "other": "Other",
        "data": "texts.csv",
        "n_texts": len(labels),
        "n_without_label": 1,
        "drafts": [],
        "edit": None,
    }
    root = Record(
        "r",
        "run",
        "FINISHED",
        {"workspace": "work", **params},
        metrics={},
        tags={},
        experiment_id="1",
        started=0,
        artifact_uri="",
    )
    return StoredTaxonomy(root, facts, table, None)


def test_shares_are_those_of_the_texts_whose_probabilities_are_known():
    taxonomy = stored(LABELS, PROBABILITIES)
    fit = fit_of(taxonomy)
    (table,) = labels_section(taxonomy, fit, None).tables

    assert fit.counts.tolist() == [3, 1, 1]
    assert fit.coverage == pytest.approx(4 / 5)
    assert fit.overlap == pytest.approx(2 / 4)
    assert table.frame["two_fit"].tolist() == [0.5, 0.0, 1.0]


@pytest.mark.parametrize(
    ("first", "column"),
    [
        ([0.5, 0.4, 0.1], "llm"),
        ([0.45, 0.45, 0.1], "label"),  # recorded labels have no winner in a tie
        ([0.4, 0.5, 0.1], "label"),  # nor is this the label of the text
        ([np.nan] * 3, "label"),
    ],
)
def test_the_next_command_reads_probabilities_where_they_give_every_text_its_label(first, column):
    taxonomy = stored(["A", "B"], np.array([first, [0.1, 0.8, 0.1]]))
    parts = {part.name: part for part in sections(taxonomy, fit_of(taxonomy), None)}
    commands = parts["taxonomy_next"].tables[0].frame["command"]

    assert all(f"recorded_columns={column} " in command for command in commands[1:])


def test_the_next_commands_are_about_the_same_texts_and_as_private():
    given = {
        "private": "true",
        "duplicates": "keep_one",
        "annotator": "openai",
        "annotator_model": "big",
        "price_output": "2",
        "use_case": "sort",
        "taxonomies": "5",
    }
    taxonomy = stored(["A", "B"], np.array([[0.5, 0.4, 0.1], [0.1, 0.8, 0.1]]), **given)
    parts = {part.name: part for part in sections(taxonomy, fit_of(taxonomy), None)}
    commands = parts["taxonomy_next"].tables[0].frame["command"]

    assert all("private=true" in command for command in commands)
    assert all("duplicates=keep_one" in command for command in commands)
    assert "annotator_model=big" in commands[0]
    assert "price_output=2" in commands[0]
    assert "use_case" not in commands[0]
    assert "taxonomies=" not in commands[0]
