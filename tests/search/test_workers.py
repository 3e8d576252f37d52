"""Several workers on one study: a dead worker's trial is tried again, and none is tried twice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from project.search import heartbeat
from project.search import study as study_module
from project.search.queue import MAX_ATTEMPTS
from project.search.space import Values
from project.search.trials import Lost
from project.support import process

ROOT = Path(__file__).parents[2]
DYING_WORKER = """
import os
from pathlib import Path
from project.config.designs import SweepConfig
from project.config.labels import LabelConfig
from project.search.space import Space
from project.search.study import SharedStudy

space = Space(("random", "ensemble"), (5.0, 50.0), (2, 3), (3,), ("none",))
study = SharedStudy(
    SweepConfig(sampler="grid", trials=1),
    LabelConfig(),
    space,
    "s",
    design={{"task": "t"}},
    workspace=Path({folder!r}),
)
trial = study.ask(print, lambda lost: None)
print(trial.setting, flush=True)
os.kill(os.getpid(), 9)
"""


def database(tmp_path):
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.mark.parametrize("storage", ["journal", "database"])
def test_what_a_dead_worker_tried_is_tried_again_three_times_at_most(
    open_study, ask, tmp_path, monkeypatch, storage
):
    if storage == "database":
        monkeypatch.setenv("ASSAY_SWEEP_STORAGE", database(tmp_path))
    study = open_study(sampler="grid", trials=1)
    script = DYING_WORKER.format(folder=str(tmp_path))
    settings = []
    for _ in range(MAX_ATTEMPTS):
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        settings.append(done.stdout)

    assert len(set(settings)) == 1
    lost: list[Lost] = []
    assert ask(study, lost.append) is None
    assert [(trial.number, trial.queued_again) for trial in lost] == [(2, False)]
    assert study.failed() == [2]
    assert study.done() == 1


def test_a_worker_is_dead_after_a_long_silence_elsewhere_or_without_its_process_here():
    elsewhere = f"elsewhere:{os.getpid()}:1"
    assert process.is_alive(elsewhere, time.time() - process.SILENCE_SECONDS / 2)
    assert not process.is_alive(elsewhere, time.time() - 2 * process.SILENCE_SECONDS)
    # the same number, another process
    assert not process.is_alive(f"{process.process_name(os.getpid())}0", time.time())
    assert not process.is_alive("", time.time() - 2 * process.UNNAMED_SECONDS)


def test_a_worker_records_heartbeats_in_a_journal_while_it_works(open_study, ask, monkeypatch):
    study, other = open_study(), open_study()
    trial = ask(study)
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.05)
    before = trial.handle.user_attrs["beat"]

    with study.working_on(trial):
        time.sleep(0.3)

    assert study._trials()[trial.number].user_attrs["beat"] > before
    assert ask(other).number == 1  # the first trial is left to its worker


def heartbeats_in(tmp_path):
    """The heartbeats in the database, by the number of the trial's row."""
    import sqlite3

    with sqlite3.connect(tmp_path / "studies.db") as connection:
        return dict(connection.execute("select trial_id, heartbeat from trial_heartbeats"))


def test_a_worker_records_heartbeats_in_a_database_by_optuna_s_own_table(
    open_study, ask, tmp_path, monkeypatch
):
    study = open_study(sweep_storage=database(tmp_path))
    trial = ask(study)
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.05)
    (before,) = heartbeats_in(tmp_path).values()
    time.sleep(1.1)  # the database's clock counts seconds

    with study.working_on(trial):
        time.sleep(0.3)

    (after,) = heartbeats_in(tmp_path).values()
    assert after > before
    assert "beat" not in trial.handle.user_attrs


def silence(tmp_path, seconds):
    """Make all heartbeats in the database older."""
    import sqlite3

    with sqlite3.connect(tmp_path / "studies.db") as connection:
        connection.execute(
            "update trial_heartbeats set heartbeat = datetime(heartbeat, ?)",
            (f"-{seconds} seconds",),
        )


def test_the_trial_of_a_worker_elsewhere_that_is_silent_in_a_database_is_tried_again(
    open_study, ask, work, tmp_path
):
    storage = database(tmp_path)
    dead = open_study(sweep_storage=storage, worker="elsewhere:1:1", sampler="grid", trials=2)
    trial = ask(dead)
    study = open_study(sweep_storage=storage, sampler="grid", trials=2)
    silence(tmp_path, process.SILENCE_SECONDS / 2)
    next_trial = ask(study)
    assert next_trial.setting != trial.setting  # the first may still be at work
    study.complete(next_trial, Values(0.5, 0.1, 1, 0.0), "run")

    silence(tmp_path, process.SILENCE_SECONDS)
    lost: list[Lost] = []
    again = ask(study, lost.append)

    assert [(one.number, one.worker, one.queued_again) for one in lost] == [
        (trial.number, "elsewhere:1:1", True)
    ]
    assert again.setting == trial.setting
    assert again.attempt == 2
    other = open_study(sweep_storage=storage, sampler="grid", trials=2)
    assert list(other._retry_dead()) == []  # it is ended once


def test_a_trial_that_is_given_back_is_tried_by_the_next_worker(open_study, ask, work):
    study = open_study(sampler="grid", trials=3)
    trial = ask(study)
    study.give_back(trial, blameless=True)

    assert study.done() == 0
    assert not study.failed()
    settings = work(study)
    assert trial.setting in settings
    assert len(settings) == 3
    assert study.failed() == []


def test_a_setting_that_breaks_its_worker_is_left_after_three_attempts(open_study, ask):
    for _ in range(MAX_ATTEMPTS):
        study = open_study(sampler="grid", trials=1)
        study.give_back(ask(study), blameless=False)
    assert ask(study) is None
    assert len(study.failed()) == 1


def test_a_failed_trial_is_tried_again_by_a_later_run_only(open_study, ask, work):
    study = open_study(sampler="grid", trials=1)
    study.end(ask(study), "FAIL", "run", "no space left")
    assert ask(study) is None
    later = open_study(sampler="grid", trials=1)
    assert len(work(later)) == 1
    assert later.failed() == []
    assert later.done() == 1


def test_a_worker_that_dies_before_it_has_a_setting_leaves_no_trial(
    open_study, ask, work, monkeypatch
):
    dead = open_study(trials=3, worker="gone:1:1")

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(study_module, "suggest_params", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ask(dead)
    monkeypatch.setattr(process, "SILENCE_SECONDS", -1.0)
    study = open_study(trials=3)

    assert len(work(study)) == 3
    assert study.failed() == []
    assert study.done() == 3


def test_one_worker_claims_the_test_where_the_worker_of_the_last_trial_is_gone(
    open_study, work, monkeypatch
):
    work(open_study(trials=1, worker="gone:1:1"))
    one = open_study(trials=1)
    other = open_study(trials=1, worker="elsewhere:1:1")
    monkeypatch.setattr(
        process, "is_alive", lambda worker, heartbeat: not worker.startswith("gone")
    )

    assert one.choice.is_test_due()
    assert not other.choice.is_test_due()
    assert one.choice.is_test_due()
    one.choice.mark_tested("run")
    assert not one.choice.is_test_due()
    assert other.choice.tested_in == "run"


def test_several_that_died_together_are_ended_once_by_several_survivors(
    open_study, ask, work, monkeypatch
):
    for name in ("gone:1:1", "gone:2:1"):
        ask(open_study(sampler="grid", worker=name))
    monkeypatch.setattr(process, "SILENCE_SECONDS", -1.0)
    one, other = open_study(sampler="grid"), open_study(sampler="grid")

    first = one._retry_dead()
    lost = [next(first), *other._retry_dead(), *first]

    assert sorted(trial.number for trial in lost) == [0, 1]
    monkeypatch.setattr(process, "SILENCE_SECONDS", 600.0)
    assert len({*work(one)}) == 8


def test_workers_that_ask_at_the_same_time_start_no_trial_too_many(open_study, ask):
    one, other = open_study(trials=1), open_study(trials=1)
    trial = one._start()

    assert other._start() is None  # as if it had looked before the first one asked
    one.complete(trial, Values(0.5, 0.1, 1, 0.0), "run")
    assert one.done() == 1
    assert one.failed() == []
    assert ask(other) is None


def test_optuna_s_warnings_about_heartbeats_do_not_reach_the_user(
    open_study, ask, tmp_path, recwarn
):
    study = open_study(sweep_storage=database(tmp_path), trials=2)
    ask(study)
    list(study._retry_dead())

    assert not [one for one in recwarn if issubclass(one.category, optuna.exceptions.OptunaError)]
    assert not [one for one in recwarn if "eartbeat" in str(one.message)]
