"""A small search space, and functions that open studies of it and work on them."""

import pytest

from project.config.designs import SweepConfig
from project.config.labels import LabelConfig
from project.search.space import Setting, Space, Values
from project.search.study import SharedStudy
from project.support import process

SPACE = Space(("random", "ensemble"), (5.0, 50.0), (2, 3), (3,), ("none",))


@pytest.fixture
def open_study(tmp_path, monkeypatch):
    """A function that opens a study in the test's folder.

    ``worker``: name of the process that opens it, by default this one's.
    """

    def open_it(space=SPACE, design=None, name="s", worker=None, **config):
        with monkeypatch.context() as patch:
            if worker:
                patch.setattr(process, "process_name", lambda pid: worker)
            return SharedStudy(
                SweepConfig(**config),
                LabelConfig(),
                space,
                name,
                design=design or {"task": "t"},
                workspace=tmp_path,
            )

    return open_it


@pytest.fixture
def ask():
    """A function that asks a study for a trial, and fails if it finds a dead worker."""

    def refuse(lost):
        raise AssertionError(f"{lost} is not dead")

    def ask_study(study, on_lost=refuse):
        return study.ask(lambda message: None, on_lost)

    return ask_study


@pytest.fixture
def work(ask):
    """A function that completes ``n`` trials of a study, or all; returns their settings."""

    def measure(setting):
        share = setting.replace_share / 100
        return Values(share, share, setting.ensemble_size, 1.0)

    def work_on(study, n=1000, values=measure):
        settings: list[Setting] = []
        while len(settings) < n and (trial := ask(study)):
            study.complete(trial, values(trial.setting), f"run {trial.number}")
            settings.append(trial.setting)
        return settings

    return work_on
