"""Several experiments on one page."""

import pandas as pd
import pytest

from entrypoints import report as entrypoint
from project.support.errors import AssayError
from project.tracking import read_run
from tests.helpers.sections import GOLD
from tests.helpers.stored import log_experiment, noisy


def logged(store, llm_accuracy, annotator, seed, **changes):
    arms = {"gold": noisy(GOLD, 0.95), "llm": noisy(GOLD, llm_accuracy, 3, seed)}
    models = {"models": {"annotator": annotator, "encoder": "tiny"}, **changes}
    return log_experiment(store, GOLD, arms, llm=noisy(GOLD, 0.9, 1, 9), config_changes=models)


def page_of(store):
    (folder,) = (store / "out" / "reports").glob("side-by-side-*")
    return (folder / "report.html").read_text(), folder


def test_one_page_holds_the_verdict_of_every_experiment_and_leaves_the_runs_as_they_are(
    store, capsys
):
    good = logged(store, 0.95, "strong-llm", 1)
    bad = logged(store, 0.7, "weak-llm", 2)
    before = [read_run(run_id) for run_id in (good, bad)]

    entrypoint.report(
        {"run_id": f"{good}, {bad}", "workspace": str(store / "out"), "min_alpha": "0.5"}
    )

    html, folder = page_of(store)
    assert "1 of 2 are safe to train on: strong-llm" in html
    assert "strong-llm · safe" not in html
    assert "Is experiment 2 better than the first?" in html
    frame = pd.read_csv(folder / "tables" / "verdicts.csv").set_index("experiment")
    assert frame["verdict"].to_dict() == {"strong-llm": "safe", "weak-llm": "not safe"}
    assert frame.loc["weak-llm", "loss_low"] > 0.1
    assert (folder / "tables" / "compare_2.csv").is_file()
    assert [read_run(run_id) for run_id in (good, bad)] == before
    assert "report.html" in capsys.readouterr().out


def test_experiments_that_cannot_be_paired_stand_side_by_side_with_the_reason(store):
    first = logged(store, 0.9, "one", 1)
    half = GOLD[: len(GOLD) // 2]
    arms = {"gold": noisy(half, 0.9), "llm": noisy(half, 0.8, 3, 1)}
    second = log_experiment(store, half, arms)

    entrypoint.report({"run_id": f"{first},{second}", "workspace": str(store / "out")})

    html, _ = page_of(store)
    assert "The experiments test on different examples" in html


def test_a_run_named_twice_and_runs_of_another_kind_are_refused(store):
    run = logged(store, 0.9, "one", 1)

    with pytest.raises(AssayError, match="run_id must name each run once; got"):
        entrypoint.report({"run_id": f"{run},{run}", "workspace": str(store / "out")})
