"""Rows of the entry point check: what the annotator's server has, and how it would answer."""

from __future__ import annotations

import contextlib
import dataclasses

from entrypoints.wiring.arm_checks import announce_needs
from entrypoints.wiring.check_report import Rows
from project.annotation.engines.openai.client import Client
from project.annotation.engines.openai.engine import OpenAIAnnotator
from project.annotation.engines.openai.faults import TLSFailed, Unreachable
from project.annotation.engines.openai.probe import Probe
from project.annotation.prompt import Prompt, build_prompts
from project.config.experiment import ExperimentConfig
from project.config.labels import PAPER_DRAWS
from project.data.task import comes_from_hub, load_task
from project.labels.sources import arms
from project.support.errors import AssayError

_PATIENCE = 10.0  # seconds: a check should fail soon, while an experiment waits for a busy server


def server_rows(config: ExperimentConfig) -> Rows[None]:
    """What the server answers about its models, and what it can say of the labels of a text.

    The second row takes a few requests of a handful of tokens. No text of the task is sent but the
    demonstrations.
    """
    patience = min(_PATIENCE, config.server.request_timeout)
    server = dataclasses.replace(config.server, request_timeout=patience, request_retries=0)
    config = dataclasses.replace(config, server=server)
    yield "server", _models(config)
    prompt = _first_prompt(config)
    if prompt is None:
        yield "replies", "not tried: the demonstrations of the prompt come from the hub"
        return
    annotator = OpenAIAnnotator(config.annotate, config.server)
    with contextlib.closing(annotator):
        n_draws = config.prompt.ensemble_size or PAPER_DRAWS
        announce_needs(arms(config.label, n_draws), [annotator])
        replies = annotator.find_mode(prompt)
        yield "replies", f"{replies} (found by {annotator.n_requests} short requests)"


def _models(config: ExperimentConfig) -> str:
    """What the server answers about its models, from one request."""
    client = Client(config.server.annotator_url.rstrip("/"), config.server)
    try:
        info = client.run(Probe(client, config.annotate, None).server_info())
    finally:
        client.close()
    name = config.annotate.annotator_model
    if isinstance(info.failure, Unreachable | TLSFailed):
        raise info.failure
    if info.failure:
        return f"note: does not list its models: {info.failure}"
    if not info.models:
        return "answers, without a list of its models"
    if name not in info.models:
        names = ", ".join(info.models[:5])
        raise AssayError(f"annotator_model must be a model of the server: {names}; got {name!r}.")
    return f"has {name}" + (f", {info.context} tokens of context" if info.context else "")


def _first_prompt(config: ExperimentConfig) -> Prompt | None:
    """The prompt of the first draw; None for data of the hub, which are not fetched."""
    if comes_from_hub(config.task):
        return None
    task = load_task(config.task)
    resolved = config.resolved(task.defaults)
    (prompt,) = build_prompts(
        resolved.prompt,
        task.label_set,
        task.description,
        task.split("demonstration"),
        n_draws=1,
    )
    return prompt
