"""A private experiment: nothing of a text or a prompt is in the store, everything works all the same, and files are their owner's."""

import html
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from analysis.store.experiment import read_experiment
from entrypoints import annotate, ask, curve, main, report, sweep
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.config.experiment import experiment_config
from project.config.task import TaskConfig
from project.data.task import load_task
from project.support.errors import AssayError, Incomplete
from project.support.privacy import hashed, owner_only, table_for_store
from project.tracking import (
    children,
    all_children,
    latest_root,
    read_json,
    read_run,
    read_table,
    root_run,
)
from project.tracking.spool import Spool
from project.tracking.entries import Entry

ROOT = Path(__file__).parents[2]
PIECE = 20


def pieces(texts):
    """Every piece of ``PIECE`` characters of every text."""
    return {
        text[start : start + PIECE]
        for text in texts
        for start in range(max(1, len(text) - PIECE + 1))
    }


def secrets():
    """Pieces of the texts that ``params`` takes and of their task's description, without what stands in the labels too."""
    task = load_task(TaskConfig(max_train=40, max_validation=16, max_test=24))
    return pieces([*task.examples["text"], task.description]) - pieces(
        [*task.label_set, task.title, task.card.citation]
    )


def strings(value):
    """Every text in a JSON value."""
    if isinstance(value, dict):
        return [one for pair in value.items() for part in pair for one in strings(part)]
    return (
        [one for part in value for one in strings(part)]
        if isinstance(value, list)
        else [str(value)]
    )


def told(path):
    """What a file says, as one text."""
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        return "\n".join(
            [*map(str, table.columns), *(str(value) for column in table for value in table[column])]
        )
    text = path.read_bytes().decode("utf-8", "ignore")
    if path.suffix == ".json":
        return "\n".join(strings(json.loads(text)))
    return html.unescape(text) if path.suffix == ".html" else text


def found(store, known):
    """Where the store, its database and its artifacts, tells a piece of what is ``known``: file -> piece."""
    places = {}
    artifacts = store / "artifacts" if (store / "artifacts").is_dir() else store / "mlruns"
    for path in (
        *store.glob("mlflow.db*"),
        *(path for path in artifacts.rglob("*") if path.is_file()),
    ):
        text = told(path)
        hit = next(
            (
                text[start : start + PIECE]
                for start in range(len(text) - PIECE + 1)
                if text[start : start + PIECE] in known
            ),
            None,
        )
        if hit:
            places[str(path.relative_to(store))] = hit
    return places


def test_the_search_for_texts_finds_them_where_an_experiment_is_not_private(params, store):
    annotate.annotate(params("annotate"))
    told_by = {Path(path).name for path in found(store, secrets())}

    assert {"examples.parquet", "prompt.txt", "demonstrations.parquet", "sample.json"} <= told_by


def test_nothing_of_a_text_or_a_prompt_reaches_the_store_from_any_entry_point(params, store):
    private = {"private": "true", "calibration": "contextual", "repeats": "2"}
    main.experiment(params(**private))
    annotate.annotate(params("annotate", splits="train,test", **private))
    ask.ask(params("ask", arms="entropy", replace_share="25", show_llm="true", **private))
    curve.curve(params("curve", arms="gold,llm", sizes="20,40", **private))
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
    assert found(store, secrets()) == {}


def test_a_private_experiment_has_all_that_another_has_and_hashes_where_texts_would_be(
    params, store
):
    main.experiment(params(private="true", arms="gold,llm", max_test="24"))
    private = latest_root()
    main.experiment(params(arms="gold,llm", max_test="24", workspace=str(store / "open")))
    public = latest_root()

    assert private.run_id != public.run_id
    assert {
        name for name in public.metrics if not name.endswith("seconds")
    } <= private.metrics.keys()
    assert private.metrics["llm.macro_f1"] == public.metrics["llm.macro_f1"]
    assert private.tags["assay.verdict"] == public.tags["assay.verdict"]
    one, other = (
        read_table(private.run_id, "examples.parquet"),
        read_table(public.run_id, "examples.parquet"),
    )
    assert one["text"].tolist() == other["text"].map(hashed).tolist()
    assert one["example_id"].tolist() == other["example_id"].tolist()
    assert one["n_words"].tolist() == other["text"].str.split().str.len().tolist()
    mine, theirs = (
        {run.name: run for run in children(root, "annotation")} for root in (private, public)
    )
    for name in theirs:
        assert mine[name].tags["prompt.sha256"] == theirs[name].tags["prompt.sha256"]
        assert mine[name].tags["assay.question"] == theirs[name].tags["assay.question"]
        assert (
            read_json(mine[name].run_id, "prompt/prompt.json")["answers"]
            == read_json(theirs[name].run_id, "prompt/prompt.json")["answers"]
        )
        shown = MlflowClient().download_artifacts(
            mine[name].run_id, "prompt/prompt.txt", str(store)
        )
        assert Path(shown).read_text() == f"sha256:{mine[name].tags['prompt.sha256']}"
        assert (
            read_table(mine[name].run_id, "annotations.parquet")
            .drop(columns="seconds")
            .equals(read_table(theirs[name].run_id, "annotations.parquet").drop(columns="seconds"))
        )
    folders = (
        store / "work" / "reports" / private.run_id,
        store / "open" / "reports" / public.run_id,
    )
    assert {path.name for path in folders[0].iterdir()} == {
        path.name for path in folders[1].iterdir()
    }
    for name in ("arms.csv", "agreement.csv", "error_tests.csv", "verdict.csv", "calibration.csv"):
        if (folders[0] / name).is_file():
            assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    page = (folders[0] / "report.html").read_text()
    assert one["text"][one["split"] == "train"].iloc[0].startswith("sha256:")
    assert page.count("<td>sha256:") >= 40


def test_private_answers_are_shared_all_the_same(params, store, monkeypatch):
    annotate.annotate(params("annotate", private="true"))
    (store / "work").rename(store / "elsewhere")
    monkeypatch.setattr(
        TransformersAnnotator, "model", property(lambda self: pytest.fail("a model was loaded"))
    )

    annotate.annotate(params("annotate"))

    assert [
        run.metrics["fetched_texts"]
        for run in children(latest_root("annotation set"), "annotation")
    ] == [40, 40]


def test_replies_that_were_recorded_are_not_quoted(params, store):
    task = load_task(TaskConfig(max_train=40, max_validation=16, max_test=24))
    labels = task.examples[["example_id"]].assign(
        label=[
            f"I would rather not say what number {place} is" for place in range(len(task.examples))
        ]
    )
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
    assert found(store, pieces(["I would rather not say what number"])) == {}
    errors = pd.concat(
        [
            read_table(run.run_id, "annotations.parquet")["error"]
            for run in children(latest_root("annotation set"), "annotation")
        ]
    )
    assert errors.dropna().str.match(r"unparsed: sha256:[0-9a-f]{16}$|missing: a null$").all()
    assert len(errors.dropna()) > 10


def test_what_a_trial_failed_at_is_not_quoted(params, store):
    small = {
        "arms": "random",
        "replace_share": "50",
        "sweep_ensemble_size": "2",
        "sweep_seeds": "1",
        "trials": "3",
        "learning_rate": "1e30",
    }
    with pytest.raises(
        Incomplete, match="3 trials in a row failed, the last one because .*diverged"
    ):
        sweep.sweep(params("sweep", **small, max_grad_norm="1e30", private="true"))
    (root,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'sweep'")
    runs = all_children(read_run(root.info.run_id), "trial")

    assert len(runs) == 3
    assert all(
        re.fullmatch(r"Incomplete, sha256:[0-9a-f]{16}", run.tags["assay.reason"]) for run in runs
    )
    assert "diverged" not in "".join(run.tags["mlflow.note.content"] for run in runs)
    assert found(store, secrets()) == {}


def test_the_questions_stay_here_and_the_store_gets_their_ids(params, store):
    ask.ask(params("ask", arms="random", replace_share="25", private="true"))
    root = latest_root("questions")

    assert [file.path for file in MlflowClient().list_artifacts(root.run_id, "questions")] == [
        "questions/sampling.parquet"
    ]
    here = pd.read_csv(store / "work" / "questions" / root.run_id / "questions.csv")
    asked = read_table(root.run_id, "questions/sampling.parquet").query("asked")["example_id"]
    assert set(here["example_id"]) == set(asked)
    assert here["text"].notna().all()


def test_a_system_prompt_is_refused_since_parameters_are_logged():
    texts = {"private": "true", "chat_template": "true", "system_prompt": "You know Mrs Dalloway."}
    with pytest.raises(
        AssayError,
        match="system_prompt must be empty with private=true: .* template file: -P template=FILE",
    ) as refused:
        experiment_config(texts)

    assert "Dalloway" not in str(refused.value)


def modes(folder):
    return {path: stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.rglob("*"))}


def test_what_a_private_experiment_writes_here_is_its_owners_alone(params, store):
    work = store / "work"
    (work / "annotations").mkdir(parents=True)
    work.chmod(0o755)
    arguments = params(private="true", arms="llm", seeds="1")
    line = [
        sys.executable,
        "-m",
        "entrypoints.main",
        *(word for key, value in arguments.items() for word in (f"--{key}", value)),
    ]
    before = os.umask(0o022)
    try:
        done = subprocess.run(
            line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=250
        )
        assert done.returncode == 0, done.stderr
        report.report(
            {
                "run_id": latest_root().run_id,
                "workspace": str(store / "again"),
                "tolerance": "auto",
                "least_alpha": "auto",
            }
        )
        after = os.umask(0o022)
    finally:
        os.umask(before)

    assert after == 0o022  # the report's own, which does not outlast it
    assert stat.S_IMODE(work.stat().st_mode) == 0o700
    open_to_others = {path for path, mode in modes(work).items() if mode & 0o077}
    assert open_to_others <= {work / "annotations"}  # which was there, and which nobody gets at
    assert len(modes(work)) > 20
    reports = store / "again" / "reports" / latest_root().run_id
    assert len(modes(reports)) > 5
    assert not any(mode & 0o077 for mode in modes(reports).values())


def test_what_waits_for_the_store_is_its_owners_alone_too(store):
    before = os.umask(0o022)
    try:
        with root_run("experiment", "x", {"private": "true"}, str(store / "work")) as tracker:
            (spool,) = (store / "work" / "spool").iterdir()
            Spool(spool).put(Entry(created_ms=0, tags={"a": "b"}), {})
            waiting = modes(store / "work")
            assert len(waiting) >= 6
            assert not any(mode & 0o077 for mode in waiting.values())
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert read_run(tracker.run_id).tags["assay.private"] == "true"


def test_a_workspace_that_others_use_is_refused_and_left_as_it_is(tmp_path):
    tmp_path.chmod(0o1777)
    with (
        pytest.raises(
            AssayError,
            match="workspace must be a folder of your own with private=true; others use .* Set workspace",
        ),
        owner_only(True, tmp_path),
    ):
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


def test_hashes_stand_for_texts_and_for_what_errors_quote():
    table = pd.DataFrame(
        {
            "text": ["a b c", "d"],
            "error": pd.Series(["unparsed: no idea", "missing: a null"], dtype="str"),
            "label": ["x", None],
        }
    )
    made = table_for_store(table, private=True)

    assert (
        made["text"][0] == "sha256:0e9f64031fcb2bc7"
    )  # the first 16 hex digits that `printf 'a b c' | sha256sum` gives
    assert made["n_words"].tolist() == [3, 1]
    assert made["error"].tolist() == [f"unparsed: {hashed('no idea')}", "missing: a null"]
    assert table["text"][0] == "a b c"
    assert table_for_store(table, private=False) is table


def test_a_private_experiment_is_read_like_any_other(params):
    main.experiment(params(private="true", arms="gold,llm"))
    experiment = read_experiment(latest_root().run_id)

    assert set(experiment.arms) == {"gold", "llm"}
    assert experiment.root.tags["assay.private"] == "true"
