"""A suite: the experiments of several tasks, what is repeated, and what one that fails leaves."""

import pandas as pd
import pytest

from entrypoints.report import report
from entrypoints.suite import suite
from entrypoints.wiring import suite_processes
from entrypoints.wiring.suite_run import _alone
from project.config.loading import defaults
from project.support.errors import AssayError, Incomplete
from project.tracking import SUITE, children, finished_with_tag, latest_root, read_json
from tests.helpers import forked

CARD = """
name: {name}
description: Cat or dog?
source: {{file: {name}.csv}}
columns: {{text: text, label: label}}
labels: [cat, dog]
split: {{demonstration: 2, train: 24, validation: 8, test: 24}}
"""
FILE = """
parameters: {annotator: recorded, recorded_columns: llm, arms: [gold, llm]}
tasks:
  - {task: letters.yaml, recorded: letters.csv, group: small}
  - {task: notes.yaml, recorded: notes.csv, group: small}
  - {task: absent.yaml, recorded: absent.csv, group: small}
"""


def write_task(folder, name, n_wrong):
    """A card and 60 rows, of which an LLM has labelled some wrongly."""
    labels = ["cat", "dog", "dog"] * 20
    table = pd.DataFrame(
        {
            "text": [f"{name} about a {label}, number {i}" for i, label in enumerate(labels)],
            "label": labels,
            "llm": ["dog" if i < n_wrong else label for i, label in enumerate(labels)],
        }
    )
    table.to_csv(folder / f"{name}.csv", index=False)
    (folder / f"{name}.yaml").write_text(CARD.format(name=name))


def without_labels(path):
    """Take the LLM's labels away."""
    pd.read_csv(path).drop(columns="llm").to_csv(path, index=False)


@pytest.fixture
def run(params, store, monkeypatch):
    """A function that runs the suite of two tasks and a third one, whose data are absent."""
    for name, n_wrong in (("letters", 9), ("notes", 3), ("absent", 0)):
        write_task(store, name, n_wrong)
    without_labels(store / "absent.csv")
    (store / "suite.yaml").write_text(FILE)
    forked.forkserver()
    monkeypatch.setattr(suite_processes, "Popen", forked.Popen)

    def call(**changes):
        small = params("suite", tasks=str(store / "suite.yaml"), suite="pets", seeds="1")
        own = (
            "max_train",
            "max_validation",
            "max_test",
            "annotator_model",
            "annotator_dtype",
            "ensemble_size",
        )
        usual = defaults("suite")
        suite({**small, **{name: usual[name] for name in own}, **changes})

    return call


def test_a_task_that_fails_stops_no_other_and_the_same_command_runs_it_alone(run, store, capsys):
    with pytest.raises(Incomplete, match=r"1 of 3 tasks failed. The others are .* absent: rec"):
        run()
    first = capsys.readouterr()
    finished = finished_with_tag(SUITE, "pets")
    write_task(store, "absent", 6)
    run()
    second = capsys.readouterr()

    assert "absent: failed: recorded_columns " in first.err
    assert "tasks to run: 3, 1 at a time" in first.err
    assert "INCOMPLETE: absent (not finished)" in first.out
    assert [task.name for task in finished] == sorted(task.name for task in finished)
    assert len(finished) == 2
    assert "finished already, and not run again: 2 of 3 tasks" in second.err
    assert "tasks to run: 1, 1 at a time" in second.err
    root = latest_root("suite")
    named = read_json(root.run_id, "config.json")["tasks"]
    assert [task["name"] for task in named] == ["letters", "notes", "absent"]
    assert {run.run_id for run in finished} < {task["run_id"] for task in named}
    assert not children(root, "seed")
    assert {"llm.accuracy", "llm.macro_f1"} <= root.metrics.keys()
    page = (store / "work" / "reports" / root.run_id / "report.html").read_text()
    assert "No task has classifiers both of gold labels and of the LLM" in page  # 24 test texts
    assert "Incomplete" not in page

    report({**defaults("report"), "run_id": root.run_id, "workspace": str(store / "again")})
    assert "letters" in capsys.readouterr().out


def test_missing_files_and_tasks_that_are_the_same_are_refused_before_anything_runs(run, store):
    (store / "absent.csv").unlink()
    path = store / "suite.yaml"
    same = "letters.yaml, name: same, recorded: letters.csv"
    path.write_text(path.read_text().replace("notes.yaml, recorded: notes.csv", same))

    with pytest.raises(AssayError) as refused:
        run()

    texts = " ".join(str(error) for error in (refused.value, *refused.value.others))
    assert "letters and same are the same experiment" in texts
    assert "task absent: files that cannot be read: recorded (" in texts
    assert "absent.csv), the task's data (absent.csv)" in texts
    assert not (store / "work" / "suites").exists()


def test_a_suite_runs_once_at_a_time(store):
    with (
        _alone(store / "logs", "pets"),
        pytest.raises(AssayError, match="'pets' runs in this"),
        _alone(store / "logs", "pets"),
    ):
        pass
    with _alone(store / "logs", "pets"):
        pass


def test_parameters_without_a_meaning_for_a_suite_are_refused(run):
    for name, value in (("task", "imdb"), ("data", "x.csv"), ("dry_run", "true")):
        with pytest.raises(AssayError, match=f"{name} must be"):
            run(**{name: value})
