"""What is logged is on disk first; a store that dies, comes back or stays away loses nothing and is given nothing twice."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.tracking import MlflowClient

from entrypoints.reap import reap
from entrypoints.relog import log_again
from project import worker
from project.errors import AssayError
from project.tracking import (
    Child,
    Root,
    StoreAway,
    Tracker,
    children,
    dead_runs,
    end_dead,
    every_child,
    me,
    read_artifact,
    read_json,
    read_run,
    relog,
    root_run,
    spools,
)
from project.tracking import log as log_module
from project.tracking import root as root_module
from project.tracking.log import root_of
from project.tracking.preflight import preflight
from project.tracking.spool import Entry, Spool
from project.tracking.store import fails
from tests.servers import Proxy, client
from tests.stored import content

pytestmark = pytest.mark.xdist_group("spool")  # its servers are started once


def caused(error, cause):
    error.__cause__ = cause
    return error


def answered(status):
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


@pytest.fixture
def line(server, tmp_path, monkeypatch):
    """A line to the server that can be cut, to which this process points; a store that is away is tried again at once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", tmp_path.name)
    monkeypatch.setattr(log_module, "_AGAIN", 0.0)
    monkeypatch.setattr(log_module, "_PATIENCE", (0.1,))
    monkeypatch.setattr("project.tracking.ship._PAUSES", (0.05,))
    with Proxy(server.port) as proxy, client(proxy.url):
        yield proxy


def log_small(folder, *, workspace="work", spoil=lambda place: None):
    """A root run with files, tags, two children and metrics by step; ``spoil`` is called between the steps."""
    (folder / "a.txt").write_text("a")
    (folder / "b.txt").write_text("b")
    with root_run("experiment", "small", {"task": "t"}, workspace) as tracker:
        spoil(0)
        tracker.log_files({"one/a.txt": folder / "a.txt"}, tags={"colour": "red"})
        tracker.log_metrics({"m": 0.5})
        for number in (0, 1):
            spoil(1 + number)
            child = Child(
                f"child {number}", "seed", f"digest{number}", {"seed": number}, {"score": number / 2}, {"b.txt": folder / "b.txt"}, "a child",
                history=[(1, {"loss": 1.0}), (2, {"loss": 0.5})], inputs=[("data", "0" * 64, "training")],
            )  # fmt: skip
            tracker.log_child(child)
        spoil(3)
        tracker.describe("All there.", {"ended": "well"})
        spoil(4)
    return tracker.run_id


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
    opening = next(place for place, (_, path) in enumerate(line.requests) if path.endswith("artifacts/one/a.txt"))
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
    with pytest.raises(StoreAway, match=r"entries wait in .*, and nothing is lost\. When it is back: mlflow run"):
        log_small(folder, spoil=spoil)
    return made[0]


def test_a_store_that_comes_back_in_time_holds_everything_and_nothing_waits(line, tmp_path, capsys):
    whole = content(log_small(tmp_path))

    run_id = log_small(tmp_path, spoil=lambda place: line.cut() if place == 1 else line.mend() if place == 3 else None)

    assert content(run_id) == whole
    assert not (tmp_path / "work" / "spool").exists()
    said = capsys.readouterr().err
    assert said.count("does not take what is to be logged") == said.count("answers again; what waited is logged") == 1


def test_a_process_that_is_killed_leaves_what_the_store_lacks_and_a_run_that_reap_ends(line, tmp_path):
    script = (
        "import os, signal\nfrom project.tracking import Child, root_run\n"
        "with root_run('experiment', 'killed', {'task': 't'}, 'work') as tracker:\n"
        "    print(tracker.run_id, flush=True)\n    input()\n"
        "    tracker.log_child(Child('child', 'seed', 'digest', {'seed': 0}, {'score': 1.0}, {}, 'a child'))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        run_id = process.stdout.readline().strip()
        line.cut()
        process.communicate("\n")
    line.mend()
    assert read_run(run_id).status == "RUNNING"

    log_again({"workspace": "work"})
    assert [child.metrics["score"] for child in children(read_run(run_id), "seed")] == [1.0]
    assert read_run(run_id).status == "RUNNING"

    reap({"run_id": run_id, "dry_run": "true"})
    assert read_run(run_id).status == "RUNNING"
    reap({"run_id": run_id})
    assert read_run(run_id).status == read_run(run_id).tags["assay.ended"] == "KILLED"


def test_reap_leaves_alone_what_may_be_at_work_and_what_is_somebody_elses(line, tmp_path, monkeypatch):
    client_ = MlflowClient()
    with root_run("experiment", "mine", {}, "work") as tracker:
        reap({})
        assert read_run(tracker.run_id).status == "RUNNING"
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
        with root_run("experiment", "ann's", {}, "work") as other:
            pass
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    client_.update_run(other.run_id, "RUNNING")
    client_.set_tag(other.run_id, "assay.worker", "elsewhere:1:1")
    client_.set_tag(other.run_id, "assay.heard", "1000000000")

    reap({})
    assert read_run(other.run_id).status == "RUNNING"
    reap({"whose": "anybody"})
    assert read_run(other.run_id).status == "KILLED"


def test_a_run_that_mlflow_run_made_and_that_never_began_is_ended_after_an_hour(line, tmp_path, monkeypatch):
    client_ = MlflowClient()
    experiment_id = client_.create_experiment(f"{tmp_path.name} never")
    hours_ago = int(1000 * (time.time() - 7200))
    tags = {"mlflow.project.entryPoint": "relog", "mlflow.user": me()}
    made = [client_.create_run(experiment_id, hours_ago, tags).info.run_id for _ in range(2)]
    client_.log_param(made[0], "workspace", "outputs")  # the other one is of another project, whose entry point has the same name
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")  # whom `mlflow run` does not name

    reap({})

    assert [read_run(run_id).status for run_id in made] == ["KILLED", "RUNNING"]


def test_relog_refuses_another_store_and_leaves_a_run_at_work_alone(line, tmp_path, capsys):
    spool = Spool.begin(tmp_path / "work", Root("0" * 32, "0", "experiment", "http://elsewhere"))
    spool.put(Entry(0, tags={"a": "b"}), {})

    log_again({"workspace": "work"})
    assert "is at work, and logs what waits itself" in capsys.readouterr().err

    spool.close()
    with pytest.raises(AssayError, match=r"belongs to http://elsewhere\. Set MLFLOW_TRACKING_URI to that\."):
        log_again({"workspace": "work"})
    assert len(spool.pending()) == 1


@pytest.fixture
def classifier(tiny_encoder, tmp_path):
    """A folder with a classifier's weights and tokenizer."""
    import torch
    import transformers

    with torch.random.fork_rng():
        model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_encoder, num_labels=2)
    for part in (model, transformers.AutoTokenizer.from_pretrained(tiny_encoder)):
        part.save_pretrained(tmp_path / "classifier")
    return tmp_path / "classifier"


def test_weights_whose_upload_breaks_are_logged_anew_and_half_of_them_is_no_model(line, tmp_path, classifier):
    child = Child("child", "seed", "digest", {"seed": 0}, {"score": 1.0}, {}, "a child")

    def log(cut=None):
        with root_run("experiment", "weights", {}, "work") as tracker:
            run_id = tracker.log_child(child)
            made.append(tracker.run_id)
            if cut is not None:
                line.cut(cut)
            tracker.log_model(run_id, classifier, source="tiny", max_length=16, about="A classifier for tests.")
        return tracker.run_id

    made: list[str] = []
    line.requests.clear()
    log()
    paths = [path for _, path in line.requests]
    upload = next(place for place, path in enumerate(paths) if path.endswith("model.safetensors"))
    before = upload - next(place for place, path in enumerate(paths) if path.endswith("runs/update"))
    with pytest.raises(StoreAway):
        log(before)
    shutil.rmtree(classifier)  # nothing is needed of it any more
    line.mend()

    log_again({"workspace": "work"})

    (seed,) = children(read_run(made[1]), "seed")
    outputs = MlflowClient().get_run(seed.run_id).outputs
    found = [MlflowClient().get_logged_model(one.model_id) for one in outputs.model_outputs] if outputs else []
    ready = [one for one in found if one.status == "READY"]
    assert len(ready) == 1
    assert any(file.path.endswith(".safetensors") for file in walk(ready[0].model_id))


def walk(model_id, folder=None):
    for file in MlflowClient().list_logged_model_artifacts(model_id, folder):
        yield from walk(model_id, file.path) if file.is_dir else [file]


def test_a_report_that_the_store_breaks_off_is_made_by_relog_and_the_run_ends_after_it(line, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    reports = []
    with pytest.raises(StoreAway, match=r"mlflow run \. -e relog makes the report"), root_run("experiment", "report", {}, "work") as tracker:
        tracker.log_json("read.json", {})
        tracker.computed = True
        line.cut()
        read_json(tracker.run_id, "read.json")  # as a report does
    line.mend()
    assert read_run(tracker.run_id).status == "RUNNING"

    (spool,) = spools(tmp_path / "work")
    with contextlib.closing(spool):
        assert spool.lock()
        assert relog(spool, lambda root: reports.append((root.run_id, read_run(root.run_id).status))) == 1

    assert reports == [(tracker.run_id, "RUNNING")]
    assert read_run(tracker.run_id).status == "FINISHED"
    assert not spool.folder.exists()


def test_an_artifact_that_a_store_does_not_hold_is_told_from_a_store_that_is_away(line, tmp_path):
    run = read_run(log_small(tmp_path))
    for read in (lambda: read_json(run.run_id, "none.json"), lambda: read_artifact(run, "one/none.txt"), lambda: read_json("0" * 32, "none.json")):
        with pytest.raises(AssayError, match="cannot be read") as refused:
            read()
        assert not isinstance(refused.value, StoreAway)


@pytest.mark.timeout(60)  # MLflow alone asks for four minutes
def test_a_store_that_is_away_is_asked_once_for_what_it_holds_and_then_left_alone(line, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(log_module, "_AGAIN", 600.0)
    seed, _ = children(read_run(log_small(tmp_path)), "seed")
    for ask, said in (
        (lambda tracker: list(tracker.reusable("seed", "assay.digest", "digest0", "team")), "does not say what it holds"),
        (lambda tracker: tracker.checked(seed, ["b.txt"]), "does not give what it holds"),
    ):
        with pytest.raises(StoreAway, match="nothing is lost"), root_run("experiment", "asks", {}, "work") as tracker:
            assert seed in tracker.reusable("seed", "assay.digest", "digest0", "team")
            assert tracker.checked(seed, ["b.txt"]) == {"b.txt": b"b"}
            line.cut()
            with contextlib.suppress(StoreAway):
                assert ask(tracker) == []
            assert list(tracker.reusable("seed", "assay.digest", "digest0", "team")) == []
            tracker.tag({"computed": "yes"})
        line.mend()
        assert capsys.readouterr().err == f"the tracking store {line.url} {said}: Connection refused. Going on without it.\n"


def test_what_the_store_will_never_take_is_set_aside_and_stands_in_nobodys_way(line, tmp_path, capsys):
    with pytest.raises(StoreAway, match="refused 1 entries, which wait in"), root_run("experiment", "refused", {}, "work") as tracker:
        for name in ("good", "bad@name", "better"):
            tracker.log_child(Child(name, "seed", f"digest {name}", {"seed": 0}, {name: 1.0}, {}, "a child"))

    root = read_run(tracker.run_id)
    assert root.status == "FINISHED"
    assert [(run.name, run.status) for run in every_child(root, "seed")] == [("good", "FINISHED"), ("bad@name", "FAILED"), ("better", "FINISHED")]
    assert "refuses an entry, which is set aside in" in capsys.readouterr().err
    with pytest.raises(AssayError, match="refused 1 of 1 entries"):
        log_again({"workspace": "work"})
    assert len(next(iter(spools(tmp_path / "work"))).refused()) == 1


def test_a_damaged_spool_takes_nothing_from_the_others_and_a_deleted_run_is_named(line, tmp_path, capsys):
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
    assert f"run {deleted} of the tracking store {line.url} is deleted. Restore it (mlflow runs restore --run-id {deleted}), or remove" in said
    assert read_run(sound).tags["late"] == "yes"


def test_a_signal_while_the_root_run_opens_ends_it_as_killed(store, monkeypatch):
    monkeypatch.setattr(root_module, "_open_on_runs", lambda experiment_id: os.kill(os.getpid(), signal.SIGTERM))

    begun = []
    with pytest.raises(SystemExit) as ended, root_run("experiment", "opening", {}, "work") as tracker:
        begun.append(tracker)

    assert (ended.value.code, begun) == (128 + signal.SIGTERM, [])
    (run,) = MlflowClient().search_runs([one.experiment_id for one in MlflowClient().search_experiments()])
    assert (run.info.status, run.data.tags["assay.ended"]) == ("KILLED", "KILLED")
    assert not Path("work", "spool").exists()


def test_ctrl_c_again_while_a_stopped_run_ends_lets_it_end(store, monkeypatch):
    end = Tracker.end

    def interrupted(tracker, status, *, report):
        os.kill(os.getpid(), signal.SIGINT)
        end(tracker, status, report=report)

    monkeypatch.setattr(Tracker, "end", interrupted)
    with pytest.raises(KeyboardInterrupt), root_run("experiment", "closing", {}, "work") as tracker:
        os.kill(os.getpid(), signal.SIGINT)

    assert read_run(tracker.run_id).status == "KILLED"
    assert not Path("work", "spool").exists()


def test_a_root_run_whose_end_finds_no_room_on_disk_is_ended_in_the_store(store):
    Path("small").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "small"], capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with pytest.raises(OSError, match="No space left on device"), root_run("experiment", "full", {}, "small") as tracker:
            tracker.tag({"kept": "yes"})
            with contextlib.suppress(OSError), Path("small", "filler").open("wb", buffering=0) as filler:
                while filler.write(bytes(4096)):
                    pass
    finally:
        subprocess.run(["umount", "small"], check=True)

    run = read_run(tracker.run_id)
    assert (run.status, run.tags["kept"]) == ("FINISHED", "yes")


def test_a_root_run_whose_making_is_not_answered_is_not_made_twice(line, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    log_small(tmp_path)
    line.requests.clear()
    log_small(tmp_path)  # with the experiment there already
    making = next(place for place, (_, path) in enumerate(line.requests) if path.endswith("runs/create"))
    line.cut(making + 1)
    back = threading.Timer(0.3, line.mend)  # long before the client would send it again
    back.start()
    with pytest.raises(StoreAway):
        log_small(tmp_path)
    back.join()

    experiment_ids = [one.experiment_id for one in MlflowClient().search_experiments(filter_string=f"name = '{tmp_path.name}'")]
    roots = MlflowClient().search_runs(experiment_ids, "tags.`assay.kind` = 'experiment'")
    assert [run.info.status for run in roots] == ["RUNNING", "FINISHED", "FINISHED"]


def test_an_artifact_store_that_lacks_its_client_stops_no_computation(store, monkeypatch):
    monkeypatch.setattr(log_module, "_PATIENCE", ())
    monkeypatch.setattr("project.tracking.ship._PAUSES", ())
    MlflowClient().create_experiment("assay", artifact_location="s3://no-such-bucket/assay")  # boto3 is not installed here
    (store / "a.txt").write_text("a")
    with pytest.raises(StoreAway, match="entries wait in"), root_run("experiment", "no client", {}, "work") as tracker:
        tracker.log_files({"a.txt": store / "a.txt"})
        tracker.tag({"computed": "yes"})

    assert len(next(iter(spools(Path("work")))).pending()) == 3


def test_a_run_that_has_ended_meanwhile_is_not_reaped(store):
    with root_run("experiment", "x", {}, "work") as tracker:
        pass
    client_ = MlflowClient()
    client_.update_run(tracker.run_id, "RUNNING")
    client_.set_tag(tracker.run_id, "assay.worker", "elsewhere:1:1")
    client_.set_tag(tracker.run_id, "assay.heard", "1000000000")
    (dead,) = dead_runs({})
    client_.set_terminated(tracker.run_id, "FINISHED")

    end_dead(dead)

    assert read_run(tracker.run_id).status == "FINISHED"


def test_the_run_of_a_preflight_that_was_killed_is_reaped_and_a_time_that_is_none_stops_nothing(store, monkeypatch):
    client_ = MlflowClient()
    monkeypatch.setattr(sys.modules["project.tracking.preflight"], "_take_away", lambda run: None)  # as SIGKILL does
    for heard in ("1000000000", "nan", "inf", "soon", "-1e300"):
        preflight(Path("work"))
        (run,) = client_.search_runs(["1"], "attributes.status = 'RUNNING'")
        reap({})
        assert client_.get_run(run.info.run_id).info.status == "RUNNING"  # this process is at work
        client_.set_tag(run.info.run_id, "assay.worker", f"elsewhere:{run.data.tags['assay.worker'].partition(':')[2]}")
        client_.set_tag(run.info.run_id, "assay.heard", heard)
        with monkeypatch.context() as later:
            later.setattr(worker, "SILENCE", 0.0)
            reap({})

        assert client_.get_run(run.info.run_id).info.status == "KILLED"


def test_a_store_that_is_back_before_the_end_is_not_said_to_be_away(line, tmp_path, monkeypatch):
    monkeypatch.setattr(log_module, "_AGAIN", 600.0)
    with root_run("experiment", "back", {}, "work") as tracker:
        line.cut()
        assert list(tracker.reusable("seed", "assay.digest", "x", "team")) == []
        line.mend()

    assert read_run(tracker.run_id).status == "FINISHED"


@pytest.mark.parametrize(
    ("error", "failing"),
    [
        (caused(MlflowException("API request to x failed"), requests.ConnectionError()), True),
        (caused(MlflowException("Failed to download"), caused(OSError(), ConnectionResetError())), True),
        (answered(503), True), (answered(429), True), (answered(403), False), (answered(404), False),
        (ModuleNotFoundError("botocore"), False), (PermissionError(), False), (MlflowException("invalid scheme"), False),
        (MlflowException("no run", RESOURCE_DOES_NOT_EXIST), False), (RestException({"error_code": "INTERNAL_ERROR"}), True),
        (RuntimeError("of a cloud's client"), True),
    ],
    ids=lambda value: "",
)  # fmt: skip
def test_a_store_that_fails_is_told_from_one_that_refuses(error, failing):
    assert fails(error) == failing


def test_how_busy_the_machine_is_stands_on_the_root_run_where_it_is_asked_for(store, monkeypatch):
    monkeypatch.setattr("project.tracking.alive._SAMPLED", 0.1)
    for asked in ("true", "false"):
        monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", asked)
        with root_run("experiment", "busy", {}, "work") as tracker:
            time.sleep(0.5)
        metrics = read_run(tracker.run_id).metrics
        assert any(name.startswith("system/cpu") for name in metrics) == (asked == "true")


def test_a_root_run_that_cannot_be_opened_leaves_no_spool(store, monkeypatch):
    monkeypatch.setattr(root_module, "send", raise_away)
    with pytest.raises(StoreAway), root_run("experiment", "x", {}, "work"):
        pass

    assert not Path("work", "spool").exists()
    assert {run.info.status for run in MlflowClient().search_runs(["1"])} == {"FAILED"}


def raise_away(*_, **__):
    raise StoreAway("it is away.")


def test_a_process_of_another_container_with_this_machines_name_counts_by_when_it_was_heard_of():
    here, pid, began = worker.name(os.getpid()).split(":")
    assert worker.alive(f"{here}:{pid}:{began}", 0.0)

    elsewhere = f"{here.partition('/')[0]}/01234567:{pid}:{began}"
    assert worker.alive(elsewhere, time.time())
    assert not worker.alive(elsewhere, time.time() - 2 * worker.SILENCE)
