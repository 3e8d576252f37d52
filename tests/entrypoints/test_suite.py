"""A suite: the experiments of several tasks, what is repeated, and what one that fails leaves."""

import pandas as pd
import pytest

from entrypoints.report import report
from entrypoints.suite import suite
from entrypoints.wiring import suite_processes
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


@pytest.fixture
def run(params, store, monkeypatch):
    """A function that runs the suite of two tasks and a third one, whose data are absent."""
    for name, n_wrong in (("letters", 9), ("notes", 3), ("absent", 0)):
        write_task(store, name, n_wrong)
    (store / "absent.csv").unlink()
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
    with pytest.raises(Incomplete, match=r"1 of 3 tasks failed.*absent: error: .*absent.csv"):
        run()
    first = capsys.readouterr()
    finished = finished_with_tag(SUITE, "pets")
    write_task(store, "absent", 6)
    run()
    second = capsys.readouterr()

    assert "absent: failed: error: " in first.err
    assert "3 tasks, 1 at a time" in first.err
    assert "INCOMPLETE: absent (not finished)" in first.out
    assert [task.name for task in finished] == sorted(task.name for task in finished)
    assert len(finished) == 2
    assert "2 of 3 tasks are finished already" in second.err
    assert "1 tasks, 1 at a time" in second.err
    root = latest_root("suite")
    named = read_json(root.run_id, "config.json")["tasks"]
    assert [task["name"] for task in named] == ["letters", "notes", "absent"]
    assert {run.run_id for run in finished} < {task["run_id"] for task in named}
    assert not children(root, "seed")
    assert {"loss", "llm.accuracy", "llm.macro_f1"} <= root.metrics.keys()
    page = (store / "work" / "reports" / root.run_id / "report.html").read_text()
    assert "In the median of 3 data sets" in page
    assert "Incomplete" not in page

    report({**defaults("report"), "run_id": root.run_id, "workspace": str(store / "again")})
    assert "In the median of 3 data sets" in capsys.readouterr().out


def test_parameters_without_a_meaning_for_a_suite_are_refused(run):
    for name, value in (("task", "imdb"), ("data", "x.csv"), ("dry_run", "true")):
        with pytest.raises(AssayError, match=f"{name} must be"):
            run(**{name: value})
