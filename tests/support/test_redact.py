"""Secrets are recognised by their variables, their shape or their position, and nothing else is."""

import base64
import json
import os
import re
import urllib.parse
from pathlib import Path

import pytest

from project.config.annotation import RecordedConfig
from project.config.designs import LabelsConfig, SweepConfig
from project.config.experiment import experiment_config
from project.config.task import TaskConfig
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

ROOT = Path(__file__).parents[2]
PEM = [
    "-----BEGIN RSA PRIVATE KEY-----",
    "MIIEpAIBAAKCAQEA7x",
    "abcd==",
    "-----END RSA PRIVATE KEY-----",
]


@pytest.fixture
def clean_environment(monkeypatch):
    """An environment without variables that look secret; call its setenv to add some."""
    for name in list(os.environ):
        if re.search("KEY|TOKEN|SECRET|PASS|CREDENTIAL", name.upper()) or "://" in os.environ[name]:
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("text", "masked"),
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
def test_text_that_looks_secret_is_masked_and_the_rest_stays(clean_environment, text, masked):
    assert scrubbed(text) == masked
    assert scrubbed(masked) == masked


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
def test_text_without_a_secret_stays(clean_environment, text):
    assert scrubbed(text) == text
    assert not holds_secret(text)


def test_the_name_of_a_saved_view_in_an_address_is_no_secret(clean_environment):
    address = "http://127.0.0.1:5000/#/experiments/1/runs?x=1&viewStateShareKey=assay"

    assert scrubbed(address) == address
    assert "abcdefgh" not in scrubbed(f"{address}&api_key=abcdefgh")


def test_nothing_in_the_source_code_is_masked(clean_environment):
    for path in (
        *ROOT.glob("project/**/*.py"),
        *ROOT.glob("entrypoints/**/*.py"),
        *ROOT.glob("analysis/**/*.py"),
        ROOT / "MLproject",
    ):
        text = path.read_text(encoding="utf-8")
        assert scrubbed(text) == text, path


def test_values_of_secret_variables_are_masked_in_every_notation(clean_environment):
    value = "pla'nted/k€y + x"
    clean_environment.setenv("MY_SERVICE_KEY", value)
    clean_environment.setenv("https_proxy", "http://me:pr%40xypass@proxy:3128")
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
        masked = scrubbed(base64.b64encode(f"{before}{value} and more".encode()).decode())
        assert MASK in masked
        assert base64.b64encode(value.encode()).decode()[4:-4] not in masked


def test_short_values_and_other_variables_stay_unless_registered(clean_environment):
    clean_environment.setenv("SHORT_KEY", "true")
    clean_environment.setenv("TOKENIZERS_PARALLELISM", "parallel")
    clean_environment.setenv("KEYBOARD", "qwertz")
    clean_environment.setenv("LLM_ACCESS", "opensesame")
    text = "true parallel qwertz opensesame"

    assert scrubbed(text) == text
    register_secret_variable("LLM_ACCESS")
    assert scrubbed(text) == f"true parallel qwertz {MASK}"
    assert hide("a b c", "b") == f"a {MASK} c"


def test_messages_are_scrubbed_before_they_are_cut(clean_environment):
    clean_environment.setenv("MY_KEY", "abcdefghijklmnop")

    assert (
        short_message(ValueError(f"{'x' * 295}abcdefghijklmnop\n and more"))
        == "x" * 295 + MASK + " a"
    )
    assert scrubbed_json({"a": ["abcdefghijklmnop", 1, None, {"b": "sk-abcdefgh12"}]}) == {
        "a": [MASK, 1, None, {"b": MASK}]
    }


def test_a_public_address_is_the_same_in_every_environment(clean_environment):
    address = "http://me:pw@abcdefghijklmnop/x"
    assert public_address(address) == "http://abcdefghijklmnop/x"
    clean_environment.setenv("MY_KEY", "abcdefghijklmnop")
    assert public_address(address) == "http://abcdefghijklmnop/x"


@pytest.mark.parametrize(
    ("uri", "public"),
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
def test_a_password_of_any_characters_is_recognised_in_a_whole_address(
    clean_environment, uri, public
):
    clean_environment.setenv("MLFLOW_TRACKING_URI", uri)
    assert public_address(uri) == public
    assert holds_secret(uri) or " " in uri
    for password in ("pa'ss 1\"<234>", "1/pa'ss1234?", "pa<ss1234@more", "pass1234"):
        if password in uri:
            assert scrubbed(f"it is {password}.") == f"it is {MASK}."


@pytest.mark.parametrize(
    ("section", "name"),
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
def test_a_parameter_that_holds_a_secret_is_refused_without_repeating_it(section, name, value):
    with pytest.raises(
        AssayError, match=f"^{name} must hold no user and password, key or token"
    ) as refused:
        section(**{name: value})
    assert "pw123" not in str(refused.value)


def test_parameters_of_every_section_are_checked_for_secrets():
    for name in ("template", "workspace", "encoder", "annotator_model", "where"):
        with pytest.raises(AssayError, match=f"^{name} must hold no user"):
            experiment_config({name: "https://me:pw123@host"})
