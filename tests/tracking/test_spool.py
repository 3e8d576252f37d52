"""The spool on disk: who may send its entries, and what its files hold."""

import json
import math
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from project.support.errors import AssayError
from project.support.privacy import owner_only
from project.tracking.entries import ChildRun, DataInput, Entry, MetricValue, RootRun
from project.tracking.spool import Spool, spools

ROOT = Path(__file__).parents[2]


def begin(workspace, run_id="run"):
    root = RootRun(run_id=run_id, experiment_id="1", kind="experiment", store="http://store")
    return Spool.begin(workspace, root)


def test_only_one_of_two_threads_has_the_lock_until_it_is_released(tmp_path):
    spool = begin(tmp_path)
    spool.put(Entry(tags={"a": "b"}), {})
    locked = []

    def lock_again():
        locked.append(Spool(spool.folder).lock())

    for _ in range(2):
        thread = threading.Thread(target=lock_again)
        thread.start()
        thread.join()
        spool.close()  # another thread than the one that locked it may close it

    assert locked == [False, True]


def test_the_lock_of_a_killed_process_is_released(tmp_path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom tests.tracking.test_spool import begin\n"
        "spool = begin(Path(sys.argv[1]))\nprint('locked', flush=True)\ninput()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"locked\n"
        (spool,) = spools(tmp_path)
        assert not spool.lock()
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert spool.lock()
    spool.close()


def test_the_lock_of_a_private_workspace_is_readable_by_its_owner_only(tmp_path):
    with owner_only(True, tmp_path):
        spool = begin(tmp_path)

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in spool.folder.iterdir()}
    assert modes == {"lock": 0o600, "root.json": 0o600}
    spool.close()


def test_an_entry_is_read_back_as_it_was_put_also_a_metric_that_is_not_a_number(tmp_path):
    entry = Entry(
        child=ChildRun("é", "FINISHED"),
        seconds=1.5,
        params={"a": "1"},
        tags={"b": "2"},
        metrics=[MetricValue("loss", math.nan, 5, 1)],
        inputs=[DataInput("data", "0" * 64, "training")],
    )
    folder = begin(tmp_path).put(entry, {})

    read = Entry.of_folder(folder)
    assert read.model_dump(exclude={"metrics"}) == entry.model_dump(exclude={"metrics"})
    assert math.isnan(read.metrics[0].value)


def test_entries_and_root_runs_of_older_versions_are_read(tmp_path):
    stored = {
        "made": 1700000000000,
        "entry_id": "id",
        "child": None,
        "seconds": 0.0,
        "params": {},
        "tags": {"t": "u"},
        "metrics": [["loss", 0.5, 1700000000000, 3]],
        "inputs": [],
        "of": "entry:other",
        "model": {"source": "tiny", "max_length": 64, "about": ""},
        "end": "FINISHED",
        "report": True,
    }
    (tmp_path / "entry.json").write_text(json.dumps(stored))
    (tmp_path / "root.json").write_text(
        '{"run_id": "r", "experiment_id": "1", "kind": "experiment", "store": "http://store"}'
    )

    assert Entry.of_folder(tmp_path) == Entry(
        created_ms=1700000000000,
        entry_id="id",
        tags={"t": "u"},
        metrics=[MetricValue("loss", 0.5, 1700000000000, 3)],
        inputs=[],
        classifier_run="entry:other",
        classifier={"source": "tiny", "max_length": 64, "about": ""},
        end_status="FINISHED",
        report_due=True,
    )
    assert json.loads(Entry.of_folder(tmp_path).to_json()) == stored
    assert Spool(tmp_path).root.user == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is not JSON"),
        ("[1]", "it is not a JSON object"),
        ('{"made": "soon"}', "made: Input should be a valid integer"),
        ('{"made": 1, "surprise": 2}', "surprise: Extra inputs are not permitted"),
        ('{"made": 1, "metrics": [["loss", "high", 1, 2]]}', "metrics.0.1: Input should be"),
    ],
)
def test_a_damaged_entry_is_refused_in_one_line_that_names_the_file(tmp_path, text, message):
    (tmp_path / "entry.json").write_text(text)

    with pytest.raises(AssayError) as refused:
        Entry.of_folder(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path}/entry.json cannot be read: {message}")
    assert "\n" not in str(refused.value)


def test_a_refused_entry_is_pending_again_at_its_old_position_after_retry(tmp_path):
    spool = begin(tmp_path)
    first, second = (spool.put(Entry(), {}) for _ in range(2))
    spool.refuse(first)
    assert spool.pending() == [second]

    spool.retry()

    assert spool.pending() == [first, second]
    spool.close()
