"""A published report: description, tags and files, and what it imports."""

import html
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from analysis import report
from project.tracking import read_run
from tests.helpers.sections import GOLD
from tests.helpers.stored import log_experiment, noisy

ROOT = Path(__file__).parents[2]


def test_description_tags_and_page_hold_the_verdict(store):
    run_id = log_experiment(
        store,
        GOLD,
        {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.8, seed=1)},
        llm=noisy(GOLD, 0.7, 1, 2),
    )
    report.publish(run_id, str(store / "out"))
    root = read_run(run_id)

    assert root.tags["assay.verdict"] == "not safe"
    assert root.tags["mlflow.note.content"].startswith(
        "**Not safe.** Training on the LLM's labels loses "
    )
    written = (store / "out" / "reports" / run_id / "report.html").read_text()
    assert '<p class="word">Not safe</p>' in written
    assert "No: do not train on these LLM labels as they are" in written
    assert root.tags["assay.verdict_reason"] in html.unescape(written)
    assert logged(run_id, "report") == {"report.html", "report.md", "tables", "figures", "texts"}
    assert "verdict.csv" in logged(run_id, "report/tables")
    assert {"noise_transition.png", "arms.svg"} <= logged(run_id, "report/figures")


def logged(run_id, folder):
    """The names in a folder of a run's artifacts."""
    return {Path(file.path).name for file in MlflowClient().list_artifacts(run_id, folder)}


def test_a_report_by_other_limits_follows_them_and_leaves_the_run_as_it_is(store, capsys):
    arms = {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.8, seed=1)}
    run_id = log_experiment(store, GOLD, arms)
    report.publish(run_id, str(store / "out"))
    before = read_run(run_id)
    page = store / "out" / "reports" / run_id / "report.html"
    own = page.read_bytes()
    capsys.readouterr()
    report.publish(run_id, str(store / "out"), tolerance=50.0, min_alpha=0.1)

    printed = capsys.readouterr().out
    assert "SAFE. " in printed
    assert "The run keeps the verdict by its own limits: not safe." in printed
    assert read_run(run_id) == before
    assert page.read_bytes() == own
    aside = page.parent / "tolerance_50_min_alpha_0.1" / "report.html"
    assert '<p class="word">Safe</p>' in aside.read_text()


def test_every_table_of_the_page_is_a_file_too(store):
    run_id = log_experiment(
        store,
        GOLD,
        {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.8, seed=1)},
        llm=noisy(GOLD, 0.7, 2, 2),
    )
    report.publish(run_id, str(store / "out"))
    folder = store / "out" / "reports" / run_id
    names = {path.name for path in folder.rglob("*.*")}

    for name in (
        "verdict",
        "arms",
        "recall",
        "spent",
        "agreement",
        "between",
        "noise_transition",
        "error_tests",
        "tail",
        "shift",
        "divergence",
        "calibration",
        "detectors",
    ):
        assert f"{name}.csv" in names
        assert len(pd.read_csv(folder / "tables" / f"{name}.csv"))
    assert {
        "verdict.md",
        "arms.md",
        "agreement.md",
        "errors.md",
        "divergence.md",
        "calibration.md",
        "examples.md",
    } <= names


NEVER = {"torch", "transformers", "sklearn", "optuna"}


AT_WORK_ALONE = {"matplotlib", "pandas", "mlflow"}


COUNT = (
    "import runpy, sys\n"
    "sys.argv = sys.argv[1:]\n"
    "try:\n"
    "    runpy.run_module(sys.argv[0], run_name='__main__')\n"
    "except SystemExit:\n"
    "    pass\n"
    "print('IMPORTED', *sorted(name for name in sys.modules if '.' not in name))\n"
)


def imported(*command):
    """The top-level packages that a command line imports."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT, *command],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return set(done.stdout.split("IMPORTED")[1].split())


@pytest.mark.parametrize(
    "module", ["analysis.report", "entrypoints.report", "analysis.questions.arms"]
)
def test_the_help_of_a_report_imports_nothing_heavy(module):
    assert not imported(module, "--help") & (NEVER | AT_WORK_ALONE)


def test_a_report_imports_no_model_library(store):
    gold = GOLD[:120]
    arms = {"gold": noisy(gold, 0.9), "llm": noisy(gold, 0.8, seed=1)}
    run_id = log_experiment(store, gold, arms, llm=noisy(gold, 0.7, 2, 2))
    packages = imported("analysis.report", "--run_id", run_id, "--workspace", str(store / "out"))

    assert (store / "out" / "reports" / run_id / "report.html").is_file()
    assert "matplotlib" in packages
    assert not packages & NEVER
