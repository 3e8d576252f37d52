"""The arm flip: how many gold labels are flipped, which, to what, and where it is refused."""

import numpy as np
import pandas as pd
import pytest

from entrypoints import budget, main, sweep
from entrypoints.wiring.conditions import SplitAnnotations, make_condition
from project.config.arms import Arm
from project.config.experiment import ExperimentConfig
from project.config.finetune import FinetuneConfig
from project.config.labels import LabelConfig
from project.data.card import CARDS
from project.data.tables import class_columns
from project.labels.inputs import LabelInputs
from project.labels.selection import select
from project.labels.sources import label
from project.support.errors import AssayError
from project.tracking import children, latest_root, read_table

LABELS = ("a", "b", "c")
N = 200


@pytest.fixture(scope="module")
def examples():
    gold = np.array(LABELS)[np.random.default_rng(0).integers(0, 3, N)]
    return pd.DataFrame(
        {
            "example_id": [f"e{k}" for k in range(N)],
            "text": "t",
            "gold_label": gold,
            "split": "train",
        }
    )


def flipped(examples, rate, human=None, **settings):
    """The labels table of the arm flip by ``example_id``, with the gold label beside it."""
    table = label(
        Arm("flip", flip_rate=rate),
        LabelInputs(examples, [], LABELS, LabelConfig(**settings), human=human),
    )
    return table.assign(
        gold=table["example_id"].map(examples.set_index("example_id")["gold_label"])
    ).set_index("example_id")


@pytest.mark.parametrize(
    ("rate", "n"), [(0.0, 0), (0.2, 0), (0.25, 1), (10.0, 20), (33.3, 67), (100.0, 200)]
)  # 0.4, 0.5 and 66.6 labels
def test_exactly_the_rate_is_flipped_rounded_half_up_and_never_to_the_gold_class(examples, rate, n):
    table = flipped(examples, rate)

    assert len(table) == N
    assert set(table["label"]) <= set(LABELS)
    assert (table["label"] != table["gold"]).sum() == n
    assert ((table["reason"] == "flipped") == (table["label"] != table["gold"])).all()
    assert set(table["reason"]) <= {"flipped", "gold"}
    assert set(table["source"]) == {"gold"}
    assert (table[["weight", "inclusion_probability"]] == 1).all(axis=None)
    assert np.isnan(class_columns(table, LABELS, "probability.")).all()


def test_a_larger_rate_flips_the_same_labels_to_the_same_classes_and_more(examples):
    few, more = flipped(examples, 10.0), flipped(examples, 20.0)
    rows = few["reason"] == "flipped"

    assert (more.loc[rows, "reason"] == "flipped").all()
    assert (more.loc[rows, "label"] == few.loc[rows, "label"]).all()


def test_all_pairs_of_classes_are_flipped_equally_often():
    names, n = np.array(["a", "b", "c", "d"]), 20_000
    gold = names[np.arange(n) % 4]
    examples = pd.DataFrame(
        {
            "example_id": [f"e{k}" for k in range(n)],
            "text": "t",
            "gold_label": gold,
            "split": "train",
        }
    )
    table = label(
        Arm("flip", flip_rate=30.0), LabelInputs(examples, [], tuple(names), LabelConfig())
    )

    rows = (table["label"] != gold).to_numpy()
    counts = pd.crosstab(gold[rows], table["label"].to_numpy()[rows]).to_numpy()
    pairs = counts[~np.eye(4, dtype=bool)]  # 12 pairs of 500 each
    assert counts.diagonal().sum() == 0
    assert (
        (pairs - 500) ** 2 / 500
    ).sum() < 31.3  # the 99.9 % point of chi-square with 11 degrees of freedom


def test_flips_depend_on_ids_and_tie_seed_alone_and_not_on_the_random_choice_for_humans(
    examples,
):
    table = flipped(examples, 20.0)

    again = flipped(examples.sample(frac=1, random_state=0).reset_index(drop=True), 20.0)
    pd.testing.assert_frame_equal(again.loc[table.index], table)
    rows = (table["reason"] == "flipped").to_numpy()
    other = (flipped(examples, 20.0, tie_seed=1)["reason"] == "flipped").to_numpy()
    assert rows.sum() == other.sum() == 40
    assert (rows & other).sum() < 20  # 8 by chance
    assert (
        rows
        & select(Arm("random", 20.0), LabelInputs(examples, [], LABELS, LabelConfig())).selected
    ).sum() < 20
    part = flipped(
        examples[:100], 20.0
    )  # in another split of the same texts those flipped in both go the same way
    both = part.index[
        (part["reason"] == "flipped") & (table.loc[part.index, "reason"] == "flipped")
    ]
    assert len(both) > 10
    assert (part.loc[both, "label"] == table.loc[both, "label"]).all()


def test_human_labels_of_a_file_are_flipped_like_gold_labels(examples):
    table = flipped(examples, 20.0, human=pd.Series("c", index=examples["example_id"][:50]))

    assert list(table.index) == list(examples["example_id"][:50])
    assert (table["label"] != "c").sum() == 10
    assert set(table["source"]) == {"human"}


def test_flip_is_an_arm_for_each_rate_needs_no_annotator_and_logs_its_rate_on_every_run(params):
    wanted = {
        "arms": "gold,flip",
        "flip_rate": "0,25",
        "seeds": "1",
        "epochs": "1",
        "validation_labels": "arm",
        "annotator_model": "nobody/at-home",
    }
    main.experiment(params(**wanted))

    root = latest_root()
    assert children(root, "annotation") == []
    runs = {run.params["arm"]: run for run in children(root, "seed")}
    assert {name: run.params["flip_rate"] for name, run in runs.items()} == {
        "gold": "None",
        "flip_0": "0.0",
        "flip_25": "25.0",
    }
    assert {run.params["arm_kind"] for run in runs.values()} == {"gold", "flip"}
    assert (read_table(runs["flip_25"].run_id, "labels.parquet")["reason"] == "flipped").sum() == 10
    assert runs["flip_0"].metrics["test.macro_f1"] == runs["gold"].metrics["test.macro_f1"]


def test_validation_labels_are_flipped_too_where_the_arm_picks_the_epoch(small_task):
    config = ExperimentConfig(finetune=FinetuneConfig(validation_labels="arm"))
    held = make_condition(
        Arm("flip", flip_rate=25.0), small_task, SplitAnnotations(), config
    ).validation

    assert len(held) == 16
    assert (
        held["label"].to_numpy() != small_task.split("validation")["gold_label"].to_numpy()
    ).sum() == 4


def test_an_experiment_refuses_flip_where_gold_labels_are_missing(params, store):
    table = (
        pd.read_csv(CARDS / "catalogue.csv", dtype=str)
        .sample(300, random_state=0)
        .reset_index(drop=True)
    )
    table.assign(label=table["label"].where(table.index < 100)).to_csv(
        store / "texts.csv", index=False
    )
    given = {
        "data": str(store / "texts.csv"),
        "unlabelled": "true",
        "max_train": "60",
        "arms": "flip",
        "flip_rate": "10,20",
    }

    with pytest.raises(
        AssayError,
        match=r"flip_10, flip_20 need human labels of training texts; 60 of these have no gold",
    ):
        main.experiment(params(**given))
    with pytest.raises(
        AssayError,
        match=r"flip_rate must be at most 100; got 101\.",
    ):
        main.experiment(params(arms="flip", flip_rate="10,101"))


@pytest.mark.parametrize(("name", "entry"), [("budget", budget.budget), ("sweep", sweep.sweep)])
def test_flip_is_refused_as_a_source_to_spend_a_budget_on(params, name, entry):
    with pytest.raises(AssayError, match="arms must be one of .*; got 'flip'"):
        entry(params(name, arms="random,flip"))


def test_flip_needs_every_gold_label(examples):
    blind = examples.assign(gold_label=examples["gold_label"].where(examples.index < 100))

    with pytest.raises(
        AssayError,
        match="arm flip_20 needs every gold label; 100 of 200 examples have none. Leave it out "
        "of arms",
    ):
        flipped(blind, 20.0)
