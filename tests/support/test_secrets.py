"""Nothing that a run writes, logs or shows holds a password, key or token."""

import base64
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from entrypoints import annotate, sweep
from entrypoints.wiring.command import main
from project.support.redact import MASK
from project.tracking import Child, root_run
from tests.helpers import forked
from tests.helpers.faulty_server import LISTED, Fault, FaultyServer
from tests.helpers.servers import ADMIN, tracking_server
from tests.helpers.serving import LETTERS

ROOT = Path(__file__).parents[2]


def test_parameters_tags_and_descriptions_are_scrubbed_before_they_are_logged(store, monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "planted-value")
    with root_run("experiment", "x", {"where": "a=planted-value"}) as tracker:
        tracker.describe("says planted-value", {"assay.reason": "Bearer planted-value"})
        child = Child(
            "c",
            "trial",
            "d",
            {"p": "planted-value"},
            metrics={},
            files={},
            description="by planted-value",
            tags={"assay.reason": "http://me:pw@host planted-value"},
        )
        tracker.log_child(child)
    runs = MlflowClient().search_runs(["1"])

    assert len(runs) == 2
    assert not [run for run in runs if "planted" in str(run.to_dictionary())]
    assert {run.data.tags["assay.reason"] for run in runs} == {
        f"Bearer {MASK}",
        f"http://host {MASK}",
    }


def test_secrets_in_tags_of_mlflow_run_are_removed(store, monkeypatch):
    run = MlflowClient().create_run(
        "0",
        tags={"mlflow.source.name": "https://ghp_token@github.com/us/assay", "mlflow.user": "me"},
    )
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    with root_run("experiment", "x", {"seeds": "1"}) as tracker:
        tags = MlflowClient().get_run(tracker.run_id).data.tags

    assert tracker.run_id == run.info.run_id
    assert tags["mlflow.source.name"] == "https://github.com/us/assay"


KEY = "planted+key/for~the=server"
ECHOED = "planted-hub-token-0123"
TOKEN = "ghp_Planted0123456789abcdefghij"  # noqa: S105
STORAGE = "planted:of/storage"
UNTRACKED = "planted-in-an-untracked-file"
ORIGIN = "planted-in-the-origin"
SECRETS = {
    "key": KEY,
    "hub": ECHOED,
    "diff": TOKEN,
    "storage": STORAGE,
    "untracked": UNTRACKED,
    "origin": ORIGIN,
    "password": ADMIN[1],
}


def leaks(texts, values):
    """Which ``values`` occur in which ``texts``, both by name: (value, text, form).

    As they are, in an address, in JSON, or in base64 anywhere in a longer text.
    """
    leaked = []
    for name, value in values.items():
        forms = [value, urllib.parse.quote(value, safe=""), json.dumps(value)[1:-1]]
        for before in range(3):
            encoded = base64.b64encode(b"x" * before + value.encode() + b"x" * 3).decode()
            forms.append(encoded[4 if before else 0 : -8])
        leaked += [
            (name, source, form)
            for source, text in texts.items()
            for form in forms
            if form.encode() in text
        ]
    return leaked


def written(*folders):
    """All files below ``folders``, and the cells of tables and databases, by path."""
    contents = {}
    for path in (path for folder in folders for path in Path(folder).rglob("*") if path.is_file()):
        contents[str(path)] = path.read_bytes()
        if path.suffix == ".parquet":
            contents[f"{path} cells"] = pd.read_parquet(path).to_csv().encode()
        if path.suffix == ".db":
            with contextlib.closing(sqlite3.connect(path)) as database:
                contents[f"{path} rows"] = "\n".join(database.iterdump()).encode()
    return contents


@pytest.fixture
def clone(tmp_path_factory):
    """A clone of the code with tokens in a changed file, a new file and its remote address."""
    folder = tmp_path_factory.mktemp("clone") / "assay"

    def git(*words, at=folder):
        identity = ("-c", "user.name=x", "-c", "user.email=x", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", *identity, *words], cwd=at, check=True, capture_output=True, text=True
        ).stdout

    if not (ROOT / ".git").exists():
        pytest.skip("the tests do not run in a git repository")
    git("clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder), at=ROOT)
    for name in filter(
        None, git("ls-files", "-mo", "--exclude-standard", "-z", at=ROOT).split("\0")
    ):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git("add", "-A")
    git("commit", "--quiet", "--allow-empty", "-m", "as it is")
    git("remote", "set-url", "origin", f"https://me:{ORIGIN}@example.org/assay.git")
    with (folder / "project" / "support" / "errors.py").open("a") as file:
        file.write(f'\n_HUB = "{TOKEN}"\n')
    (folder / "notes.txt").write_text(UNTRACKED)
    return folder


def called(name, run, params, capfd):
    """The exit code of an entry point in this process, and its output."""
    arguments = [word for key, value in params.items() for word in (f"--{key}", value)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *arguments])
        code: object = 0
        try:
            main(name, run)
        except SystemExit as end:
            code = end.code
    return code, "".join(capfd.readouterr())


@pytest.mark.timeout(300)
def test_no_file_log_or_message_of_an_experiment_holds_a_secret(
    params, store, clone, monkeypatch, capfd
):
    address = f"http://{ADMIN[0]}:{urllib.parse.quote(ADMIN[1], safe='')}@127.0.0.1"
    monkeypatch.setenv("LLM_ACCESS", KEY)  # a name that does not look secret
    monkeypatch.setenv("HF_TOKEN", ECHOED)
    monkeypatch.setenv("ASSAY_SWEEP_STORAGE", f"postgresql://me:{STORAGE}@127.0.0.1:1/studies")
    small = {
        "max_train": "8",
        "annotator": "openai",
        "annotator_model": "model",
        "annotator_tokenizer": "none",
        "label_style": "letter",
    }
    small |= {
        "api_key_variable": "LLM_ACCESS",
        "ensemble_size": "1",
        "request_retries": "1",
        "calibration": "none",
        "log_diff": "true",
    }
    shown = {}
    with (
        FaultyServer(LETTERS, can={LISTED}, key=KEY) as server,
        tracking_server(store / "server", auth=True) as team,
    ):
        small["annotator_url"] = server.url
        tracking = {
            "MLFLOW_TRACKING_URI": f"{address}:{team.port}",
            "MLFLOW_TRACKING_USERNAME": ADMIN[0],
            "MLFLOW_TRACKING_PASSWORD": ADMIN[1],
        }
        arguments = [
            word
            for key, value in params("annotate", **small).items()
            for word in ("-P", f"{key}={value}")
        ]
        done = forked.run(
            [
                sys.executable,
                "-m",
                "mlflow",
                "run",
                str(clone),
                "-e",
                "annotate",
                "--env-manager",
                "local",
                *arguments,
            ],
            cwd=store,
            timeout=200,
            env={
                **os.environ,
                **tracking,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            },
        )
        assert done.returncode == 0, done.stderr
        shown["mlflow run"] = done.stdout + done.stderr
        assert {request["authorization"] for request in server.requests} == {f"Bearer {KEY}"}

        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN[1])
        server.fault_of_all = Fault(
            500, message=f"{KEY}, {base64.b64encode(KEY.encode()).decode()} and {ECHOED}"
        )
        code, shown["a failing server"] = called(
            "annotate",
            annotate.annotate,
            params("annotate", **small, workspace=str(store / "failed")),
            capfd,
        )
        assert code == 1
        assert "HTTP 500" in shown["a failing server"]
        code, shown["no storage"] = called(
            "sweep", sweep.sweep, params("sweep", **small, arms="random,margin"), capfd
        )
        assert code == 1
        assert "the storage of the study" in shown["no storage"]

    diffs = list((store / "server").rglob("git.diff"))
    assert [path.read_text().count(f'+_HUB = "{MASK}"') for path in diffs] == [1]
    files = written(store)
    facts = json.loads(
        next(
            data
            for path, data in files.items()
            if path.startswith(str(store / "server")) and path.endswith("provenance.json")
        )
    )
    assert facts["git"]["changed"] == ["project/support/errors.py"]
    assert facts["git"]["untracked"] == ["notes.txt"]
    assert "HF_TOKEN" in facts["variables_set"]
    assert any(
        path.endswith("mlflow.db rows") and b"https://example.org/assay.git" in data
        for path, data in files.items()
    )
    assert leaks(files | {name: text.encode() for name, text in shown.items()}, SECRETS) == []


def test_the_search_for_leaks_finds_planted_secrets(tmp_path):
    (tmp_path / "a").write_bytes(b"..." + base64.b64encode(b"user:" + KEY.encode()) + b"...")
    pd.DataFrame({"text": [TOKEN * 50]}).to_parquet(tmp_path / "b.parquet")
    with contextlib.closing(sqlite3.connect(tmp_path / "c.db")) as database, database:
        database.execute("CREATE TABLE t (x)")
        database.execute("INSERT INTO t VALUES (?)", [STORAGE])

    assert {name for name, *_ in leaks(written(tmp_path), SECRETS)} == {"key", "diff", "storage"}
