"""A private experiment: no text or prompt reaches the store, files are for their owner alone."""

import html
import json
import os
import re
import stat
import sys
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from analysis.store.experiment import read_experiment
from entrypoints import annotate, ask, curve, main, report, sweep
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.config.experiment import experiment_config
from project.config.loading import defaults
from project.config.task import TaskConfig
from project.data.task import load_task
from project.support.errors import AssayError, Incomplete
from project.support.privacy import hashed, owner_only, table_for_store
from project.tracking import (
    all_children,
    children,
    latest_root,
    newest_runs,
    read_json,
    read_run,
    read_table,
    root_run,
)
from project.tracking.entries import Entry
from project.tracking.spool import Spool
from tests.helpers import forked
from tests.helpers.experiments import contents

ROOT = Path(__file__).parents[2]
PIECE = 20
"""Length of the pieces of text that are searched for, in characters."""


def pieces(texts):
    """Every piece of ``PIECE`` characters of every text."""
    return {
        text[start : start + PIECE]
        for text in texts
        for start in range(max(1, len(text) - PIECE + 1))
    }


def load_small_task():
    """The task as the fixture ``params`` configures it."""
    return load_task(TaskConfig(max_train=40, max_validation=16, max_test=24))


def secret_pieces():
    """Pieces of the task's texts and description that are not in its labels or citation too."""
    task = load_small_task()
    public = pieces([*task.label_set, task.title, task.card.citation])
    return pieces([*task.examples["text"], task.description]) - public


def strings(value):
    """Every text in a JSON value."""
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in strings(part)]
    return [str(value)]


def readable_text(path):
    """The content of a file as one text."""
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        cells = [str(value) for column in table for value in table[column]]
        return "\n".join([*map(str, table.columns), *cells])
    text = path.read_bytes().decode("utf-8", "ignore")
    if path.suffix == ".json":
        return "\n".join(strings(json.loads(text)))
    return html.unescape(text) if path.suffix == ".html" else text


def leaks(store, secrets):
    """Files of the store that hold one of the pieces ``secrets``, each with a piece."""
    artifacts = store / "artifacts" if (store / "artifacts").is_dir() else store / "mlruns"
    files = [path for path in artifacts.rglob("*") if path.is_file()]
    leaked = {}
    for path in (*store.glob("mlflow.db*"), *files):
        text = readable_text(path)
        found = secrets & {text[start : start + PIECE] for start in range(len(text) - PIECE + 1)}
        if found:
            leaked[str(path.relative_to(store))] = min(found)
    return leaked


def test_the_search_finds_texts_of_an_experiment_that_is_not_private(params, store):
    annotate.annotate(params("annotate"))
    names = {Path(path).name for path in leaks(store, secret_pieces())}

    assert {"examples.parquet", "prompt.txt", "demonstrations.parquet", "sample.json"} <= names


def test_no_text_and_no_prompt_reaches_the_store_from_any_entry_point(params, store):
    private = {"private": "true", "calibration": "contextual", "repeats": "2"}
    main.experiment(params(replace_share="25", **private))
    annotate.annotate(params("annotate", splits="train,test", **private))
    ask.ask(params("ask", arms="entropy", replace_share="25", show_llm="true", **private))
    curve.curve(params("curve", arms="gold,llm", sizes="20,40", seeds="1", **private))
    main.experiment(params(dry_run="true", **private))

    roots = MlflowClient().search_runs(["1"], "tags.`assay.private` = 'true'")
    assert {run.data.tags["assay.kind"] for run in roots} == {
        "experiment",
        "annotation set",
        "questions",
        "curve",
        "dry run",
    }
    assert {run.info.status for run in roots} == {"FINISHED"}
    assert len([*store.rglob("*.parquet")]) > 30
    assert leaks(store, secret_pieces()) == {}


one_process = pytest.mark.xdist_group("private")
"""Tests that share a store: one process makes it."""


@pytest.fixture
def private_and_public(params, store, once):
    """Two root runs that differ in ``private`` alone, and the folders of their reports.

    They are made once; each test has a copy of the store.
    """

    def make():
        main.experiment(params(private="true", arms="gold,llm"))
        main.experiment(params(workspace=str(store / "open"), arms="gold,llm"))

    once(make)
    public, private = next(newest_runs("experiment", page_size=10))
    assert private.tags["assay.private"] == "true"
    assert public.tags.get("assay.private") != "true"
    folders = (
        store / "work" / "reports" / private.run_id,
        store / "open" / "reports" / public.run_id,
    )
    return private, public, folders


@one_process
def test_a_private_experiment_has_hashes_in_place_of_texts_and_all_else(private_and_public, store):
    private, public, _ = private_and_public

    names = {name for name in public.metrics if not name.endswith("seconds")}
    assert names <= private.metrics.keys()
    assert private.metrics["llm.macro_f1"] == public.metrics["llm.macro_f1"]
    assert private.tags["assay.verdict"] == public.tags["assay.verdict"]
    hashes = read_table(private.run_id, "examples.parquet")
    texts = read_table(public.run_id, "examples.parquet")
    assert hashes["text"].tolist() == texts["text"].map(hashed).tolist()
    assert hashes["example_id"].tolist() == texts["example_id"].tolist()
    assert hashes["n_words"].tolist() == texts["text"].str.split().str.len().tolist()
    private_draws = {run.name: run for run in children(private, "annotation")}
    for other in children(public, "annotation"):
        _compare_draws(private_draws[other.name], other, store)


def _compare_draws(private, public, folder):
    """The two runs of a draw differ in the text of the prompt alone."""
    assert private.tags["prompt.sha256"] == public.tags["prompt.sha256"]
    assert private.tags["assay.question"] == public.tags["assay.question"]
    answers = [read_json(run.run_id, "prompt/prompt.json")["answers"] for run in (private, public)]
    assert answers[0] == answers[1]
    path = MlflowClient().download_artifacts(private.run_id, "prompt/prompt.txt", str(folder))
    assert Path(path).read_text() == f"sha256:{private.tags['prompt.sha256']}"
    tables = [
        read_table(run.run_id, "annotations.parquet").drop(columns="seconds")
        for run in (private, public)
    ]
    assert tables[0].equals(tables[1])


@one_process
def test_the_report_of_a_private_experiment_has_the_same_files_and_numbers(private_and_public):
    _, _, (private, public) = private_and_public

    hidden, shown = contents(private), contents(public)
    assert hidden.keys() == shown.keys()
    names = ("arms", "agreement", "error_tests", "verdict", "calibration")
    compared = [path for name in names if (path := f"tables/{name}.csv") in hidden]
    assert "tables/arms.csv" in compared
    assert all(hidden[path] == shown[path] for path in compared)
    assert (private / "report.html").read_text().count(">sha256:") >= 20


def test_private_answers_are_reused_by_others(params, store, monkeypatch):
    annotate.annotate(params("annotate", private="true"))
    (store / "work").rename(store / "elsewhere")

    def fail(self):
        pytest.fail("a model was loaded")

    monkeypatch.setattr(TransformersAnnotator, "model", property(fail))

    annotate.annotate(params("annotate"))

    runs = children(latest_root("annotation set"), "annotation")
    assert [run.metrics["fetched_texts"] for run in runs] == [40, 40]


def test_recorded_replies_are_not_quoted(params, store, capsys):
    examples = load_small_task().examples
    replies = [f"I would rather not say what number {row} is" for row in range(len(examples))]
    labels = examples[["example_id"]].assign(label=replies)
    labels.loc[::2, "label"] = "books"
    labels.loc[1, "label"] = None
    labels.to_parquet(store / "recorded.parquet")
    annotate.annotate(
        params(
            "annotate",
            annotator="recorded",
            recorded=str(store / "recorded.parquet"),
            calibration="none",
            private="true",
            ensemble_size="auto",
            splits="train,test",
        )
    )

    (store / "recorded.parquet").unlink()
    assert leaks(store, pieces(["I would rather not say what number"])) == {}
    runs = children(latest_root("annotation set"), "annotation")
    printed = "".join(capsys.readouterr())
    assert "have no label; they are no training labels and count as wrong. Why: " in printed
    assert "replies are not plainly one label (such as that to text " in printed
    assert "rather" not in printed
    assert all("answers have no label. Why: " in run.tags["mlflow.note.content"] for run in runs)
    tables = [read_table(run.run_id, "annotations.parquet") for run in runs]
    errors = pd.concat([table["error"] for table in tables]).dropna()
    assert errors.str.match(r"unparsed: sha256:[0-9a-f]{16}$|missing: a null$").all()
    assert len(errors) > 10


def test_the_reason_why_a_trial_failed_is_not_quoted(params, store):
    small = {
        "arms": "random",
        "replace_share": "50",
        "sweep_ensemble_size": "2",
        "sweep_seeds": "1",
        "trials": "3",
        "learning_rate": "1e30",
        "max_grad_norm": "1e30",
    }
    message = "3 trials in a row failed, the last one because .*diverged"
    with pytest.raises(Incomplete, match=message):
        sweep.sweep(params("sweep", **small, private="true"))
    (root,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'sweep'")
    runs = all_children(read_run(root.info.run_id), "trial")

    assert len(runs) == 3
    reason = r"SeedsFailed, sha256:[0-9a-f]{16}"
    assert all(re.fullmatch(reason, run.tags["assay.reason"]) for run in runs)
    assert "diverged" not in "".join(run.tags["mlflow.note.content"] for run in runs)
    assert leaks(store, secret_pieces()) == {}


def test_questions_stay_in_the_workspace_and_the_store_gets_their_ids(params, store):
    ask.ask(params("ask", arms="random", replace_share="25", private="true"))
    root = latest_root("questions")

    files = MlflowClient().list_artifacts(root.run_id, "questions")
    assert [file.path for file in files] == ["questions/sampling.parquet"]
    questions = pd.read_csv(store / "work" / "questions" / root.run_id / "questions.csv")
    sampling = read_table(root.run_id, "questions/sampling.parquet")
    assert set(questions["example_id"]) == set(sampling.query("asked")["example_id"])
    assert questions["text"].notna().all()


def test_a_system_prompt_is_refused_since_parameters_are_logged():
    texts = {"private": "true", "chat_template": "true", "system_prompt": "You know Mrs Dalloway."}
    with pytest.raises(AssayError) as refused:
        experiment_config(texts)

    message = str(refused.value)
    assert message.startswith("system_prompt must be empty with private=true: mlflow run logs")
    assert message.endswith("Put the text into a file and set template=FILE.")
    assert "Dalloway" not in message


def modes(folder):
    """The permissions of a folder and everything below it."""
    return {path: stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.rglob("*"))}


@pytest.fixture
def usual_umask():
    """The umask 022 for the test, by which others may read new files."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_files_of_a_private_experiment_are_for_their_owner_alone(params, store, usual_umask):
    work = store / "work"
    (work / "annotations").mkdir(parents=True)
    work.chmod(0o755)
    values = params(private="true", arms="llm", seeds="1", epochs="1")
    words = [word for name, value in values.items() for word in (f"--{name}", value)]
    done = forked.run([sys.executable, "-m", "entrypoints.main", *words], timeout=250)
    assert done.returncode == 0, done.stderr
    run_id = latest_root().run_id
    report.report({**defaults("report"), "run_id": run_id, "workspace": str(store / "again")})

    assert os.umask(0o022) == 0o022  # the report has restored it
    assert stat.S_IMODE(work.stat().st_mode) == 0o700
    open_to_others = {path for path, mode in modes(work).items() if mode & 0o077}
    # That folder existed before; others cannot reach it, since ``work`` is closed.
    assert open_to_others <= {work / "annotations"}
    assert len(modes(work)) > 20
    reports = store / "again" / "reports" / run_id
    assert len(modes(reports)) > 5
    assert not any(mode & 0o077 for mode in modes(reports).values())


def test_entries_that_wait_for_the_store_are_for_their_owner_alone(store, usual_umask):
    with root_run("experiment", "x", {"private": "true"}, str(store / "work")) as tracker:
        (spool,) = (store / "work" / "spool").iterdir()
        Spool(spool).put(Entry(created_ms=0, tags={"a": "b"}), {})
        waiting = modes(store / "work")
        assert len(waiting) >= 6
        assert not any(mode & 0o077 for mode in waiting.values())
    assert os.umask(0o022) == 0o022
    assert read_run(tracker.run_id).tags["assay.private"] == "true"


def test_a_workspace_that_others_use_is_refused_and_not_changed(tmp_path):
    tmp_path.chmod(0o1777)
    message = (
        "workspace must be a folder of your own with private=true; others use .* Set workspace"
    )
    with pytest.raises(AssayError, match=message), owner_only(True, tmp_path):
        pass
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777
    tmp_path.chmod(0o755)
    if os.geteuid() == 0:
        (tmp_path / "theirs").touch()
        os.chown(tmp_path / "theirs", 12345, 12345)
        with pytest.raises(AssayError, match="others use"), owner_only(True, tmp_path):
            pass
    with owner_only(False, tmp_path):
        (tmp_path / "mine").touch()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_hashes_replace_texts_and_the_quotations_in_errors():
    table = pd.DataFrame(
        {
            "text": ["a b c", "d"],
            "error": pd.Series(["unparsed: no idea", "missing: a null"], dtype="str"),
            "label": ["x", None],
        }
    )
    stored = table_for_store(table, private=True)

    # The first 16 hex digits of the output of: printf 'a b c' | sha256sum
    assert stored["text"][0] == "sha256:0e9f64031fcb2bc7"
    assert stored["n_words"].tolist() == [3, 1]
    assert stored["error"].tolist() == [f"unparsed: {hashed('no idea')}", "missing: a null"]
    assert table["text"][0] == "a b c"
    assert table_for_store(table, private=False) is table


@one_process
def test_a_private_experiment_is_read_like_any_other(private_and_public):
    private, _, _ = private_and_public
    experiment = read_experiment(private.run_id)

    assert set(experiment.arms) == {"gold", "llm"}
    assert experiment.root.tags["assay.private"] == "true"
