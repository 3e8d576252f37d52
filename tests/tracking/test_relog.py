"""A store that dies, comes back or stays away loses nothing and receives nothing twice."""

import contextlib
import shutil

import pytest
from mlflow.tracking import MlflowClient

from entrypoints.relog import relog as relog_command
from project.support.errors import AssayError
from project.tracking import (
    Child,
    RootRun,
    StoreUnavailable,
    all_children,
    children,
    read_json,
    read_run,
    root_run,
    send_spool,
    spools,
)
from project.tracking.entries import Entry
from project.tracking.spool import Spool
from project.tracking.tracker import root_of
from tests.helpers.stored import content, log_small

pytestmark = pytest.mark.xdist_group("tracking-server")


def small_child(name="child", *, metric="score"):
    return Child(
        name,
        "seed",
        f"digest {name}",
        {"seed": 0},
        metrics={metric: 1.0},
        files={},
        description="a child",
    )


def requests_until(proxy, ending):
    """How many requests came before the first whose path ends so."""
    return next(n for n, (_, path) in enumerate(proxy.requests) if path.endswith(ending))


def test_an_experiment_that_logs_everything_leaves_no_spool(proxy, tmp_path):
    run_id = log_small(tmp_path)

    assert [name for name, *_ in content(run_id)] == ["small", "child 0", "child 1"]
    assert not (tmp_path / "work" / "spool").exists()


@pytest.mark.timeout(600)
def test_after_a_break_at_any_request_relog_completes_the_store(proxy, tmp_path):
    complete = content(log_small(tmp_path))
    proxy.requests.clear()
    log_small(tmp_path)  # now that the experiment exists
    n_requests = len(proxy.requests)
    first_upload = requests_until(proxy, "artifacts/one/a.txt")
    for broken in range(first_upload - 1, n_requests):
        # Every other time the server acts on the last request, but its answer is lost.
        answer = bool(broken % 2) and broken < n_requests - 1
        run_id = log_small_with_break(proxy, tmp_path, broken, answer=answer)
        proxy.mend()
        assert [spool.folder.name for spool in spools(tmp_path / "work")] == [run_id]

        relog_command({"workspace": str(tmp_path / "work")})

        assert content(run_id) == complete, f"broken at request {broken}: {proxy.requests}"
        assert not (tmp_path / "work" / "spool").exists()


def log_small_with_break(proxy, folder, after, *, answer):
    """Log a small run whose connection breaks for good at request ``after``; returns its id."""
    run_ids = []

    def note_id(step):
        if step == 0:
            run_ids.append(next(iter(spools(folder / "work"))).folder.name)

    proxy.requests.clear()
    proxy.cut(after + 1, answer=answer)
    message = (
        r"entries wait in .*, and nothing is lost\. When it is back, run the entry point relog"
    )
    with pytest.raises(StoreUnavailable, match=message):
        log_small(folder, before_step=note_id)
    return run_ids[0]


def test_a_store_that_is_back_before_the_end_holds_everything(proxy, tmp_path, capsys):
    complete = content(log_small(tmp_path))

    def break_and_mend(step):
        if step == 1:
            proxy.cut()
        elif step == 3:
            proxy.mend()

    run_id = log_small(tmp_path, before_step=break_and_mend)

    assert content(run_id) == complete
    assert not (tmp_path / "work" / "spool").exists()
    messages = capsys.readouterr().err
    assert messages.count("does not accept what is logged") == 1
    assert messages.count("answers again; what waited is logged") == 1


def test_relog_refuses_another_store_and_skips_a_run_that_is_at_work(proxy, tmp_path, capsys):
    root = RootRun(run_id="0" * 32, experiment_id="0", kind="experiment", store="http://elsewhere")
    spool = Spool.begin(tmp_path / "work", root)
    spool.put(Entry(created_ms=0, tags={"a": "b"}), {})

    relog_command({"workspace": "work"})
    assert f"the process of run {root.run_id} is alive" in capsys.readouterr().err

    spool.close()
    with pytest.raises(
        AssayError, match=r"belongs to http://elsewhere\. Set MLFLOW_TRACKING_URI to that\."
    ):
        relog_command({"workspace": "work"})
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


def test_relog_uploads_weights_anew_whose_upload_broke_and_leaves_one_ready_model(
    proxy, tmp_path, classifier
):
    run_ids: list[str] = []

    def log(cut_after=None):
        with root_run("experiment", "weights", {}, "work") as tracker:
            run_id = tracker.log_child(small_child())
            run_ids.append(tracker.run_id)
            if cut_after is not None:
                proxy.cut(cut_after)
            tracker.log_model(
                run_id, classifier, source="tiny", max_length=16, about="A classifier for tests."
            )

    proxy.requests.clear()
    log()
    # From the end of the child run to the upload of the weights
    n_before = requests_until(proxy, "model.safetensors") - requests_until(proxy, "runs/update")
    with pytest.raises(StoreUnavailable):
        log(n_before)
    shutil.rmtree(classifier)  # the spool has its own copy
    proxy.mend()

    relog_command({"workspace": "work"})

    (seed,) = children(read_run(run_ids[1]), "seed")
    outputs = MlflowClient().get_run(seed.run_id).outputs
    assert outputs is not None
    models = [MlflowClient().get_logged_model(each.model_id) for each in outputs.model_outputs]
    (ready,) = [model for model in models if model.status == "READY"]
    assert any(path.endswith(".safetensors") for path in model_files(ready.model_id))


def model_files(model_id, folder=None):
    for file in MlflowClient().list_logged_model_artifacts(model_id, folder):
        yield from model_files(model_id, file.path) if file.is_dir else [file.path]


def test_relog_makes_the_report_that_an_outage_prevented_before_it_ends_the_run(
    proxy, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with (
        pytest.raises(StoreUnavailable, match="the entry point relog makes the report"),
        root_run("experiment", "report", {}, "work") as tracker,
    ):
        tracker.log_json("read.json", {})
        tracker.computed = True
        proxy.cut()
        read_json(tracker.run_id, "read.json")  # as a report does
    proxy.mend()
    assert read_run(tracker.run_id).status == "RUNNING"

    reports = []

    def make_report(root):
        reports.append((root.run_id, read_run(root.run_id).status))

    (spool,) = spools(tmp_path / "work")
    with contextlib.closing(spool):
        assert spool.lock()
        assert send_spool(spool, make_report) == 1

    assert reports == [(tracker.run_id, "RUNNING")]
    assert read_run(tracker.run_id).status == "FINISHED"
    assert not spool.folder.exists()


def test_an_entry_that_the_store_never_accepts_is_set_aside_and_the_rest_is_logged(
    proxy, tmp_path, capsys
):
    with (
        pytest.raises(StoreUnavailable, match="refused 1 entries, which wait in"),
        root_run("experiment", "refused", {}, "work") as tracker,
    ):
        for name in ("good", "bad@name", "better"):
            tracker.log_child(small_child(name, metric=name))

    root = read_run(tracker.run_id)
    assert root.status == "FINISHED"
    assert [(run.name, run.status) for run in all_children(root, "seed")] == [
        ("good", "FINISHED"),
        ("bad@name", "FAILED"),
        ("better", "FINISHED"),
    ]
    assert "refuses an entry, which is set aside in" in capsys.readouterr().err
    with pytest.raises(AssayError, match="refused 1 of 1 entries"):
        relog_command({"workspace": "work"})
    assert len(next(iter(spools(tmp_path / "work"))).refused()) == 1


def test_a_damaged_spool_or_a_deleted_run_does_not_keep_relog_from_the_others(
    proxy, tmp_path, capsys
):
    run_ids = []
    for name in ("damaged", "deleted", "sound"):
        with root_run("experiment", name, {}, "work") as tracker:
            run_ids.append(tracker.run_id)
        spool = Spool.begin(tmp_path / "work", root_of(tracker.run_id))
        spool.put(Entry(created_ms=0, tags={"late": "yes"}), {})
        spool.close()
    damaged, deleted, sound = run_ids
    (file,) = (tmp_path / "work" / "spool" / damaged).glob("*-*/entry.json")
    file.write_text("")
    MlflowClient().delete_run(deleted)

    with pytest.raises(AssayError):
        relog_command({"workspace": "work"})

    messages = capsys.readouterr().err
    assert f"{file.relative_to(tmp_path)} cannot be read: it is not JSON" in messages
    assert (
        f"run {deleted} of the tracking store {proxy.url} is deleted. "
        f"Restore it (mlflow runs restore --run-id {deleted}), or remove"
    ) in messages
    assert read_run(sound).tags["late"] == "yes"
