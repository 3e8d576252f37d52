"""Passwords, keys and tokens: where they are known from, and that nothing that is written holds one."""

import base64
import contextlib
import json
import os
import re
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
from entrypoints.mlproject import ENTRY_POINTS
from entrypoints.wiring.command import main
from project.config.designs import LabelsConfig, SweepConfig
from project.config.experiment import experiment_config
from project.config.task import TaskConfig
from project.config.annotation import RecordedConfig
from project.support.errors import AssayError
from project.support.redact import (
    MASK,
    hide,
    holds_secret,
    public_address,
    register_secret_variable,
    scrubbed,
    scrubbed_json,
    short_message,
)
from project.tracking import Child, root_run
from tests.helpers.faulty_server import LISTED, Fault, FaultyServer
from tests.helpers.servers import ADMIN, tracking_server
from tests.helpers.serving import LETTERS

ROOT = Path(__file__).parents[2]
PEM = [
    "-----BEGIN RSA PRIVATE KEY-----",
    "MIIEpAIBAAKCAQEA7x",
    "abcd==",
    "-----END RSA PRIVATE KEY-----",
]


@pytest.fixture
def alone(monkeypatch):
    """No variable of this machine's environment is taken for a secret."""
    for name in list(os.environ):
        if re.search("KEY|TOKEN|SECRET|PASS|CREDENTIAL", name.upper()) or "://" in os.environ[name]:
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("at http://me:secret@host:5000/x failed", "at http://host:5000/x failed"),
        (
            "postgresql://me:pa/ss@host/db, http://me:p@ss@host/x",
            "postgresql://host/db, http://host/x",
        ),
        ("https://token@github.com/a/b.git", "https://github.com/a/b.git"),
        (
            "https://host/v1?api_key=abc&n=1&X-Amz-Signature=def",
            f"https://host/v1?api_key={MASK}&n=1&X-Amz-Signature={MASK}",
        ),
        (
            "postgresql://host/db?user=me&password=secret",
            f"postgresql://host/db?user={MASK}&password={MASK}",
        ),
        (
            "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dpw1%3BUID%3Dme",
            f"mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3D{MASK}%3BUID%3Dme",
        ),
        (
            "+password: hunter22\n   hub_token: abc123def456ghi789\n api_key: x",
            f"+password: {MASK}\n   hub_token: {MASK}\n api_key: x",
        ),
        ('{"Authorization": "Basic dXNlcjpwdw=="}', f'{{"Authorization": "Basic {MASK}"}}'),
        ("for Bearer abc.def-123", f"for Bearer {MASK}"),
        ("sk-proj-abcdefgh1234", MASK),
        ("hf_AbCdEfGhIjKlMnOpQrStUvWxYz", MASK),
        ("ghp_AbCdEfGhIjKlMnOpQrSt, github_pat_11ABCDEFG0abcdefghij", f"{MASK}, {MASK}"),
        ("AKIAIOSFODNN7EXAMPLE xoxb-123456789012-abc", f"{MASK} {MASK}"),
        ("AIzaSyA1234567890abcdefghijklmnopqrstu", MASK),
        ("+    api_key = 'abc123def'", f"+    api_key = '{MASK}'"),
        ("export MY_API_KEY=abc123 NAME=abc123", f"export MY_API_KEY={MASK} NAME=abc123"),
        (
            "\n".join(["+key:", *(f"+{line}" for line in PEM), " end"]),
            f"+key:\n+{MASK}\n+{MASK}\n+{MASK}\n+{MASK}\n end",
        ),
        (json.dumps({"key": "\n".join(PEM)}), json.dumps({"key": MASK})),
        (" ".join(PEM), MASK),
        (
            "\n".join([f"+{PEM[0]}", f"+{PEM[1]}", "@@ -9 +9 @@", " x"]),
            f"+{MASK}\n+{MASK}\n@@ -9 +9 @@\n x",
        ),
        (
            "\n".join(["@@ -1 +1 @@", f" {PEM[1]}", f" {PEM[3]}", " x"]),
            f"@@ -1 +1 @@\n {MASK}\n {MASK}\n x",
        ),
    ],
    ids=lambda _: "",  # pytest puts the name of a test into the environment
)
def test_what_looks_like_a_secret_is_masked_and_nothing_else(alone, given, shown):
    assert scrubbed(given) == shown
    assert scrubbed(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:9 failed, mail me@host",
        "http://localhost:5000/#/runs/1?x=me@host",
        "sqlite:////home/me@corp/mlflow.db",
        "hub org/name@main",
        "-P api_key_variable=OPENAI_API_KEY",
        "task-sk-learn, model.hf_quantizer, key=lambda, token = tokens[0], pad='[PAD]'",
        "def f(token: str) -> str:",
        "MLFLOW_TRACKING_PASSWORD=... mlflow",
        "runs:/0123456789abcdef/labels.parquet",
        "https://example.org/x?workflow=y",
        "0123456789abcdef" * 4,
        "    token: Tokenizer\n    max_tokens: 100000\n",
        "token: BertTokenizerV2",
        "token: gpt2-medium",
        "credentials: /home/me/key1.json",
        "mlflow-artifacts://host:5000/a@b",
        "s3://bucket/me@corp",
    ],
    ids=lambda _: "",
)
def test_what_is_none_stays(alone, text):
    assert scrubbed(text) == text
    assert not holds_secret(text)


def test_the_code_itself_passes_but_for_what_its_tests_plant(alone):
    for path in (
        *ROOT.glob("project/**/*.py"),
        *ROOT.glob("entrypoints/*.py"),
        *ROOT.glob("analysis/*.py"),
        ROOT / "MLproject",
    ):
        text = path.read_text(encoding="utf-8")
        assert scrubbed(text) == text, path


def test_values_of_variables_with_a_secret_name_are_masked_however_they_are_written(alone):
    value = "pla'nted/k€y + x"
    alone.setenv("MY_SERVICE_KEY", value)
    alone.setenv("https_proxy", "http://me:pr%40xypass@proxy:3128")
    written = [
        value,
        json.dumps(value),
        urllib.parse.quote(value),
        urllib.parse.quote(value, safe=""),
        urllib.parse.quote_plus(value),
        "pr%40xypass",
        "pr@xypass",
        value.replace("'", "'\"'\"'"),
    ]
    for text in written:
        assert scrubbed(f"it is {text}!").replace('"', "") == f"it is {MASK}!"
    for before in ("", "u", "us", "use"):
        told = scrubbed(base64.b64encode(f"{before}{value} and more".encode()).decode())
        assert MASK in told
        assert base64.b64encode(value.encode()).decode()[4:-4] not in told


def test_short_values_and_variables_of_other_names_stay_but_those_that_are_named_do_not(alone):
    alone.setenv("SHORT_KEY", "true")
    alone.setenv("TOKENIZERS_PARALLELISM", "parallel")
    alone.setenv("KEYBOARD", "qwertz")
    alone.setenv("LLM_ACCESS", "opensesame")
    text = "true parallel qwertz opensesame"

    assert scrubbed(text) == text
    register_secret_variable("LLM_ACCESS")
    assert scrubbed(text) == f"true parallel qwertz {MASK}"
    assert hide("a b c", "b") == f"a {MASK} c"


def test_errors_are_scrubbed_before_they_are_cut_and_an_address_is_the_same_in_every_environment(
    alone,
):
    alone.setenv("MY_KEY", "abcdefghijklmnop")

    assert (
        short_message(ValueError(f"{'x' * 295}abcdefghijklmnop\n and more"))
        == "x" * 295 + MASK + " a"
    )
    assert public_address("http://me:pw@abcdefghijklmnop/x") == "http://abcdefghijklmnop/x"
    assert scrubbed_json({"a": ["abcdefghijklmnop", 1, None, {"b": "sk-abcdefgh12"}]}) == {
        "a": [MASK, 1, None, {"b": MASK}]
    }


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("http://me:pa'ss 1\"<234>@127.0.0.1:9/x@y", "http://127.0.0.1:9/x@y"),
        ("postgresql+psycopg2://me:1/pa'ss1234?@host/db", "postgresql+psycopg2://host/db"),
        ("postgresql://me:pa<ss1234@more@host/db", "postgresql://host/db"),
        (
            "mssql+pyodbc:///?odbc_connect=PWD%3Dpass1234%3BUID%3Dme",
            f"mssql+pyodbc:///?odbc_connect=PWD%3D{MASK}%3BUID%3Dme",
        ),
    ],
    ids=lambda _: "",
)
def test_a_password_of_any_characters_is_known_by_its_place_in_a_whole_address(alone, uri, told):
    alone.setenv("MLFLOW_TRACKING_URI", uri)
    assert public_address(uri) == told
    assert holds_secret(uri) or " " in uri
    for password in ("pa'ss 1\"<234>", "1/pa'ss1234?", "pa<ss1234@more", "pass1234"):
        if password in uri:
            assert scrubbed(f"it is {password}.") == f"it is {MASK}."


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        (TaskConfig, "data"),
        (TaskConfig, "task"),
        (RecordedConfig, "recorded"),
        (LabelsConfig, "labels"),
        (SweepConfig, "sweep_storage"),
        (SweepConfig, "human"),
    ],
)
@pytest.mark.parametrize(
    "value",
    [
        "https://me:pw123@host/file.csv",
        "https://host/file.csv?token=pw123",
        "hf_AbCdEfGhIjKlMnOpw123",
    ],
)
def test_a_parameter_that_holds_a_secret_is_refused_without_repeating_it(stage, name, value):
    with pytest.raises(
        AssayError, match=f"^{name} must hold no user and password, key or token"
    ) as refused:
        stage(**{name: value})
    assert "pw123" not in str(refused.value)


def test_parameters_of_every_stage_are_looked_at():
    for name in ("template", "workspace", "encoder", "annotator_model", "where"):
        with pytest.raises(AssayError, match=f"^{name} must hold no user"):
            experiment_config({name: "https://me:pw123@host"})


def test_what_is_logged_is_scrubbed_wherever_it_came_from(store, monkeypatch):
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


def test_tags_that_mlflow_run_has_set_lose_what_is_secret_in_them(store, monkeypatch):
    made = MlflowClient().create_run(
        "0",
        tags={"mlflow.source.name": "https://ghp_token@github.com/us/assay", "mlflow.user": "me"},
    )
    monkeypatch.setenv("MLFLOW_RUN_ID", made.info.run_id)
    with root_run("experiment", "x", {"seeds": "1"}) as tracker:
        tags = MlflowClient().get_run(tracker.run_id).data.tags

    assert tracker.run_id == made.info.run_id
    assert tags["mlflow.source.name"] == "https://github.com/us/assay"


# everything that an experiment writes

KEY, ECHOED, TOKEN, STORAGE, UNTRACKED, ORIGIN = (
    "planted+key/for~the=server",
    "planted-hub-token-0123",
    "ghp_Planted0123456789abcdefghij",
    "planted:of/storage",
    "planted-in-an-untracked-file",
    "planted-in-the-origin",
)
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
    """Which ``values`` stand in which ``texts``, both by name, as they are, in an address, in JSON, or in base64 at any place of a longer text."""
    found = []
    for name, value in values.items():
        forms = [value, urllib.parse.quote(value, safe=""), json.dumps(value)[1:-1]]
        for before in range(3):
            whole = base64.b64encode(b"x" * before + value.encode() + b"x" * 3).decode()
            forms.append(whole[4 if before else 0 : -8])
        found += [
            (name, place, form)
            for place, text in texts.items()
            for form in forms
            if form.encode() in text
        ]
    return found


def written(*folders):
    """All that is in files below ``folders``, by path: their bytes, and what is in the cells of tables and databases."""
    found = {}
    for path in (path for folder in folders for path in Path(folder).rglob("*") if path.is_file()):
        found[str(path)] = path.read_bytes()
        if path.suffix == ".parquet":
            found[f"{path} cells"] = pd.read_parquet(path).to_csv().encode()
        if path.suffix == ".db":
            with contextlib.closing(sqlite3.connect(path)) as database:
                found[f"{path} rows"] = "\n".join(database.iterdump()).encode()
    return found


@pytest.fixture
def clone(tmp_path_factory):
    """The code in a repository of its own, with a token in a changed file, in a new one and in the address that it was cloned from."""
    folder = tmp_path_factory.mktemp("clone") / "assay"

    def git(*words, at=folder):
        who = ("-c", "user.name=x", "-c", "user.email=x", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", *who, *words], cwd=at, check=True, capture_output=True, text=True
        ).stdout

    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
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
    with (folder / "project" / "errors.py").open("a") as file:
        file.write(f'\n_HUB = "{TOKEN}"\n')
    (folder / "notes.txt").write_text(UNTRACKED)
    return folder


def called(name, run, params, capfd):
    """The exit code of an entry point in this process, and what it showed."""
    given = [word for key, value in params.items() for word in (f"--{key}", value)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *given])
        code: object = 0
        try:
            main(name, run)
        except SystemExit as end:
            code = end.code
    return code, "".join(capfd.readouterr())


@pytest.mark.timeout(300)
def test_nothing_that_experiments_write_or_show_holds_a_secret(
    params, store, clone, monkeypatch, capfd
):
    address = f"http://{ADMIN[0]}:{urllib.parse.quote(ADMIN[1], safe='')}@127.0.0.1"
    monkeypatch.setenv("LLM_ACCESS", KEY)  # which does not look like one
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
    }
    shown = {}
    with (
        FaultyServer(LETTERS, can={LISTED}, key=KEY) as server,
        tracking_server(store / "server", auth=True) as team,
    ):
        small["annotator_url"] = server.url
        ours = {
            "MLFLOW_TRACKING_URI": f"{address}:{team.port}",
            "MLFLOW_TRACKING_USERNAME": ADMIN[0],
            "MLFLOW_TRACKING_PASSWORD": ADMIN[1],
        }
        given = [
            word
            for key, value in params("annotate", **small).items()
            for word in ("-P", f"{key}={value}")
        ]
        done = subprocess.run(
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
                *given,
            ],
            cwd=store,
            check=False,
            capture_output=True,
            text=True,
            timeout=200,
            env={
                **os.environ,
                **ours,
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
        code, shown["no storage"] = called("sweep", sweep.sweep, params("sweep", **small), capfd)
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
    assert facts["git"]["changed"] == ["project/errors.py"]
    assert facts["git"]["untracked"] == ["notes.txt"]
    assert "HF_TOKEN" in facts["variables_set"]
    assert any(
        path.endswith("mlflow.db rows") and b"https://example.org/assay.git" in data
        for path, data in files.items()
    )
    assert leaks(files | {name: text.encode() for name, text in shown.items()}, SECRETS) == []


def test_the_search_finds_what_is_there(tmp_path):
    (tmp_path / "a").write_bytes(b"..." + base64.b64encode(b"user:" + KEY.encode()) + b"...")
    pd.DataFrame({"text": [TOKEN * 50]}).to_parquet(tmp_path / "b.parquet")
    with contextlib.closing(sqlite3.connect(tmp_path / "c.db")) as database, database:
        database.execute("CREATE TABLE t (x)")
        database.execute("INSERT INTO t VALUES (?)", [STORAGE])

    assert {name for name, *_ in leaks(written(tmp_path), SECRETS)} == {"key", "diff", "storage"}
