"""Registrations that would be confused with others, or that nobody could name, are refused."""

import dataclasses

import pytest

from project.config.arms import ARMS, register_arm
from project.config.engines import ENGINES, EngineFacts, register_engine
from project.config.metrics import METRICS, register_metric
from project.support.errors import AssayError


@pytest.mark.parametrize("name", ["", "a,b", "a b", "My engine", " vllm", "7b"])
def test_the_name_of_an_engine_can_be_typed(name):
    with pytest.raises(AssayError, match="the name of an engine must begin with"):
        register_engine(name, EngineFacts(open="package.module:Engine"))

    assert name not in ENGINES


@pytest.mark.parametrize("place", ["module", ":Engine", "a b:Engine", "a..b:Engine", "a:B.C", ""])
def test_the_place_of_an_engine_can_be_imported(place):
    with pytest.raises(AssayError, match="an engine's open must be 'module:Class'"):
        EngineFacts(open=place)


@pytest.mark.parametrize("key", ["accuracy_sd", "krippendorff_alpha_low"])
def test_a_metric_takes_no_column_of_another(key):
    metric = dataclasses.replace(METRICS["accuracy"], key=key)

    with pytest.raises(AssayError, match=f"would have the column {key} of the metric"):
        register_metric(metric)
    assert key not in METRICS


def test_nothing_is_registered_twice():
    with pytest.raises(AssayError, match="the metric accuracy is registered already"):
        register_metric(METRICS["accuracy"])
    for kind in ("gold", "drop_entropy"):
        with pytest.raises(AssayError, match="exists already|without the prefix drop_"):
            register_arm(kind, ARMS["gold"])
    with pytest.raises(AssayError, match="an engine named vllm is registered already"):
        register_engine("vllm", ENGINES["openai"])
