"""The entry point sweep: validation judges, the test split is read once, and what runs tell."""

import contextlib
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from analysis.questions.sweep import sentence
from analysis.render.study_figures import figures
from analysis.store.sweep_study import SETTINGS, read_study
from entrypoints import sweep as entrypoint
from entrypoints.wiring.sweep_design import prepare_sweep
from project.config.designs import SweepConfig
from project.config.fields import parse
from project.config.task import TaskConfig
from project.data.task import load_task
from project.search.storage import open_storage
from project.search.study import SharedStudy
from project.support.errors import AssayError, Incomplete
from project.tracking import STUDY, TRIAL_STATE, children, latest_root, read_table, study_runs
from project.training import seed as seed_module
from project.training import workers as workers_module
from tests.helpers import forked
from tests.helpers.sweeps import results_of

ROOT = Path(__file__).parents[2]
SMALL = {
    "arms": "random,ensemble",
    "replace_share": "25,50",
    "sweep_ensemble_size": "2,3",
    "sweep_seeds": "1",
    "seeds": "1",
    "epochs": "1",
}


def test_figures_show_the_parts_that_vary_and_leave_matplotlib_s_style_alone():
    import matplotlib as mpl

    def style():
        return {name: value for name, value in mpl.rcParams.items() if "backend" not in name}

    before = style()
    rows = [(k, "COMPLETE", 50.0 + k, "random", 5.0 * k, 2 + k % 2, 3, "none") for k in range(6)]
    columns = [
        "number",
        "state",
        "value",
        "source",
        "replace_share",
        "ensemble_size",
        "n_demonstrations",
        "calibration",
    ]
    table = pd.DataFrame(
        [*rows, (6, "PRUNED", float("nan"), "random", 5.0, 2, 3, "none")], columns=columns
    )

    assert set(figures(table, SETTINGS, many=False)) == {
        "history.png",
        "importance.png",
        "contour.png",
    }
    assert set(figures(table.assign(ensemble_size=2), SETTINGS, many=True)) == {
        "history.png",
        "importance.png",
    }
    assert style() == before


@pytest.fixture
def recorded_sweep(params, store):
    """A function from changed parameters to a prepared sweep on two recorded draws, a and b."""
    examples = load_task(TaskConfig()).examples
    table = examples[["example_id"]].assign(a=examples["gold_label"], b=examples["gold_label"])
    table.to_csv(store / "labels.csv", index=False)

    @contextlib.contextmanager
    def prepared(**changes):
        values = params(
            "sweep",
            **{
                "annotator": "recorded",
                "recorded": str(store / "labels.csv"),
                "replace_share": "25,50",
                **changes,
            },
        )
        with prepare_sweep(values, parse(SweepConfig, values)) as sweep:
            yield sweep

    return prepared


@pytest.mark.parametrize(
    ("columns", "sizes", "searched"),
    [("a", "2,3,5", (1,)), ("a,b", "2,3,5", (2,)), ("a,b", "1,2,5", (1, 2)), ("a,b", "1", (1,))],
)
def test_without_an_ensemble_recorded_labels_need_not_have_the_draws_of_the_largest(
    recorded_sweep, capsys, columns, sizes, searched
):
    settings = {"recorded_columns": columns, "sweep_ensemble_size": sizes}

    with recorded_sweep(arms="random,learned", **settings) as sweep:
        assert sweep.space.ensemble_size == searched
        assert len(sweep.experiment.session.prompts) == max(searched)
    note = f"note: sweep_ensemble_size is {','.join(map(str, searched))} here"
    assert (note in capsys.readouterr().err) == (sizes != "1")


@pytest.mark.parametrize("arm", ["ensemble", "drop_ensemble", "majority", "vote_entropy"])
def test_a_source_that_compares_draws_needs_those_of_the_largest_ensemble(recorded_sweep, arm):
    with (
        pytest.raises(AssayError, match="^sweep_ensemble_size must be at most 2, the number of"),
        recorded_sweep(arms=f"random,{arm}", recorded_columns="a,b", sweep_ensemble_size="2,3"),
    ):
        pass


def test_a_sweep_without_an_ensemble_runs_on_one_recorded_draw(params, store, recorded_sweep):
    small = {**SMALL, "arms": "random", "sweep_ensemble_size": "2,3", "recorded_columns": "a"}
    labels = {"annotator": "recorded", "recorded": str(store / "labels.csv")}

    entrypoint.sweep(params("sweep", **small, **labels, sampler="grid"))

    trials = study_runs(latest_root("sweep").tags[STUDY], "trial")
    assert sorted(float(run.params["replace_share"]) for run in trials) == [25, 50]


def test_validation_judges_trials_draws_are_annotated_once_and_the_chosen_are_tested_once(
    params, store, capsys
):
    entrypoint.sweep(params("sweep", **SMALL, trials="4", price_label="0.5"))

    root = latest_root("sweep")
    trials = study_runs(root.tags[STUDY], "trial")
    seeds = children(root, "seed")
    assert [run.params["trial"] for run in trials] == ["0", "1", "2", "3"]
    assert {run.status for run in trials} == {"FINISHED"}
    draws = [run.params["draw"] for run in children(root, "annotation")]
    assert len(draws) == len(set(draws)) <= 3
    examples = read_table(root.run_id, "examples.parquet").set_index("example_id")
    tried, tested = (
        [run for run in seeds if run.params["evaluated"] == split]
        for split in ("validation", "test")
    )
    assert not any(name.startswith("test.") for run in (*tried, *trials) for name in run.metrics)
    predicted = read_table(tried[0].run_id, "predictions.parquet")["example_id"]
    assert set(examples.loc[predicted, "split"]) == {"validation"}
    for run in trials:
        own_seeds = [seed for seed in tried if seed.params["trial"] == run.params["trial"]]
        if own_seeds:  # a duplicate has none
            macro_f1 = own_seeds[0].metrics["validation.macro_f1"]
            assert run.metrics["validation.macro_f1"] == pytest.approx(macro_f1)
            assert run.metrics["cost"] == pytest.approx(0.5 * run.metrics["human_labels"])
            size = int(run.params["ensemble_size"]) if run.params["source"] == "ensemble" else 1
            assert run.metrics["llm_calls"] == 40 * size
    study = read_study(root.run_id)
    chosen = set(study.trials.loc[study.trials["chosen"], "number"])
    assert {int(run.params["trial"]) for run in tested if "trial" in run.params} == chosen
    assert {run.params["arm"] for run in tested if "trial" not in run.params} == {"gold"}
    assert {path.name for path in (store / "work" / "reports" / root.run_id).rglob("*.*")} >= {
        "trials.csv",
        "chosen.csv",
        "history.png",
        "pareto.png",
    }
    out = capsys.readouterr().out
    assert "chosen, on the test split" in out
    assert sentence(study) in " ".join(out.split())

    entrypoint.sweep(params("sweep", **SMALL, trials="4", price_label="0.5"))

    again = latest_root("sweep")
    assert again.run_id != root.run_id
    assert children(again, "seed") == children(again, "trial") == []
    shown = capsys.readouterr()
    assert f"the chosen trials were tested in run {root.run_id}" in shown.err
    assert "chosen, on the test split" in shown.out  # the study's, tested in the other run


def test_runs_of_pruned_and_failed_trials_have_their_state_and_reason(params, store, capsys):
    entrypoint.sweep(
        params(
            "sweep",
            **{**SMALL, "arms": "ensemble", "sweep_ensemble_size": "1,2", "replace_share": "25"},
            sampler="grid",
        )
    )
    states = {
        run.params["ensemble_size"]: (run.status, run.tags[TRIAL_STATE])
        for run in study_runs(latest_root("sweep").tags[STUDY], "trial")
    }
    assert states == {"1": ("KILLED", "PRUNED"), "2": ("FINISHED", "COMPLETE")}
    assert (
        "cannot be run: ensemble_size must be at least 2 for the arm ensemble"
        in capsys.readouterr().err
    )

    with pytest.raises(
        Incomplete, match="3 trials in a row failed, the last one because .*diverged"
    ):
        entrypoint.sweep(
            params(
                "sweep",
                **{**SMALL, "arms": "random,entropy"},
                learning_rate="1e30",
                max_grad_norm="1e30",
                trials="5",
            )
        )
    (root,) = MlflowClient().search_runs(
        ["1"], "tags.`assay.kind` = 'sweep' AND attributes.status = 'FAILED'"
    )
    runs = study_runs(root.data.tags[STUDY], "trial")
    assert [(run.status, run.tags[TRIAL_STATE]) for run in runs] == [("FAILED", "FAIL")] * 3
    assert all("diverged" in run.tags["assay.reason"] for run in runs)


def test_two_processes_share_a_study_and_one_that_is_killed_loses_nothing(params, store):
    values = params(
        "sweep",
        **{
            **SMALL,
            "arms": "random",
            "replace_share": "10,20,30,40,50",
            "sweep_ensemble_size": "2",
            "sweep_at_once": "2",
        },
        sampler="grid",
    )
    command = [
        sys.executable,
        "-m",
        "entrypoints.sweep",
        *(word for name, value in values.items() for word in (f"--{name}", value)),
    ]
    logs = [store / f"worker{k}.log" for k in range(2)]
    with logs[0].open("w") as first_log, logs[1].open("w") as second_log:
        workers = [forked.Popen(command, stdout=log, stderr=log) for log in (first_log, second_log)]
        deadline = time.monotonic() + 200
        while "sweep: trial" not in logs[0].read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        workers[0].kill()
        codes = [worker.wait(240) for worker in workers]
        assert codes == [-signal.SIGKILL, 0], logs[1].read_text()

    root = latest_root("sweep")
    trials = study_runs(root.tags[STUDY], "trial")
    complete = [run for run in trials if run.tags[TRIAL_STATE] == "COMPLETE"]
    assert sorted(float(run.params["replace_share"]) for run in complete) == [10, 20, 30, 40, 50]
    lost = [run for run in trials if run.tags[TRIAL_STATE] == "FAIL"]
    assert {run.status for run in lost} <= {"FAILED"}
    assert all("died; its setting was tried again" in run.tags["assay.reason"] for run in lost)
    assert 1 <= len(lost) <= 2  # it had two at once, unless the other one was faster
    name = root.tags[STUDY].rpartition("-")[0]
    storage = open_storage(SweepConfig(), store / "work", name)
    (study,) = optuna.get_all_study_summaries(storage=storage)
    assert study.n_trials == 5 + len(lost)


def test_trials_that_are_open_at_once_give_what_they_give_one_by_one(params, capsys):
    # Of the eight points, two have an ensemble of one draw, and random ignores its size.
    grid = {**SMALL, "sweep_ensemble_size": "1,2", "sampler": "grid"}
    found = []
    for at_once in ("1", "8"):
        entrypoint.sweep(
            params("sweep", **grid, sweep_at_once=at_once, sweep_name=f"at once {at_once}")
        )
        root = latest_root("sweep")
        found.append(results_of(root))
        shown = capsys.readouterr().err
    alone, together = found

    assert together == alone
    assert Counter(state for _, state, _, _ in alone.values()) == {"COMPLETE": 6, "PRUNED": 2}
    reasons = [reason for *_, reason in alone.values() if reason]
    assert sum("a duplicate of trial" in reason for reason in reasons) == 3
    # All eight are announced before the first seed of the second sweep is taken.
    assert shown.index("sweep: trial 7") < shown.index("cannot be run")
    assert "sweep: 8 of 8 trials done" in shown


def test_with_several_trials_open_one_that_fails_is_named_alone_and_a_bad_start_is_pruned(
    params, capsys, monkeypatch
):
    original = seed_module.run_job

    def fail_in_trial_1(job, *arguments, **options):
        if job.arm.endswith("trial 001"):
            raise AssayError("this seed fails.")
        return original(job, *arguments, **options)

    monkeypatch.setattr(workers_module, "run_job", fail_in_trial_1)
    monkeypatch.setattr(SharedStudy, "should_stop", lambda study, trial, values: trial.number == 2)
    grid = {**SMALL, "arms": "random", "replace_share": "10,20,30,40", "sweep_ensemble_size": "2"}
    search = {"sampler": "grid", "objective": "single", "prune": "true", "sweep_seeds": "2"}

    with pytest.raises(Incomplete, match="^trials 1 of the study .* failed"):
        entrypoint.sweep(params("sweep", **{**grid, **search}, sweep_at_once="4", workers="1"))

    root = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'sweep'")[0]
    runs = study_runs(root.data.tags[STUDY], "trial")
    states = {
        run.params["trial"]: (run.tags[TRIAL_STATE], run.metrics.get("n_scores")) for run in runs
    }
    assert states == {
        "0": ("COMPLETE", 2),
        "1": ("FAIL", None),
        "2": ("PRUNED", 1),
        "3": ("COMPLETE", 2),
    }
    (reason,) = [run.tags["assay.reason"] for run in runs if run.params["trial"] == "1"]
    assert "1 of 1 seeds failed; the others are kept. arm random" in reason
    assert reason.endswith("trial 001, seed 0: this seed fails.")
