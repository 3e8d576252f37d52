"""Names of root runs and the parameters that say who labelled, with which prompt."""

import dataclasses
import hashlib

import pytest

from entrypoints.wiring.root_facts import root_name, root_params, short_name
from project.annotation.template import TEMPLATE
from project.config.experiment import ExperimentConfig
from tests.helpers.annotators import ScriptedAnnotator


def named(name, *columns):
    """An annotator with a name and, if it reads a file of labels, with its columns."""
    annotator = ScriptedAnnotator(2)
    annotator.name = name
    if columns:
        setattr(annotator, "draws", columns)  # noqa: B010
    return annotator


def config_with(annotator="transformers", **prompt):
    """The default configuration with another annotator and prompt."""
    config = ExperimentConfig()
    return dataclasses.replace(
        config,
        annotate=dataclasses.replace(config.annotate, annotator=annotator),
        prompt=dataclasses.replace(config.prompt, **prompt),
    )


@pytest.mark.parametrize(
    ("annotator", "name"),
    [
        (named("gpt-4o-mini"), "gpt-4o-mini"),
        (named("Qwen/Qwen2.5-7B-Instruct"), "Qwen2.5-7B-Instruct"),
        (named("/models/my-llm/"), "my-llm"),
        (named("codes.csv (gpt)", "gpt"), "gpt"),
        (named("codes.csv (gpt and 2 more)", "gpt", "b", "c"), "gpt +2"),
    ],
)
def test_an_llm_is_called_by_the_last_part_of_its_name(annotator, name):
    assert short_name(annotator) == name


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ({}, "3-shot"),
        ({"n_demonstrations": 0}, "0-shot"),
        ({"label_style": "integer", "chat_template": True}, "3-shot integer chat"),
        ({"template": "prompts/mine.txt"}, "3-shot mine"),
    ],
)
def test_runs_with_other_prompts_have_other_names(prompt, words):
    name = root_name("tickets", config_with(**prompt), named("gpt"))

    assert name == f"tickets · gpt · {words}"


def test_a_name_says_what_the_run_is_and_leaves_out_what_it_has_not():
    config = config_with()

    assert root_name("t", config, named("gpt"), "curve") == "t · gpt · 3-shot · curve"
    assert root_name("t", config, named("gpt"), "sweep", shots=[1, 3, 5]).endswith(
        "1-5-shot · sweep"
    )
    assert root_name("t", config, None, "audit questions") == "t · audit questions"
    recorded = root_name("t", config_with("recorded"), named("x.csv (gpt)", "gpt"), "")
    assert recorded == "t · gpt"


def test_parameters_tell_template_and_shots_apart(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("{label_description}\n{demonstrations}\n{input_text}")
    paper = root_params(config_with(), named("gpt"))
    own = root_params(config_with(template=str(mine), n_demonstrations=5), named("gpt"))

    assert paper == {
        "model": "gpt",
        "prompt_style": "name",
        "shots": "3",
        "template_hash": hashlib.sha256(TEMPLATE.encode()).hexdigest()[:12],
    }
    assert own["shots"] == "5"
    chat = root_params(config_with(chat_template=True), named("gpt"))
    assert chat["prompt_style"] == "name chat"
    assert own["template_hash"] != paper["template_hash"]


def test_recorded_labels_have_no_prompt_and_gold_alone_no_llm():
    assert root_params(config_with("recorded"), named("x.csv (gpt)", "gpt")) == {"model": "gpt"}
    assert root_params(config_with(), None) == {"model": "none"}
