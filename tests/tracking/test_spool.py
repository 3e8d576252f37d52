"""What is logged is on disk first; a store that dies, comes back or stays away loses nothing and is given nothing twice."""

import contextlib
import shutil

import pytest
from mlflow.tracking import MlflowClient

from entrypoints.relog import log_again
from project.support.errors import AssayError
from project.tracking import (
    Child,
    Root,
    StoreUnavailable,
    children,
    every_child,
    read_json,
    read_run,
    relog,
    root_run,
    spools,
)
from project.tracking.log import root_of
from project.tracking.spool import Entry, Spool
from tests.helpers.stored import content, log_small

pytestmark = pytest.mark.xdist_group("spool")  # its servers are started once


def test_what_the_store_takes_leaves_nothing_behind(line, tmp_path):
    run_id = log_small(tmp_path)

    assert [name for name, *_ in content(run_id)] == ["small", "child 0", "child 1"]
    assert not (tmp_path / "work" / "spool").exists()


@pytest.mark.timeout(600)
def test_wherever_the_line_breaks_relog_brings_the_store_to_what_it_would_have_held(line, tmp_path):
    whole = content(log_small(tmp_path))
    line.requests.clear()
    log_small(tmp_path)  # with the experiment there already
    requests = len(line.requests)
    opening = next(
        place
        for place, (_, path) in enumerate(line.requests)
        if path.endswith("artifacts/one/a.txt")
    )
    for broken in range(opening - 1, requests):
        run_id = _broken(line, tmp_path, broken, answer=bool(broken % 2) and broken < requests - 1)
        line.mend()
        assert [spool.folder.name for spool in spools(tmp_path / "work")] == [run_id]

        log_again({"workspace": str(tmp_path / "work")})

        assert content(run_id) == whole, f"broken at request {broken}: {line.requests}"
        assert not (tmp_path / "work" / "spool").exists()


def _broken(line, folder, after, *, answer):
    """A small run whose line breaks for good with request number ``after``; its id."""
    made = []

    def spoil(place):
        if place == 0:
            made.append(next(iter(spools(folder / "work"))).folder.name)

    line.requests.clear()
    line.cut(after + 1, answer=answer)
    with pytest.raises(
        StoreUnavailable,
        match=r"entries wait in .*, and nothing is lost\. When it is back: mlflow run",
    ):
        log_small(folder, spoil=spoil)
    return made[0]


def test_a_store_that_comes_back_in_time_holds_everything_and_nothing_waits(line, tmp_path, capsys):
    whole = content(log_small(tmp_path))

    run_id = log_small(
        tmp_path,
        spoil=lambda place: line.cut() if place == 1 else line.mend() if place == 3 else None,
    )

    assert content(run_id) == whole
    assert not (tmp_path / "work" / "spool").exists()
    said = capsys.readouterr().err
    assert (
        said.count("does not take what is to be logged")
        == said.count("answers again; what waited is logged")
        == 1
    )


def test_relog_refuses_another_store_and_leaves_a_run_at_work_alone(line, tmp_path, capsys):
    spool = Spool.begin(tmp_path / "work", Root("0" * 32, "0", "experiment", "http://elsewhere"))
    spool.put(Entry(0, tags={"a": "b"}), {})

    log_again({"workspace": "work"})
    assert "is at work, and logs what waits itself" in capsys.readouterr().err

    spool.close()
    with pytest.raises(
        AssayError, match=r"belongs to http://elsewhere\. Set MLFLOW_TRACKING_URI to that\."
    ):
        log_again({"workspace": "work"})
    assert len(spool.pending()) == 1


@pytest.fixture
def classifier(tiny_encoder, tmp_path):
    """A folder with a classifier's weights and tokenizer."""
    import torch
    import transformers

    with torch.random.fork_rng():
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            tiny_encoder, num_labels=2
        )
    for part in (model, transformers.AutoTokenizer.from_pretrained(tiny_encoder)):
        part.save_pretrained(tmp_path / "classifier")
    return tmp_path / "classifier"


def test_weights_whose_upload_breaks_are_logged_anew_and_half_of_them_is_no_model(
    line, tmp_path, classifier
):
    child = Child("child", "seed", "digest", {"seed": 0}, {"score": 1.0}, {}, "a child")

    def log(cut=None):
        with root_run("experiment", "weights", {}, "work") as tracker:
            run_id = tracker.log_child(child)
            made.append(tracker.run_id)
            if cut is not None:
                line.cut(cut)
            tracker.log_model(
                run_id, classifier, source="tiny", max_length=16, about="A classifier for tests."
            )
        return tracker.run_id

    made: list[str] = []
    line.requests.clear()
    log()
    paths = [path for _, path in line.requests]
    upload = next(place for place, path in enumerate(paths) if path.endswith("model.safetensors"))
    before = upload - next(
        place for place, path in enumerate(paths) if path.endswith("runs/update")
    )
    with pytest.raises(StoreUnavailable):
        log(before)
    shutil.rmtree(classifier)  # nothing is needed of it any more
    line.mend()

    log_again({"workspace": "work"})

    (seed,) = children(read_run(made[1]), "seed")
    outputs = MlflowClient().get_run(seed.run_id).outputs
    found = (
        [MlflowClient().get_logged_model(one.model_id) for one in outputs.model_outputs]
        if outputs
        else []
    )
    ready = [one for one in found if one.status == "READY"]
    assert len(ready) == 1
    assert any(file.path.endswith(".safetensors") for file in walk(ready[0].model_id))


def walk(model_id, folder=None):
    for file in MlflowClient().list_logged_model_artifacts(model_id, folder):
        yield from walk(model_id, file.path) if file.is_dir else [file]


def test_a_report_that_the_store_breaks_off_is_made_by_relog_and_the_run_ends_after_it(
    line, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    reports = []
    with (
        pytest.raises(StoreUnavailable, match=r"mlflow run \. -e relog makes the report"),
        root_run("experiment", "report", {}, "work") as tracker,
    ):
        tracker.log_json("read.json", {})
        tracker.computed = True
        line.cut()
        read_json(tracker.run_id, "read.json")  # as a report does
    line.mend()
    assert read_run(tracker.run_id).status == "RUNNING"

    (spool,) = spools(tmp_path / "work")
    with contextlib.closing(spool):
        assert spool.lock()
        assert (
            relog(spool, lambda root: reports.append((root.run_id, read_run(root.run_id).status)))
            == 1
        )

    assert reports == [(tracker.run_id, "RUNNING")]
    assert read_run(tracker.run_id).status == "FINISHED"
    assert not spool.folder.exists()


def test_what_the_store_will_never_take_is_set_aside_and_stands_in_nobodys_way(
    line, tmp_path, capsys
):
    with (
        pytest.raises(StoreUnavailable, match="refused 1 entries, which wait in"),
        root_run("experiment", "refused", {}, "work") as tracker,
    ):
        for name in ("good", "bad@name", "better"):
            tracker.log_child(
                Child(name, "seed", f"digest {name}", {"seed": 0}, {name: 1.0}, {}, "a child")
            )

    root = read_run(tracker.run_id)
    assert root.status == "FINISHED"
    assert [(run.name, run.status) for run in every_child(root, "seed")] == [
        ("good", "FINISHED"),
        ("bad@name", "FAILED"),
        ("better", "FINISHED"),
    ]
    assert "refuses an entry, which is set aside in" in capsys.readouterr().err
    with pytest.raises(AssayError, match="refused 1 of 1 entries"):
        log_again({"workspace": "work"})
    assert len(next(iter(spools(tmp_path / "work"))).refused()) == 1


def test_a_damaged_spool_takes_nothing_from_the_others_and_a_deleted_run_is_named(
    line, tmp_path, capsys
):
    line_of = []
    for name in ("damaged", "deleted", "sound"):
        with root_run("experiment", name, {}, "work") as tracker:
            line_of.append(tracker.run_id)
        spool = Spool.begin(tmp_path / "work", root_of(tracker.run_id))
        spool.put(Entry(0, tags={"late": "yes"}), {})
        spool.close()
    damaged, deleted, sound = line_of
    next((tmp_path / "work" / "spool" / damaged).glob("*-*/entry.json")).write_text("")
    MlflowClient().delete_run(deleted)

    with pytest.raises(AssayError):
        log_again({"workspace": "work"})

    said = capsys.readouterr().err
    assert f"spool/{damaged} cannot be read" in said
    assert (
        f"run {deleted} of the tracking store {line.url} is deleted. Restore it (mlflow runs restore --run-id {deleted}), or remove"
        in said
    )
    assert read_run(sound).tags["late"] == "yes"
