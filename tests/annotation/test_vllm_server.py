"""The openai engine against a real vLLM server with the bundled model, where vLLM is installed."""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from project.annotation.demonstrations import demonstration_sets
from project.annotation.engines.openai.engine import OpenAIAnnotator
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.annotation.prompt import build_prompt
from project.config.annotation import AnnotateConfig, ServerConfig
from project.support.errors import AssayError
from project.support.models import annotator_source

KEY, MODEL = "sk-vllm-0123456789", "bundled"
pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None,
        reason="vllm is not installed here; test_openai_engine.py has a server of its own",
    ),
    pytest.mark.timeout(900),  # a server takes a minute to start on a CPU
]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The address of a vLLM server that wants KEY, started for this file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_API_KEY": KEY,
        "VLLM_NO_USAGE_STATS": "1",
    }
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        annotator_source("bundled", "main").location,
        "--served-model-name",
        MODEL,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--dtype",
        "float32",
        "--max-model-len",
        "2048",
        "--generation-config",
        "vllm",
    ]
    log = tmp_path_factory.mktemp("vllm") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **settings},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            with contextlib.suppress(
                ProcessLookupError
            ):  # what is left of the session that this file started
                os.killpg(process.pid, signal.SIGKILL)


def _wait(address, process, log):
    for _ in range(600):
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):  # noqa: S310
            return
        time.sleep(1)
    raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


@pytest.fixture
def connect(url, monkeypatch):
    """Annotators for the server, closed at the end."""
    monkeypatch.setenv("VLLM_KEY", KEY)
    opened = []

    def open_one(*, tokenizer="auto", **what):
        config = AnnotateConfig(
            annotator="openai", annotator_model=what.pop("model", MODEL), **what
        )
        opened.append(
            OpenAIAnnotator(
                config,
                ServerConfig(
                    annotator_url=url, annotator_tokenizer=tokenizer, api_key_variable="VLLM_KEY"
                ),
            )
        )
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture(scope="module")
def transformers():
    return TransformersAnnotator(AnnotateConfig(annotator_dtype="float32", max_model_len=2048))


def prompt_for(task, style, *, chat=False):
    shown = demonstration_sets(task.split("demonstration"), 3, 1, seed=0)[0]
    return build_prompt(task.label_set, task.description, shown, style=style, draw=0, chat=chat)


@pytest.mark.parametrize(("style", "chat"), [("name", False), ("integer", False), ("letter", True)])
def test_a_vllm_server_gives_the_distributions_of_the_transformers_engine(
    connect, transformers, small_task, style, chat
):
    prompt, texts = (
        prompt_for(small_task, style, chat=chat),
        list(small_task.split("train")["text"][:24]),
    )
    annotator = connect()

    theirs, ours = annotator.read(prompt, texts), transformers.read(prompt, texts)

    assert annotator.capability == "exact log probabilities of the label tokens (logprob_token_ids)"
    # Measured on a CPU, float32, 24 texts: 2.7e-5 in log probability (4.5e-5 in the deeper trie
    # below), 1.5e-5 of the label mass. The two sum in another order, and the server's numbers
    # depend on its batches. The bound is some twenty times the largest.
    largest = np.abs(ours.log_probabilities - theirs.log_probabilities).max()
    print(f"{style}: largest difference of log probabilities {largest:.1e}")
    largest = np.abs(ours.label_mass / theirs.label_mass - 1).max()
    print(f"{style}: largest relative difference of the label mass {largest:.1e}")
    assert theirs.log_probabilities == pytest.approx(ours.log_probabilities, abs=1e-3)
    assert theirs.label_mass == pytest.approx(ours.label_mass, rel=1e-3)
    assert theirs.label.tolist() == ours.label.tolist()
    assert (
        theirs.prompt_tokens.tolist()
        == ours.prompt_tokens.tolist()
        == annotator.size(prompt, texts).total.tolist()
    )


def test_a_label_that_begins_another_is_read_with_the_end_of_the_reply(
    connect, transformers, small_task
):
    task = small_task
    names = [f"class {number}" for number in range(12)]  # 1 begins 10 and 11
    shown = task.split("demonstration").head(3).assign(gold_label=names[:3])
    prompt = build_prompt(names, "Sort it.", shown, style="integer", draw=0)
    texts = list(task.split("train")["text"][:6])

    theirs, ours = connect().read(prompt, texts), transformers.read(prompt, texts)

    largest = np.abs(ours.log_probabilities - theirs.log_probabilities).max()
    print(f"largest difference of log probabilities {largest:.1e}")
    assert theirs.log_probabilities == pytest.approx(ours.log_probabilities, abs=1e-3)
    assert theirs.label.tolist() == ours.label.tolist()


def test_without_the_tokenizer_unlisted_labels_are_bounded_by_the_top_20(connect, small_task):
    prompt, texts = (
        prompt_for(small_task, "letter", chat=True),
        list(small_task.split("train")["text"][:12]),
    )

    exact, listed = connect().read(prompt, texts), connect(tokenizer="none").read(prompt, texts)

    whole = exact.log_probabilities + np.log(exact.label_mass)[:, None]
    unknown = np.isnan(listed.log_probabilities)
    print(f"{unknown.sum()} of {unknown.size} classes censored")
    assert (
        np.where(unknown, whole, -np.inf).max(axis=1)
        <= np.where(unknown.any(axis=1), listed.log_bound, np.inf)
    ).all()
    assert listed.prompt_tokens.tolist() == exact.prompt_tokens.tolist()
    agreed = listed.label >= 0
    assert listed.label[agreed].tolist() == exact.label[agreed].tolist()


def test_a_text_longer_than_the_context_is_cut_to_the_limit_of_the_server(connect, small_task):
    answers = connect().read(prompt_for(small_task, "name"), ["kettle " * 5000, "short"])

    assert answers.truncated.tolist() == [True, False]
    assert answers.prompt_tokens[0] == 2047
    assert answers.error == [None, None]


@pytest.mark.parametrize("given", ["", "sk-wrong-9876543210"])
def test_a_wrong_or_missing_key_is_refused_and_no_error_shows_a_key(
    connect, small_task, monkeypatch, given
):
    monkeypatch.setenv("VLLM_KEY", given)
    with pytest.raises(AssayError, match="VLLM_KEY") as caught:
        connect().read(prompt_for(small_task, "name"), ["text"])
    monkeypatch.setenv("VLLM_KEY", KEY)
    with pytest.raises(AssayError, match="has no model 'nope'; it has bundled") as other:
        connect(model="nope", tokenizer="bundled").read(prompt_for(small_task, "name"), ["text"])

    assert KEY not in f"{caught.value} {other.value}"
    assert not given or given not in str(caught.value)
