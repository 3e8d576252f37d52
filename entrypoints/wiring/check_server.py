"""Rows of the entry point check: what the annotator's server has, and how it would answer."""

from __future__ import annotations

import contextlib
import dataclasses

import pandas as pd

from entrypoints.wiring.arm_checks import announce_needs
from entrypoints.wiring.check_report import Rows
from project.annotation.engines.openai.engine import OpenAIAnnotator
from project.annotation.engines.openai.listed import listed_models
from project.annotation.prompt import build_prompts
from project.config.experiment import ExperimentConfig
from project.config.labels import PAPER_DRAWS
from project.data.label_question import load_one_card
from project.labels.sources import arms
from project.support.errors import AssayError


def server_rows(config: ExperimentConfig) -> Rows[None]:
    """What the server answers about its models, and what it can say of the labels of a text.

    The second row takes a few requests of a handful of tokens; no text of the task is sent. They
    wait for the answer as long as an experiment does: a server may load its model first.
    """
    yield "server", _models(config)
    card = load_one_card(config.task.task, config.task.label)
    prompt_config = dataclasses.replace(
        config.resolved(card.defaults).prompt, n_demonstrations=0, ensemble_size=1
    )
    none = pd.DataFrame({"example_id": [], "text": [], "gold_label": []})
    (prompt,) = build_prompts(prompt_config, card.labels, card.description, none, n_draws=1)
    annotator = OpenAIAnnotator(config.annotate, config.server)
    with contextlib.closing(annotator):
        n_draws = config.prompt.ensemble_size or PAPER_DRAWS
        announce_needs(arms(config.label, n_draws), [annotator])
        replies = annotator.find_mode(prompt)
        yield "replies", f"{replies} (found by {annotator.n_requests} short requests)"


def _models(config: ExperimentConfig) -> str:
    """What the server answers about its models; raises AssayError if it cannot be reached."""
    info = listed_models(config.annotate, config.server)
    name = config.annotate.annotator_model
    if info.failure:
        return f"note: does not list its models: {info.failure}"
    if not info.models:
        return "answers, without a list of its models"
    if name not in info.models:
        names = ", ".join(info.models[:5])
        raise AssayError(f"annotator_model must be a model of the server: {names}; got {name!r}.")
    return f"has {name}" + (f", {info.context} tokens of context" if info.context else "")
