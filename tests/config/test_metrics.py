"""A metric that is registered once appears everywhere, and a wrong declaration is refused."""

import dataclasses
import os

import numpy as np
import pandas as pd
import pytest

from entrypoints import main
from entrypoints.report import report
from project.config.metric import Metric
from project.config.metrics import (
    METRICS,
    arm_metrics,
    columns_of,
    cost_metrics,
    main_scores,
    register_metric,
    score_metrics,
)
from project.support.errors import AssayError
from project.tracking import children, latest_root, read_run
from tests.helpers.old_store import OldStore

SOURCE = '''
import numpy as np


def balanced_accuracy(gold, predicted, n_classes):
    """Mean recall of the classes that have examples."""
    return np.mean([np.mean(predicted[gold == k] == k) for k in np.unique(gold)])


def range_of_accuracy(gold, predicted, n_classes):
    """Best less worst accuracy of the seeds."""
    return np.ptp((predicted == gold).mean(axis=1))
'''
BALANCED = Metric(
    key="balanced_accuracy",
    title="balanced accuracy",
    level="seed",
    description="Mean recall of the classes.",
    scale=100.0,
    higher_is_better=True,
    has_spread=True,
    function="metrics_of_a_user:balanced_accuracy",
)
RANGE = Metric(
    key="accuracy_range",
    title="range",
    level="arm",
    description="Best less worst accuracy of the seeds.",
    scale=100.0,
    higher_is_better=False,
    function="metrics_of_a_user:range_of_accuracy",
)


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """Two more metrics, of functions in a module outside the tree."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "metrics_of_a_user.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    return [register_metric(metric) for metric in (BALANCED, RANGE)]


def test_a_registered_metric_is_in_runs_tables_files_and_page(params, store, registered, capsys):
    main.experiment(params(arms="gold,llm"))
    root = latest_root()
    folder = store / "work" / "reports" / root.run_id

    seeds = children(root, "seed")
    assert all(0 <= run.metrics["test.balanced_accuracy"] <= 1 for run in seeds)
    assert "balanced accuracy 0." in seeds[0].tags["mlflow.note.content"]
    annotations = children(root, "annotation")
    assert all("balanced_accuracy" in run.metrics for run in annotations)

    table = pd.read_csv(folder / "tables" / "arms.csv").set_index("labels")
    logged = [
        100 * run.metrics["test.balanced_accuracy"] for run in seeds if run.params["arm"] == "llm"
    ]
    assert table.loc["llm", "balanced_accuracy"] == pytest.approx(np.mean(logged), abs=1e-3)
    assert table.loc["llm", "balanced_accuracy_sd"] == pytest.approx(
        np.std(logged, ddof=1), abs=1e-3
    )
    assert root.metrics["arm.llm.balanced_accuracy"] == pytest.approx(np.mean(logged) / 100)
    accuracies = [run.metrics["test.accuracy"] for run in seeds if run.params["arm"] == "llm"]
    assert table.loc["llm", "accuracy_range"] == pytest.approx(100 * np.ptp(accuracies), abs=1e-3)

    head = next(line for line in capsys.readouterr().out.splitlines() if "macro-F1  " in line)
    assert head.split("macro-F1")[1].split() == [
        "balanced",
        "accuracy",
        "alpha_K",
        "unchanged",
        "range",
    ]
    assert "| balanced accuracy |" in root.tags["mlflow.note.content"]
    page = (folder / "report.html").read_text()
    assert '<span class="name">balanced accuracy</span>' in page
    assert '<span class="name">range</span>' in page


@pytest.mark.parametrize("name", ["budget", "curve", "grid", "sweep"])
def test_a_registered_metric_is_in_the_tables_of_stores_from_before(
    name, tmp_path, store, monkeypatch, registered
):
    old = OldStore(tmp_path / "old")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{old.folder}/mlflow.db")
    monkeypatch.setenv("ASSAY_CACHE", str(old.folder / "cache"))
    import mlflow

    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    run_id = old.roots[name]["run_id"]
    report(
        {
            "run_id": run_id,
            "workspace": str(tmp_path / "work"),
            "tolerance": "auto",
            "min_alpha": "auto",
        }
    )
    folder = tmp_path / "work" / "reports" / run_id
    file = {"grid": "chosen.csv", "sweep": "chosen.csv"}.get(name, f"{name}.csv")

    values = pd.read_csv(folder / "tables" / file)[["balanced_accuracy", "accuracy_range"]]
    assert len(values)
    assert values.stack().between(0, 1).all()
    assert any("balanced accuracy" in path.read_text() for path in folder.rglob("*.md"))
    assert any(key.endswith(".balanced_accuracy") for key in read_run(run_id).metrics)


def test_the_columns_of_the_metrics_that_come_with_assay_stay_as_they_are():
    assert columns_of(score_metrics()) == (
        "accuracy",
        "accuracy_sd",
        "macro_f1",
        "macro_f1_sd",
        "weighted_f1",
        "weighted_f1_sd",
    )
    assert [metric.key for metric in main_scores()] == ["accuracy", "macro_f1"]
    assert columns_of(arm_metrics()) == (
        "krippendorff_alpha",
        "krippendorff_alpha_low",
        "krippendorff_alpha_high",
        "unchanged",
        "unchanged_low",
        "unchanged_high",
    )
    assert columns_of(cost_metrics()) == (
        "llm_calls",
        "prompt_tokens",
        "generated_tokens",
        "annotation_seconds",
        "train_seconds",
        "cost",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": "accuracy"}, "the metric accuracy is registered already"),
        ({"key": "Balanced accuracy"}, "must begin with a lower-case letter"),
        ({"level": "trial"}, "has a function, so its level must be seed or arm; got trial"),
        ({"has_spread": False}, "must have has_spread=True"),
    ],
)
def test_a_wrong_declaration_is_refused_and_not_registered(changes, message):
    before = dict(METRICS)

    with pytest.raises(AssayError, match=message):
        register_metric(dataclasses.replace(BALANCED, **changes))
    assert before == METRICS


def test_every_declared_metric_has_a_title_and_a_description_that_is_a_sentence():
    for metric in METRICS.values():
        assert metric.title
        assert metric.description.endswith(".")
        assert metric.text(float("nan")) == "-"
