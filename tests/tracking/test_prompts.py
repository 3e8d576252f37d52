"""Prompts in MLflow's registry: registered once, linked from their runs, and never an obstacle."""

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from entrypoints import annotate
from project.config.results import StoreConfig
from project.support.errors import AssayError
from project.tracking import children, latest_root
from project.tracking.prompts import Prompts


def versions(name):
    prompts = (
        MlflowClient().load_prompt(f"prompts:/{name}/{number}", allow_missing=True)
        for number in range(1, 10)
    )
    return [prompt.version for prompt in prompts if prompt]


def runs():
    return children(latest_root("annotation set"), "annotation")


def test_two_experiments_with_the_same_prompts_make_one_version_of_each(params, store):
    annotate.annotate(params("annotate", register_prompt="true"))
    first = {run.params["draw"]: run.tags["assay.prompt"] for run in runs()}
    annotate.annotate(params("annotate", register_prompt="true", max_train="30"))
    second = {run.params["draw"]: run.tags["assay.prompt"] for run in runs()}

    assert (
        first
        == second
        == {"0": "prompts:/assay-catalogue-name/1", "1": "prompts:/assay-catalogue-name/2"}
    )
    assert versions("assay-catalogue-name") == [1, 2]
    run = runs()[0]
    assert json.loads(run.tags["mlflow.linkedPrompts"]) == [
        {"name": "assay-catalogue-name", "version": first[run.params["draw"]][-1]}
    ]
    # The root run, which people open first, lists the prompts of all its draws.
    assert json.loads(latest_root("annotation set").tags["mlflow.linkedPrompts"]) == [
        {"name": "assay-catalogue-name", "version": version} for version in ("1", "2")
    ]
    stored = mlflow.genai.load_prompt(
        f"prompts:/assay-catalogue-name@h-{run.tags['prompt.sha256'][:12]}"
    )
    assert stored.version == int(first[run.params["draw"]][-1])
    prompt = stored.template.replace("{{input_text}}", "{input_text}")
    assert hashlib.sha256(prompt.encode()).hexdigest() == run.tags["prompt.sha256"]
    assert "A text" in stored.format(input_text="A text")


def test_another_prompt_is_a_new_version_and_another_style_a_new_name(params, store):
    annotate.annotate(params("annotate", register_prompt="true", ensemble_size="1"))
    annotate.annotate(
        params("annotate", register_prompt="true", ensemble_size="1", n_demonstrations="1")
    )
    annotate.annotate(
        params("annotate", register_prompt="true", ensemble_size="1", label_style="letter")
    )

    assert (versions("assay-catalogue-name"), versions("assay-catalogue-letter")) == ([1, 2], [1])


def test_no_prompt_is_registered_by_default(params, store):
    annotate.annotate(params("annotate", ensemble_size="1"))

    assert MlflowClient().search_registered_models() == []
    assert "assay.prompt" not in runs()[0].tags


def test_a_private_prompt_is_not_registered():
    with pytest.raises(AssayError, match="register_prompt must be false with private=true"):
        StoreConfig(private=True, register_prompt=True)


def test_the_prompt_of_a_chat_is_registered_as_its_messages(store):
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Is {{input_text}} a cat?"},
    ]
    tags, warning = Prompts().tags(("assay", "pets", "name"), messages, "ab" * 32, "a chat")
    again, _ = Prompts().tags(("assay", "pets", "name"), messages, "ab" * 32, "a chat")

    assert warning == ""
    assert tags == again
    assert MlflowClient().load_prompt(tags["assay.prompt"]).template == messages


def test_a_moved_alias_is_set_again(store):
    prompts = Prompts()
    for template, sha256 in (("one", "1" * 64), ("two", "2" * 64)):
        prompts.tags(("assay", "x"), template, sha256, "")
    MlflowClient().set_prompt_alias("assay-x", "h-111111111111", 2)
    tags, _ = prompts.tags(("assay", "x"), "one", "1" * 64, "")

    assert MlflowClient().load_prompt(tags["assay.prompt"]).template == "one"


def test_a_task_name_with_special_characters_becomes_a_valid_prompt_name(store):
    tags, warning = Prompts().tags(("assay", "../../Katzen & <Hunde>", "name"), "x", "ab" * 32, "")

    assert (tags["assay.prompt"], warning) == ("prompts:/assay-Katzen-Hunde-name/1", "")


def test_a_refusal_of_the_registry_is_reported_once_and_stops_nothing(params, store, capsys):
    MlflowClient().create_registered_model("assay-catalogue-name")  # a model with the prompt's name
    annotate.annotate(params("annotate", register_prompt="true"))

    messages = capsys.readouterr().err
    assert messages.count("the prompt registry does not accept assay-catalogue-name") == 1
    assert "Traceback" not in messages
    assert [run.status for run in runs()] == ["FINISHED", "FINISHED"]
    assert not any("assay.prompt" in run.tags for run in runs())


class Refusing(BaseHTTPRequestHandler):
    """A tracking server that refuses every request, after some seconds if ``seconds`` is set."""

    n_requests = 0
    seconds = 0.0

    def refuse(self):
        type(self).n_requests += 1
        time.sleep(self.seconds)
        body = json.dumps(
            {"error_code": "PERMISSION_DENIED", "message": "Permission denied"}
        ).encode()
        self.send_response(403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.refuse()

    def do_POST(self):
        self.refuse()

    def do_PATCH(self):
        self.refuse()

    def log_message(self, *_):
        pass


@pytest.fixture
def refusing(monkeypatch):
    server = HTTPServer(("127.0.0.1", 0), type("Refuses", (Refusing,), {}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    mlflow.set_tracking_uri(f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    yield server.RequestHandlerClass
    mlflow.set_tracking_uri("")
    server.shutdown()
    server.server_close()


def test_a_registry_that_refuses_is_asked_once_and_not_waited_for(refusing):
    prompts = Prompts()
    began = time.monotonic()
    tags, warning = prompts.tags(("assay", "x"), "one", "1" * 64, "")

    assert tags == {}
    assert warning.startswith("the prompt registry does not accept assay-x: ")
    assert "403" in warning or "PERMISSION" in warning.upper()
    assert "secret" not in warning
    n_requests = refusing.n_requests
    assert prompts.tags(("assay", "x"), "two", "2" * 64, "") == ({}, "")
    assert refusing.n_requests == n_requests
    assert time.monotonic() - began < 10


def test_a_registry_that_does_not_answer_is_given_up_soon(refusing, monkeypatch):
    refusing.seconds = 3.0
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    began = time.monotonic()
    tags, warning = Prompts().tags(("assay", "x"), "one", "1" * 64, "")

    assert tags == {}
    assert "the prompt registry does not accept" in warning
    assert time.monotonic() - began < 10
