"""Many experiments in one table: which are rows of their own, and what tells them apart."""

import numpy as np
import pandas as pd
import pytest

from analysis.questions import arms
from analysis.questions.arms_caption import caption
from analysis.questions.arms_settings import differing, folded
from analysis.questions.arms_table import (
    ScoredExperiment,
    result_cells,
    result_table,
    summary,
)
from analysis.store.experiment import Experiment
from analysis.store.replicates import Replicates
from project.config.experiment import ExperimentConfig
from project.data.tables import SPLITS
from project.tracking import Record
from tests.helpers.stored import examples, noisy

DAY = 24 * 3600 * 1000


def run(run_id, started=0, **params):
    return Record(
        run_id,
        run_id,
        "FINISHED",
        params,
        metrics={"human_labels": 0.0, "human_share": 0.0},
        tags={},
        experiment_id="1",
        started=started,
        artifact_uri="",
    )


def experiment(
    run_id, day=0, *, n=30, n_train=30, right=0.9, encoder="small", data="0", **finetune
):
    """An experiment with the arms gold and llm, in memory."""
    gold = np.arange(n) % 3
    config = ExperimentConfig().as_dict()
    config["finetune"] |= {"seeds": 2, **finetune}
    replicates = {
        arm: Replicates(
            [run(f"{arm}{seed}", arm_kind=arm, n_train=str(n_train)) for seed in range(2)],
            noisy(gold, right, 2, seed=len(arm)),
            np.zeros((2, n, 3)),
        )
        for arm in ("gold", "llm")
    }
    made = Experiment(
        root=run(run_id, day * DAY),
        config={
            "config": config,
            "arms": ["gold", "llm"],
            "design": {},
            "models": {"annotator": "a model", "encoder": encoder},
            "identities": {"annotator": {}, "encoder": encoder},
            "versions": {"assay": "1"},
            "task": {
                "name": "task",
                "label_set": ["a", "b", "c"],
                "counts": {"train": n_train, "validation": 10, "test": n},
                "examples_sha256": data,
                "notes": [],
            },
        },
        label_set=("a", "b", "c"),
        examples=examples(gold),
        arms=replicates,
        incomplete=(),
    )
    vars(made)["annotations"] = {split: [] for split in SPLITS}
    return ScoredExperiment(made)


def run_ids(experiments):
    return [fold.newest.experiment.root.run_id for fold in folded(experiments)]


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": "large"},
        {"n_train": 20},
        {"n": 33},
        {"data": "1"},
        {"epochs": 4},
        {"learning_rate": 1e-3},
        {"right": 0.8},
    ],
)
def test_a_difference_in_a_setting_the_data_or_a_result_is_a_row_of_its_own(change):
    one, other = experiment("one"), experiment("other", 1, **change)

    assert run_ids([one, other]) == ["other", "one"]


def test_exact_repeats_are_folded_into_the_newest_and_counted():
    again = experiment("again", 2)
    again.config["config"]["host"]["workspace"] = "elsewhere"
    folds = folded([experiment("one"), experiment("other", 1, encoder="large"), again])

    assert [fold.newest.experiment.root.run_id for fold in folds] == ["again", "other"]
    assert [fold.n_repeats for fold in folds] == [1, 0]


def test_only_settings_that_differ_are_columns():
    table = differing(
        [
            experiment("one12345678", epochs=3),
            experiment("other", 1, encoder="large", epochs=4, n_train=20),
        ]
    )

    assert list(table.columns) == [
        "run",
        "started",
        "classifier",
        "train texts",
        "epochs",
        "digest of the encoder",
    ]
    assert list(table.loc[0]) == ["one12345", "1970-01-01 00:00", "small", "30", "3", "small"]
    assert list(table.loc[1, "started":"epochs"]) == ["1970-01-02 00:00", "large", "20", "4"]


def test_experiments_that_differ_in_their_date_alone_have_two_columns():
    assert list(differing([experiment("one"), experiment("two", 1)]).columns) == ["run", "started"]


def test_the_table_has_the_differing_columns_and_names_those_for_which_it_has_no_room():
    changes = {f"{name}": 0.5 for name in ("adam_beta1", "adam_beta2", "dropout", "weight_decay")}
    changes |= {"epochs": 4, "lora_rank": 2, "max_length": 9}
    section = arms.several([experiment("one"), experiment("two", 1, encoder="large", **changes)])
    (table,) = section.tables

    assert table.head[:4] == ["run", "started", "classifier", "epochs"]
    assert table.head.index("labels") == 2 + 8
    assert len(table.rows) == 4
    assert "They also differ in digest of the encoder: see tables.csv." in section.notes
    assert list(table.frame["digest of the encoder"]) == ["small", "small", "large", "large"]


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"n": 1}, "1 test examples"),
        ({"n": 9}, "9 test examples"),
        ({"n_train": 1}, "1 training texts for 3 classes"),
        ({"n_train": 2}, "2 training texts for 3 classes"),
    ],
)
def test_rows_of_too_few_texts_are_no_results(sizes, reason):
    scored = experiment("one", **sizes)
    table = result_table(scored)
    _, rows = result_cells(table)

    assert [row[3:] for row in rows] == [["-"] * 4] * 2
    assert pd.isna(table["accuracy"]).all()
    assert summary(table) == ""
    assert f"No result: {reason};" in caption(scored, table).mind
    assert any(f"No result: {reason};" in note for note in arms.several([scored]).notes)


def test_enough_texts_are_results():
    scored = experiment("one", n=12, n_train=3)
    table = result_table(scored)

    assert table["accuracy"].notna().all()
    assert "No result" not in caption(scored, table).mind
    assert summary(table) != ""
