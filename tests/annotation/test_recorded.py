"""Recorded labels: a file's columns become draws, what cannot be read is counted and missing."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from project.annotation.annotate import annotate
from project.annotation.cost import Meter
from project.annotation.engines.recorded import RecordedAnnotator
from project.annotation.question import describe_sampling
from project.config.annotation import AnnotateConfig, RecordedConfig, SpendConfig
from project.config.arms import Arm
from project.config.labels import LabelConfig
from project.config.task import TaskConfig
from project.data.tables import class_columns
from project.data.task import load_task
from project.labels.inputs import LabelInputs
from project.labels.sources import label
from project.labels.uncertainty import entropy
from project.support.errors import AssayError
from project.training.evaluate import evaluate

DATA = Path(
    os.environ.get("ASSAY_DATA", "data")
)  # a folder with imdb.parquet: texts, labels and the labels of a real LLM


@pytest.fixture
def recorded(small_task, tmp_path):
    """A function: columns made of the training split -> the file."""

    def write(**columns):
        train = small_task.split("train")
        table = pd.DataFrame({"example_id": train["example_id"], **columns})
        table.to_parquet(tmp_path / "labels.parquet")
        return str(tmp_path / "labels.parquet")

    return write


def draws_of(file, task, folder, columns="", split="train", calibration="none"):
    annotator = RecordedAnnotator(RecordedConfig(recorded=file, recorded_columns=columns), task)
    return [
        draw.table
        for draw in annotate(
            [annotator],
            annotator.prompts(len(annotator.draws)),
            task.split(split),
            task.label_set,
            config=AnnotateConfig(calibration=calibration),
            folder=folder,
            progress=lambda n: None,
            meter=Meter(SpendConfig()),
        )
    ]


def test_each_named_column_is_a_draw(recorded, small_task, tmp_path):
    gold = list(small_task.split("train")["gold_label"])
    file = recorded(llm_a=gold, llm_b=list(reversed(gold)), other=gold)

    made = draws_of(file, small_task, tmp_path, "llm_*")

    assert [list(table["label"]) for table in made] == [gold, list(reversed(gold))]
    assert [set(table["draw"]) for table in made] == [{0}, {1}]
    assert np.isnan(
        class_columns(made[0], small_task.label_set)
    ).all()  # labels say nothing of probabilities, and none are made up


def test_unknown_labels_are_missing_and_count_as_wrong(recorded, small_task, tmp_path):
    train = small_task.split("train")
    given = list(train["gold_label"].str.upper())
    given[0], given[1] = "__unparsed__", None

    (table,) = draws_of(recorded(label=given), small_task, tmp_path)

    assert table["label"].isna().tolist() == [True, True] + [False] * (len(train) - 2)
    assert table["error"][0] == "unparsed: __unparsed__"
    assert table["error"][1] == "missing: a null"
    assert evaluate(table, train, small_task.label_set)["accuracy"] == pytest.approx(
        (len(train) - 2) / len(train)
    )
    labels = label(Arm("llm"), LabelInputs(train, [table], small_task.label_set, LabelConfig()))
    assert list(labels["example_id"]) == list(
        train["example_id"][2:]
    )  # what has no label is no training example


def test_a_missing_answer_counts_as_disagreement_and_gets_a_gold_label(
    recorded, small_task, tmp_path
):
    train = small_task.split("train")
    gold = list(train["gold_label"])
    made = draws_of(recorded(a=[None, *gold[1:]], b=gold), small_task, tmp_path, "a,b")

    labels = label(
        Arm("ensemble", ensemble_size=2),
        LabelInputs(train, made, small_task.label_set, LabelConfig()),
    )

    assert list(labels["label"]) == gold
    assert list(labels["source"]) == ["gold"] + ["llm"] * (len(gold) - 1)


def test_a_group_of_probability_columns_is_a_distribution(recorded, small_task, tmp_path):
    n = len(small_task.split("train"))
    values = np.random.default_rng(0).dirichlet(np.ones(4), size=n)
    values[0] = [0, 0, 1, 0]
    columns = {f"gpt.{name}": values[:, k] for k, name in enumerate(small_task.label_set)}

    (table,) = draws_of(recorded(**columns), small_task, tmp_path, "gpt")
    (calibrated,) = draws_of(recorded(**columns), small_task, tmp_path, "gpt", calibration="batch")

    assert np.exp(class_columns(table, small_task.label_set)) == pytest.approx(values)
    assert list(table["label"]) == [small_task.label_set[k] for k in values.argmax(axis=1)]
    assert entropy(table, small_task.label_set)[0] == 0
    expected = values / values.mean(axis=0)
    assert np.exp(class_columns(calibrated, small_task.label_set)) == pytest.approx(
        expected / expected.sum(axis=1, keepdims=True)
    )


def test_a_pattern_matches_a_group_of_probabilities_as_one_draw(recorded, small_task, tmp_path):
    train, label_set = small_task.split("train"), small_task.label_set
    gold = list(train["gold_label"])
    columns = {f"llm.{name}": (train["gold_label"] == name).astype(float) for name in label_set}

    annotator = RecordedAnnotator(
        RecordedConfig(recorded=recorded(**columns, llm_b=gold), recorded_columns="llm*"),
        small_task,
    )

    assert annotator.draws == ["llm", "llm_b"]


def test_annotations_of_assay_can_be_recorded_labels(recorded, small_task, tmp_path):
    n = len(small_task.split("train"))
    values = np.log(np.random.default_rng(0).dirichlet(np.ones(4), size=n))
    file = recorded(
        **{f"log_probability.{name}": values[:, k] for k, name in enumerate(small_task.label_set)}
    )

    (table,) = draws_of(file, small_task, tmp_path, "log_probability")

    assert class_columns(table, small_task.label_set) == pytest.approx(values)


def test_a_file_without_ids_is_joined_by_text(small_task, tmp_path):
    train = small_task.split("train")
    train[["text"]].assign(label=train["gold_label"]).sample(frac=1, random_state=0).to_csv(
        tmp_path / "labels.csv", index=False
    )

    (table,) = draws_of(str(tmp_path / "labels.csv"), small_task, tmp_path)

    assert list(table["label"]) == list(train["gold_label"])


def test_contradictory_labels_are_missing_and_nulls_are_ignored(small_task, tmp_path):
    one, two = small_task.split("train")["text"][:2]
    rows = [(one, "books"), (one, "household"), (two, "books"), (two, None)]
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(tmp_path / "labels.csv", index=False)

    (table,) = draws_of(str(tmp_path / "labels.csv"), small_task, tmp_path)

    assert table["label"].isna()[:2].tolist() == [True, False]
    assert table["error"][0] == "missing: the file labels it twice and differently"
    assert table["label"][1] == "books"


def test_examples_without_a_row_in_the_file_are_missing(recorded, small_task, tmp_path):
    (table,) = draws_of(
        recorded(label=list(small_task.split("train")["gold_label"])),
        small_task,
        tmp_path,
        split="test",
    )

    assert set(table["error"]) == {"missing: the file has no row for it"}
    with pytest.raises(AssayError, match="the LLM gave no valid label to any of the 24 examples"):
        label(
            Arm("llm"),
            LabelInputs(small_task.split("test"), [table], small_task.label_set, LabelConfig()),
        )


def test_entropy_is_refused_for_labels_without_probabilities(recorded, small_task, tmp_path):
    train = small_task.split("train")
    made = draws_of(recorded(label=list(train["gold_label"])), small_task, tmp_path)

    with pytest.raises(AssayError, match="the ranking entropy needs class probabilities"):
        label(
            Arm("entropy", replace_share=5),
            LabelInputs(train, made, small_task.label_set, LabelConfig()),
        )
    with pytest.raises(AssayError, match="calibration=batch needs the probability of every class"):
        draws_of(
            recorded(label=list(train["gold_label"])), small_task, tmp_path, calibration="batch"
        )


@pytest.mark.parametrize(
    ("file", "columns", "message"),
    [
        ("", "", "annotator=recorded needs a file"),
        ("none.csv", "", "data file none.csv does not exist"),
        (
            "LABELS",
            "lable",
            "recorded_columns must be one of .*; got 'lable'. Did you mean 'label'",
        ),
        ("LABELS", "nothing_*", r"got 'nothing_\*'"),
    ],
)
def test_missing_files_and_columns_are_refused(recorded, small_task, file, columns, message):
    path = recorded(label=list(small_task.split("train")["gold_label"]))

    with pytest.raises(AssayError, match=message):
        RecordedAnnotator(
            RecordedConfig(recorded=file.replace("LABELS", path), recorded_columns=columns),
            small_task,
        )


@pytest.mark.parametrize("columns", ["", "label", "l*"])
def test_the_gold_labels_of_the_task_are_refused_as_labels_of_the_llm(
    pets, tmp_path, monkeypatch, columns
):
    task = load_task(pets(lambda table: table.assign(llm="cat")))
    monkeypatch.chdir(tmp_path)

    with pytest.raises(AssayError) as refused:
        RecordedAnnotator(RecordedConfig(recorded="pets.csv", recorded_columns=columns), task)

    assert str(refused.value) == (
        "recorded_columns must name labels of the LLM; the column 'label' of pets.csv holds the "
        "task's gold labels. Set recorded_columns to the column with the LLM's labels."
    )
    named = RecordedConfig(recorded="pets.csv", recorded_columns="llm")
    assert RecordedAnnotator(named, task).draws == ["llm"]


def test_a_column_of_another_file_may_have_the_name_of_the_gold_column(pets, tmp_path):
    config = pets()
    task = load_task(config)
    copy = tmp_path / "copy.csv"
    copy.write_bytes((tmp_path / "pets.csv").read_bytes())

    assert RecordedAnnotator(RecordedConfig(recorded=str(copy)), task).draws == ["label"]
    with pytest.raises(AssayError, match="holds the task's gold labels"):
        RecordedAnnotator(
            RecordedConfig(recorded=str(copy)),
            load_task(dataclasses.replace(config, data=str(copy))),
        )


def test_invalid_probabilities_are_refused(recorded, small_task, tmp_path):
    n = len(small_task.split("train"))
    for value, message in (
        (-0.1, "must hold probabilities; -0.1 is negative"),
        (0.5, "must sum to 1 in every row; got 2"),
    ):
        file = recorded(**{f"p.{name}": np.full(n, value) for name in small_task.label_set})
        with pytest.raises(AssayError, match=message):
            draws_of(file, small_task, tmp_path, "p")


def test_more_draws_than_columns_are_refused(recorded, small_task):
    annotator = RecordedAnnotator(
        RecordedConfig(recorded=recorded(label=list(small_task.split("train")["gold_label"]))),
        small_task,
    )

    with pytest.raises(
        AssayError, match="ensemble_size must be at most 1, the number of recorded draws"
    ):
        annotator.prompts(5)


@pytest.mark.skipif(
    not (DATA / "imdb.parquet").is_file(),
    reason="no real data here: $ASSAY_DATA names no folder with imdb.parquet",
)
def test_the_labels_of_a_real_llm_have_their_published_agreement_with_gold(tmp_path):
    task = load_task(TaskConfig(task="imdb", data=str(DATA / "imdb.parquet"), max_train=2000))

    (table,) = draws_of(str(DATA / "imdb.parquet"), task, tmp_path, "llm_label__llama-2-70b-chat")

    # the file's provenance: 0.9507 over all 8,000 rows; 2,000 of them here
    assert evaluate(table, task.split("train"), task.label_set)["accuracy"] == pytest.approx(
        0.951, abs=0.015
    )


def recorded_numbers(small_task, tmp_path, order, dtype=np.int64):
    """An annotator whose file holds numbers of the gold labels, counted in this order."""
    train = small_task.split("train")
    numbers = train["gold_label"].map({label: index for index, label in enumerate(order)})
    table = pd.DataFrame({"example_id": train["example_id"], "label": numbers.astype(dtype)})
    table.to_parquet(tmp_path / "numbers.parquet")
    return RecordedAnnotator(RecordedConfig(recorded=str(tmp_path / "numbers.parquet")), small_task)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
def test_numbers_from_0_that_agree_with_the_gold_labels_are_class_indices(
    small_task, tmp_path, dtype
):
    annotator = recorded_numbers(small_task, tmp_path, small_task.label_set, dtype)
    train = small_task.split("train")
    answers = annotator.read(annotator.prompts(1)[0], list(train[annotator.keyed_by]))

    names = np.array(small_task.label_set)[answers.label]
    assert (names == train["gold_label"]).all()


def test_numbers_in_another_order_are_refused_with_the_way_out(small_task, tmp_path):
    with pytest.raises(AssayError, match="in another order. Say what each stands for under"):
        recorded_numbers(small_task, tmp_path, small_task.label_set[::-1])
    with pytest.raises(AssayError, match="has the numbers 1, 2, 3, 4"):
        recorded_numbers(small_task, tmp_path, ["", *small_task.label_set])


def test_a_list_of_one_label_is_its_item_and_a_longer_one_no_label(small_task, tmp_path):
    train = small_task.split("train").head(2)
    rows = [[label] for label in train["gold_label"]]
    rows[1] = [*rows[1], "books"]
    table = pd.DataFrame({"example_id": train["example_id"], "label": rows})
    table.to_json(tmp_path / "lists.jsonl", orient="records", lines=True)
    config = RecordedConfig(recorded=str(tmp_path / "lists.jsonl"))
    annotator = RecordedAnnotator(config, small_task)
    answers = annotator.read(annotator.prompts(1)[0], list(train[annotator.keyed_by]))

    assert small_task.label_set[answers.label[0]] == train["gold_label"].iloc[0]
    assert answers.label[1] == -1


def test_recorded_replies_in_words_are_read_and_unread_ones_are_shown(
    recorded, small_task, tmp_path
):
    train = small_task.split("train")
    gold = list(train["gold_label"])
    given = [f"Label: {name.title()}." for name in gold]
    given[0] = f'{{"label": "{gold[0]}"}}'
    given[1] = "books: 0.2,\nhousehold: 0.7"

    (table,) = draws_of(recorded(label=given), small_task, tmp_path)

    assert table["label"].isna().tolist() == [False, True] + [False] * (len(gold) - 2)
    assert table["label"].drop(1).tolist() == [gold[0], *gold[2:]]
    assert table["error"][1] == "unparsed: books: 0.2, household: 0.7"


def test_an_object_in_a_cell_is_read_as_json(small_task, tmp_path):
    train = small_task.split("train").head(2)
    gold = list(train["gold_label"])
    rows = [{"label": gold[0]}, {"books": 0.3, "household": 0.7}]
    table = pd.DataFrame({"example_id": train["example_id"], "label": rows})
    table.to_json(tmp_path / "objects.jsonl", orient="records", lines=True)
    config = RecordedConfig(recorded=str(tmp_path / "objects.jsonl"))
    annotator = RecordedAnnotator(config, small_task)
    answers = annotator.read(annotator.prompts(1)[0], list(train[annotator.keyed_by]))

    assert answers.label.tolist() == [small_task.label_set.index(gold[0]), -1]


def test_labels_of_another_version_of_the_reader_are_not_taken(recorded, small_task, monkeypatch):
    file = recorded(label=list(small_task.split("train")["gold_label"]))
    config = RecordedConfig(recorded=file)
    before = RecordedAnnotator(config, small_task).identity
    sampled = describe_sampling(AnnotateConfig(repeats=3))
    for module in ("engines.recorded", "question"):
        monkeypatch.setattr(f"project.annotation.{module}.REPLY_READING", 99)

    assert RecordedAnnotator(config, small_task).identity != before
    assert describe_sampling(AnnotateConfig(repeats=3)) != sampled
