"""A card with label_type: ordinal, from the file to the store and its report."""

import numpy as np
import pandas as pd
import pytest

from entrypoints import main
from entrypoints.report import report
from project.support.errors import AssayError
from project.tracking import children, latest_root, read_json, read_run

pytestmark = pytest.mark.xdist_group("ordinal_task")
CARD = """\
name: stars
source: {file: stars.csv}
columns: {text: text, label: stars}
description: How content is the writer?
labels: ["1", "2", "3", "4"]
label_type: ordinal
split: {demonstration: 4, train: 80, validation: 12, test: 60}
"""
WORDS = ("awful broken", "dull late", "fine solid", "great lovely")


@pytest.fixture
def given(params, store):
    """A function that returns the parameters of an experiment on labels of an LLM, with changes."""
    random = np.random.default_rng(0)
    stars = random.integers(0, 4, 160)
    llm = np.clip(stars + (random.random(160) < 0.3), 0, 3)
    table = pd.DataFrame(
        {
            "text": [f"{WORDS[star]} parcel number {row}" for row, star in enumerate(stars)],
            "stars": stars + 1,
            "llm": llm + 1,
        }
    )
    table.to_csv(store / "stars.csv", index=False)

    def make(card=CARD, **changes):
        (store / "stars.yaml").write_text(card)
        return {
            **params(
                task=str(store / "stars.yaml"),
                annotator="recorded",
                annotator_model="auto",
                recorded=str(store / "stars.csv"),
                recorded_columns="llm",
                encoder="linear",
                seeds="3",
                arms="gold,llm",
            ),
            "max_train": "auto",
            "max_validation": "auto",
            "max_test": "auto",
            "ensemble_size": "1",
            "epochs": "auto",
            "learning_rate": "auto",
            "workers": "auto",
            **changes,
        }

    return make


def test_an_ordinal_task_logs_its_type_and_scores_and_a_report_is_made_from_the_store(
    given, once, capsys
):
    once(lambda: main.experiment(given()))
    capsys.readouterr()
    root = latest_root("experiment")
    seeds = children(root, "seed")

    assert read_json(root.run_id, "config.json")["task"]["label_type"] == "ordinal"
    assert {run.params["label_type"] for run in seeds} == {"ordinal"}
    assert all(0 <= run.metrics["test.mean_absolute_error"] < 3 for run in seeds)
    assert all("test.quadratic_kappa" in run.metrics for run in seeds)
    (test,) = (run for run in children(root, "annotation") if run.params["split"] == "test")
    assert 0 < test.metrics["mean_absolute_error"] < 0.5
    before = dict(root.metrics)
    assert {"arm.llm.krippendorff_alpha_ordinal", "alpha", "alpha_ordinal"} <= before.keys()

    report({"run_id": root.run_id, "workspace": "again", "tolerance": "auto", "min_alpha": "auto"})
    output = capsys.readouterr().out
    assert "ordinal alpha_K" in output
    assert "mean error" in output
    assert read_run(root.run_id).metrics == before


def test_ordinal_targets_train_anew_and_none_is_the_training_as_before(given, once):
    once(lambda: main.experiment(given()))
    first = {run.tags["assay.digest"] for run in children(latest_root("experiment"), "seed")}
    main.experiment(given(card=CARD.replace("label_type: ordinal\n", "")))
    nominal = children(latest_root("experiment"), "seed")
    main.experiment(given(ordinal_targets="absolute"))
    smooth = children(latest_root("experiment"), "seed")

    assert {run.tags["assay.digest"] for run in nominal} == first
    assert not any("test.mean_absolute_error" in run.metrics for run in nominal)
    assert not {run.tags["assay.digest"] for run in smooth} & first
    assert {run.params["ordinal_targets"] for run in smooth} == {"absolute"}


def test_ordinal_targets_refuse_a_task_without_an_order(given):
    nominal = given(card=CARD.replace("label_type: ordinal\n", ""), ordinal_targets="squared")

    with pytest.raises(
        AssayError,
        match="ordinal_targets must be none with the task stars, whose labels have no order; got "
        "squared. .*label_type: ordinal",
    ):
        main.experiment(nominal)
