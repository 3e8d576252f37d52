"""Studies of Optuna: one study for several workers, nothing lost when one dies, the test split read once, runs that say truly what became of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from analysis.questions.sweep import sentence
from analysis.render.study_figures import figures
from analysis.store.sweep_study import SETTINGS, read_study
from entrypoints import sweep as entrypoint
from project.config.designs import SweepConfig
from project.config.labels import LabelConfig
from project.search import study as rooms
from project.search.space import Setting, Space, Values
from project.search.storage import open_storage, refuse_password
from project.search.study import Sweep
from project.support import process
from project.support.errors import AssayError, Incomplete
from project.tracking import STUDY, TRIAL_STATE, children, latest_root, read_table, study_runs

ROOT = Path(__file__).parents[2]
SPACE = Space(("random", "ensemble"), (5.0, 50.0), (2, 3), (3,), ("none",))
SMALL = {
    "arms": "random,ensemble",
    "replace_share": "25,50",
    "sweep_ensemble_size": "2,3",
    "sweep_seeds": "1",
    "epochs": "1",
}


@pytest.fixture
def open_study(tmp_path):
    """A function that opens a study in the test's folder, with another configuration or design if need be."""

    def open_one(space=SPACE, design=None, name="s", **config):
        return Sweep(
            SweepConfig(**config), LabelConfig(), space, name, design or {"task": "t"}, tmp_path
        )

    return open_one


def nobody(lost):
    raise AssertionError(f"{lost} is not dead")


def ask(study, lost=nobody):
    return study.ask(lambda message: None, lost)


def work(
    study,
    n=1000,
    value=lambda setting: Values(
        setting.replace_share / 100, setting.replace_share / 100, setting.ensemble_size, 1.0
    ),
):
    """Try ``n`` trials, or all; returns their settings."""
    seen: list[Setting] = []
    while len(seen) < n and (trial := ask(study)):
        study.complete(trial, value(trial.setting), f"run {trial.number}")
        seen.append(trial.setting)
    return seen


def test_a_grid_is_tried_whole_by_its_workers_together_and_once(open_study):
    first, second = open_study(sampler="grid"), open_study(sampler="grid")
    seen = work(first, 3) + work(second, 2) + work(first)

    assert len(seen) == len(set(seen)) == first.wanted == 8
    assert ask(second) is None
    assert work(open_study(sampler="grid")) == []  # and a finished one is not begun again


def test_a_part_of_a_grid_is_a_mixed_part(open_study):
    seen = work(open_study(sampler="grid", trials=4))

    assert len(seen) == 4
    assert all(
        len({getattr(setting, name) for setting in seen}) == 2
        for name in ("source", "replace_share", "ensemble_size")
    )


@pytest.mark.parametrize(
    "config",
    [{}, {"objective": "single"}, {"sampler": "gp", "objective": "single"}, {"sampler": "gp"}],
)
def test_a_study_that_was_stopped_goes_on_as_if_it_had_not_been(open_study, config):
    whole = work(open_study(trials=12, **config))
    work(open_study(name="stopped", trials=12, **config), 11)

    assert work(open_study(name="stopped", trials=12, **config)) == whole[11:]
    assert {setting.source for setting in whole} == {"random", "ensemble"}
    assert (
        len({setting.replace_share for setting in whole} - {5.0, 50.0}) > 1
    )  # anything between the two
    assert all(
        setting.replace_share.is_integer() and setting.ensemble_size in (2, 3) for setting in whole
    )


def test_another_design_under_the_same_name_is_refused_by_what_differs(open_study):
    open_study(design={"task": "t", "recipe": {"epochs": 3}})

    with pytest.raises(
        AssayError,
        match=r"s was made with another recipe: \{'epochs': 3\}, now \{'epochs': 4\}\. Give the same",
    ):
        open_study(design={"task": "t", "recipe": {"epochs": 4}})


def test_a_setting_that_differs_in_nothing_its_source_looks_at_has_the_values_of_its_twin(
    open_study,
):
    study = open_study(sampler="grid")
    twins = {}
    while trial := ask(study):
        if trial.twin is not None:
            twins[trial.setting] = trial.twin
        values = (
            study.twin_values(trial.twin)
            if trial.twin is not None
            else Values(trial.number / 10, 0.1, 2, 1.0)
        )
        study.complete(trial, values, "run")

    # a random share is the same whatever K, an ensemble the same whatever the share
    assert len(twins) == 4
    assert all(twin < 8 for twin in twins.values())


def test_what_a_dead_worker_tried_is_tried_again_by_whoever_comes_next_three_times_at_most(
    open_study, tmp_path
):
    study = open_study(sampler="grid", trials=1)
    script = (
        "import os, sys, time; from pathlib import Path; from project.search.study import *; from project.config.entry_points import SweepConfig\n"
        "space = Space(('random', 'ensemble'), (5.0, 50.0), (2, 3), (3,), ('none',))\n"
        f"study = Sweep(SweepConfig(sampler='grid', trials=1), LabelConfig(), space, 's', {{'task': 't'}}, Path({str(tmp_path)!r}))\n"
        "trial = study.ask(print, lambda lost: None); print(trial.setting, flush=True); os.kill(os.getpid(), 9)"
    )
    settings = []
    for _ in range(rooms.ATTEMPTS):
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        settings.append(done.stdout)

    assert len(set(settings)) == 1
    lost: list[rooms.Lost] = []
    assert ask(study, lost.append) is None
    assert [(one.number, one.again) for one in lost] == [(2, False)]
    assert study.failed() == [2]
    assert study.done() == 1


def test_a_worker_elsewhere_is_taken_for_dead_when_it_has_been_silent_for_long_and_one_here_when_its_process_is_gone(
    open_study, monkeypatch
):
    study, other = open_study(), open_study()
    with_beat = ask(study)
    assert process.is_alive(f"elsewhere:{os.getpid()}:1", time.time() - process.SILENCE_SECONDS / 2)
    assert not process.is_alive(f"elsewhere:{os.getpid()}:1", time.time() - 2 * process.SILENCE_SECONDS)
    assert not process.is_alive(
        f"{process.process_name(os.getpid())}0", time.time()
    )  # the same number, another process
    assert not process.is_alive("", time.time() - 2 * process.UNNAMED_SECONDS)

    monkeypatch.setattr(rooms, "BEAT", 0.05)
    before = with_beat.handle.user_attrs["beat"]
    with study.beating(with_beat):
        time.sleep(0.3)
    assert study._trials()[with_beat.number].user_attrs["beat"] > before
    assert ask(other).number == 1  # it left the other's alone


def test_a_trial_that_is_given_back_is_the_next_one_asked_for(open_study):
    study = open_study(sampler="grid", trials=3)
    trial = ask(study)
    study.give_back(trial, blameless=True)

    assert study.done() == 0
    assert not study.failed()
    settings = work(study)
    assert trial.setting in settings
    assert len(settings) == 3
    assert study.failed() == []


def test_a_setting_that_breaks_its_worker_is_left_after_three_attempts_and_failed_ones_are_tried_again_by_a_later_run(
    open_study,
):
    for _ in range(rooms.ATTEMPTS):
        study = open_study(sampler="grid", trials=1)
        study.give_back(ask(study), blameless=False)
    assert ask(study) is None
    assert len(study.failed()) == 1

    study = open_study(name="mended", sampler="grid", trials=1)
    study.end(ask(study), "FAIL", "run", "no space left")
    assert ask(study) is None  # not by the run that saw it fail
    later = open_study(name="mended", sampler="grid", trials=1)
    assert len(work(later)) == 1
    assert later.failed() == []
    assert later.done() == 1


def test_a_worker_that_dies_before_its_setting_is_settled_leaves_no_trial(open_study, monkeypatch):
    dead = open_study(trials=3)
    monkeypatch.setattr(dead, "_me", "gone:1:1")
    with monkeypatch.context() as patch:
        patch.setattr(dead, "_suggest", lambda *more: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ask(dead)
    monkeypatch.setattr(process, "SILENCE_SECONDS", -1.0)
    study = open_study(trials=3)

    assert len(work(study)) == 3
    assert study.failed() == []
    assert study.done() == 3


def test_one_worker_claims_the_test_of_the_chosen_where_whoever_ended_the_last_trial_is_gone(
    open_study, monkeypatch
):
    gone = open_study(trials=1)
    monkeypatch.setattr(gone, "_me", "gone:1:1")
    work(gone)
    one, other = open_study(trials=1), open_study(trials=1)
    monkeypatch.setattr(other, "_me", "elsewhere:1:1")
    monkeypatch.setattr(process, "alive", lambda name, heard: not name.startswith("gone"))

    assert one.mine_to_test()
    assert not other.mine_to_test()
    assert one.mine_to_test()
    one.tested("run")
    assert not one.mine_to_test()


def test_a_study_may_be_given_more_trials(open_study):
    seen = [
        *work(open_study(sampler="grid", trials=3)),
        *work(open_study(sampler="grid", trials=5)),
        *work(open_study(sampler="grid")),
    ]

    assert len(seen) == len(set(seen)) == 8


def test_several_that_died_together_are_ended_once_by_several_survivors(open_study, monkeypatch):
    dead = [open_study(sampler="grid"), open_study(sampler="grid")]
    for study, name in zip(dead, ("gone:1:1", "gone:2:1"), strict=True):
        monkeypatch.setattr(study, "_me", name)
        ask(study)
    monkeypatch.setattr(process, "SILENCE_SECONDS", -1.0)
    one, other = open_study(sampler="grid"), open_study(sampler="grid")

    first = one._retry_the_dead()
    found = [next(first), *other._retry_the_dead(), *first]

    assert sorted(lost.number for lost in found) == [0, 1]
    monkeypatch.setattr(process, "SILENCE_SECONDS", 600.0)
    assert len({*work(one)}) == 8


def test_workers_that_ask_at_the_same_time_make_no_trial_too_many(open_study):
    one, other = open_study(trials=1), open_study(trials=1)
    trial = one._ask()

    assert other._ask() is None  # as if it had looked before the first one asked
    one.complete(trial, Values(0.5, 0.1, 1, 0.0), "run")
    assert one.done() == 1
    assert one.failed() == []
    assert ask(other) is None


def test_a_single_objective_is_macro_f1_less_its_cost_in_points_and_a_front_is_all_that_no_other_beats(
    open_study,
):
    made = {
        "random": Values(0.5, 0.1, 10, 4.0),
        "entropy": Values(0.6, 0.2, 10, 40.0),
        "margin": Values(0.55, 0.3, 10, 8.0),
    }
    space = Space(tuple(made), (5.0,), (2,), (3,), ("none",))
    chosen = {}
    for name, config in (
        ("f1", {"objective": "single"}),
        ("priced", {"objective": "single", "price_point": 1.0}),
        ("front", {"objective": "pareto"}),
    ):
        study = open_study(space, name=name, sampler="grid", **config)
        work(study, value=lambda setting: made[setting.source])
        chosen[name] = {setting.source for _, setting in study.chosen()}

    assert chosen == {"f1": {"entropy"}, "priced": {"margin"}, "front": {"random", "entropy"}}


def test_a_trial_below_the_median_after_its_first_seed_is_given_up(open_study):
    study = open_study(objective="single", prune=True, trials=8)
    for k in range(6):
        trial = ask(study)
        assert not study.stopped_early(trial, Values(0.5 + k / 100, 0.1, 1, 0.0))
        study.complete(trial, Values(0.5, 0.1, 1, 0.0), "run")
    trial = ask(study)
    assert study.stopped_early(trial, Values(0.1, 0.1, 1, 0.0))
    study.end(trial, "PRUNED", "run", "below the median")
    assert study.done() == 7
    assert study.failed() == []
    with pytest.raises(AssayError, match="prune needs objective=single"):
        SweepConfig(prune=True)


def test_storage_is_a_journal_or_any_database_and_a_password_stays_out_of_parameters_and_errors(
    open_study, tmp_path, monkeypatch
):
    assert len(work(open_study(trials=2, sweep_storage=f"sqlite:///{tmp_path}/studies.db"))) == 2
    assert (
        len(work(open_study(trials=2, sweep_storage=str(tmp_path / "shared" / "a.journal")))) == 2
    )
    assert (tmp_path / "shared" / "a.journal").is_file()
    for address in (
        "postgresql://me:secret@127.0.0.1:1/db",
        "postgresql://127.0.0.1/db?user=me&password=secret",
    ):
        with pytest.raises(
            AssayError,
            match="must hold no user name, no password and no query.*ASSAY_SWEEP_STORAGE",
        ) as refused:
            refuse_password(address)
    monkeypatch.setenv("ASSAY_SWEEP_STORAGE", f"sqlite:///{tmp_path}/no/such/folder/me:secret@db")
    with pytest.raises(Incomplete, match="storage of the study s cannot be used") as failed:
        open_study()
    assert "secret" not in f"{refused.value} {failed.value}"


def test_figures_are_drawn_of_what_varies_and_leave_the_style_of_others_alone():
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

    assert set(figures(table, SETTINGS, many=False)) == {"history.png", "importance.png", "contour.png"}
    assert set(figures(table.assign(ensemble_size=2), SETTINGS, many=True)) == {
        "history.png",
        "importance.png",
    }
    assert style() == before


def test_trials_are_judged_on_validation_draws_are_asked_once_and_the_chosen_are_tested_once(
    params, store, capsys
):
    entrypoint.sweep(params("sweep", **SMALL, trials="4", price_label="0.5"))

    root = latest_root("sweep")
    trials, seeds = study_runs(root.tags[STUDY], "trial"), children(root, "seed")
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
    assert set(
        examples.loc[read_table(tried[0].run_id, "predictions.parquet")["example_id"], "split"]
    ) == {"validation"}
    for run in trials:
        mine = [seed for seed in tried if seed.params["trial"] == run.params["trial"]]
        if mine:  # a twin has no seeds of its own
            assert run.metrics["validation.macro_f1"] == pytest.approx(
                mine[0].metrics["validation.macro_f1"]
            )
            assert run.metrics["cost"] == pytest.approx(0.5 * run.metrics["human_labels"])
            assert run.metrics["llm_calls"] == 40 * (
                int(run.params["ensemble_size"]) if run.params["source"] == "ensemble" else 1
            )
    study = read_study(root.run_id)
    chosen = set(study.trials.loc[study.trials["chosen"], "number"])
    assert {int(run.params["trial"]) for run in tested if "trial" in run.params} == chosen
    assert {run.params["arm"] for run in tested if "trial" not in run.params} == {"gold"}
    assert {path.name for path in (store / "work" / "reports" / root.run_id).iterdir()} >= {
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
    assert "chosen, on the test split" in shown.out  # of the study, whoever tested


def test_pruned_and_failed_trials_are_marked_truly(params, store, capsys):
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
        },
        sampler="grid",
    )
    command = [
        sys.executable,
        "-m",
        "entrypoints.sweep",
        *(word for name, value in values.items() for word in (f"--{name}", value)),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    logs = [store / f"worker{k}.log" for k in range(2)]
    with logs[0].open("w") as one, logs[1].open("w") as two:
        workers = [
            subprocess.Popen(command, stdout=log, stderr=log, env=environment) for log in (one, two)
        ]
        deadline = time.monotonic() + 200
        while "sweep: trial" not in logs[0].read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        workers[0].kill()
        assert [one.wait(240) for one in workers] == [-signal.SIGKILL, 0], logs[1].read_text()

    root = latest_root("sweep")
    trials = study_runs(root.tags[STUDY], "trial")
    complete = [run for run in trials if run.tags[TRIAL_STATE] == "COMPLETE"]
    assert sorted(float(run.params["replace_share"]) for run in complete) == [10, 20, 30, 40, 50]
    lost = [run for run in trials if run.tags[TRIAL_STATE] == "FAIL"]
    assert {run.status for run in lost} <= {"FAILED"}
    assert all("died; its setting was tried again" in run.tags["assay.reason"] for run in lost)
    assert len(lost) == 1
    (study,) = optuna.get_all_study_summaries(
        storage=open_storage(SweepConfig(), store / "work", root.tags[STUDY].rpartition("-")[0])
    )
    assert study.n_trials == 6


def test_settings_say_what_they_are_by_what_their_source_looks_at():
    one, other = (Setting("random", 5.0, size, 3, "none") for size in (2, 3))
    assert one.name(LabelConfig()) == other.name(LabelConfig())
    assert one.arm(LabelConfig()).name == "random_5"
    assert Setting("learned", 5.0, 2, 3, "none").name(LabelConfig()) != Setting(
        "learned", 5.0, 3, 3, "none"
    ).name(LabelConfig())
