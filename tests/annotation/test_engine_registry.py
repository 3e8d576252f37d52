"""Engine facts: every entry can be opened, and a package outside the tree can add one."""

import importlib
import sys

import pytest

from project.annotation.annotate import annotate
from project.annotation.cost import Meter
from project.annotation.engines.factory import check_engine, open_annotators
from project.annotation.prompt import build_prompts
from project.config.annotation import AnnotateConfig, SpendConfig
from project.config.engines import (
    ENGINES,
    EngineFacts,
    engine_facts,
    engines_help,
    has_prompt,
    register_engine,
)
from project.config.experiment import ExperimentConfig
from project.config.prompt import PromptConfig
from project.support.errors import AssayError

PACKAGE = '''
"""An engine that labels a text by its length: class (number of characters) modulo n_classes."""
import numpy as np

from project.annotation.engines.base import Answers, Size
from project.config.engines import EngineFacts, register_engine


class LengthAnnotator:
    keyed_by, shard_size = "text", 16

    def __init__(self, config):
        self.name = "length rule"
        self.identity = {"engine": "length", "model": config.annotator_model}

    def read(self, prompt, items, arrived=None):
        n_classes = len(prompt.answers)
        chosen = np.array([len(text) % n_classes for text in items])
        probabilities = np.full((len(items), n_classes), 0.1 / (n_classes - 1))
        probabilities[np.arange(len(items)), chosen] = 0.9
        no_text_was_cut = np.zeros(len(items), dtype=bool)
        return Answers.exact(np.log(probabilities), no_text_was_cut, np.full(len(items), 7))

    def size(self, prompt, items):
        return Size(0, np.full(len(items), 7), 1, exact=True)

    def close(self):
        pass


register_engine("length", EngineFacts(open="rule_package.engine:LengthAnnotator", shards_at_once=2))
'''


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """The engine ``length``, registered by a package that lies in a temporary folder."""
    folder = tmp_path / "rule_package"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "engine.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("rule_package.engine")
    yield
    for name in ("rule_package", "rule_package.engine"):
        sys.modules.pop(name, None)


def length_config(**settings):
    return ExperimentConfig(
        annotate=AnnotateConfig(annotator="length", annotator_model="v1", **settings)
    )


def test_an_engine_registered_by_another_package_annotates(registered, small_task, tmp_path):
    config = length_config(calibration="none")
    examples = small_task.split("train")
    prompts = build_prompts(
        PromptConfig(ensemble_size=2, label_style="name"),
        small_task.label_set,
        small_task.description,
        small_task.split("demonstration"),
        n_draws=2,
    )
    annotators = open_annotators(config, small_task)

    draws = list(
        annotate(
            annotators,
            prompts,
            examples,
            small_task.label_set,
            config=config.annotate,
            folder=tmp_path / "answers",
            progress=lambda n: None,
            meter=Meter(SpendConfig()),
        )
    )

    rule = [
        small_task.label_set[len(text) % len(small_task.label_set)] for text in examples["text"]
    ]
    assert len(annotators) == 2
    assert [list(draw.table["label"]) for draw in draws] == [rule, rule]


def test_the_help_of_the_annotator_parameter_lists_a_registered_engine(registered):
    assert "length" in engines_help()
    assert has_prompt("length")
    check_engine("length")


def test_a_name_that_is_taken_cannot_be_registered_with_other_facts(registered):
    register_engine("length", ENGINES["length"])  # a module that is imported again
    with pytest.raises(
        AssayError,
        match="an engine named length is registered already, at rule_package.engine:Length",
    ):
        register_engine("length", EngineFacts(open="another:Class"))


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        ({"open": "no_colon"}, "must be 'module:Class'; got 'no_colon'"),
        ({"open": "module:Class", "takes": ("sever",)}, "Did you mean 'server'"),
    ],
)
def test_facts_that_cannot_open_an_engine_are_refused(facts, error):
    with pytest.raises(AssayError, match=error):
        EngineFacts(**facts)


def test_an_engine_whose_module_is_missing_is_refused_with_the_way_out(
    registered, small_task, monkeypatch
):
    monkeypatch.setitem(ENGINES, "length", EngineFacts(open="no_such_module:Class"))

    with pytest.raises(AssayError, match="no_such_module:Class could not be imported.*Install"):
        open_annotators(length_config(), small_task)


def test_an_engine_whose_package_is_missing_is_refused_with_the_way_out(monkeypatch):
    facts = EngineFacts(open="a:B", package="no_such_package", without_package="Use another one.")
    monkeypatch.setitem(ENGINES, "far", facts)

    with pytest.raises(AssayError, match="needs the package no_such_package.*Use another one"):
        check_engine("far")


@pytest.mark.parametrize("name", ["transformers", "openai", "rerank", "recorded"])
def test_every_engine_in_the_table_names_a_class_that_exists(name):
    module, _, engine = engine_facts(name).open.partition(":")

    assert isinstance(getattr(importlib.import_module(module), engine), type)


def test_an_engine_that_is_not_registered_here_counts_as_one_with_prompts():
    assert has_prompt("an engine of another machine")
    assert not has_prompt("recorded")
