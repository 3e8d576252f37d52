"""Answers of older versions, which told batch sizes apart, are not paid for again."""

import dataclasses
import json

import pandas as pd
import pytest

from project.annotation.annotate import annotate
from project.annotation.cost import Meter
from project.annotation.engines.base import ANY_NUMBER
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.annotation.prompt import Prompt
from project.annotation.question import question_digest
from project.config.annotation import AnnotateConfig, SpendConfig
from tests.helpers.annotators import ScriptedAnnotator

LABELS = ("a", "b")
PROMPT = Prompt(0, "Sort it: ", "\nLabel:", (" a", " b"))


def annotator_of(**identity):
    annotator = ScriptedAnnotator(2)
    annotator.identity = {"engine": "scripted", "dtype": "bfloat16", **identity}
    return annotator


def now():
    annotator = annotator_of()
    annotator.earlier_identities = [{**annotator.identity, "batch_tokens": ANY_NUMBER}]
    return annotator


def table_of(annotator, texts, folder, prompt=PROMPT):
    examples = pd.DataFrame({"example_id": texts, "text": texts})
    (draw,) = annotate(
        [annotator],
        [prompt],
        examples,
        LABELS,
        config=AnnotateConfig(calibration="none"),
        folder=folder,
        progress=lambda n: None,
        meter=Meter(SpendConfig()),
    )
    return draw.table.drop(columns="seconds")


def as_of_an_older_version(folder):
    for mark in folder.glob("*/annotator.json"):
        mark.unlink()


@pytest.mark.parametrize("tokens", ["16", "1024", "4093", "8192", "65536", "131072"])
def test_answers_stored_with_any_batch_size_are_found(tmp_path, tokens):
    texts = [f"text {index}" for index in range(9)]
    before = table_of(annotator_of(batch_tokens=tokens), texts, tmp_path)
    as_of_an_older_version(tmp_path)
    annotator = now()

    table = table_of(annotator, [*texts, "a new one"], tmp_path)

    assert annotator.texts_read == ["a new one"]
    pd.testing.assert_frame_equal(table[:9], before)
    again = now()
    table_of(again, texts, tmp_path)
    assert again.texts_read == []


@pytest.mark.parametrize(
    "other", [annotator_of(batch_tokens="64", dtype="float16"), annotator_of(model="another")]
)
def test_answers_of_another_dtype_or_model_are_not_taken(tmp_path, other):
    table_of(other, ["text"], tmp_path)
    as_of_an_older_version(tmp_path)
    annotator = now()

    table_of(annotator, ["text"], tmp_path)

    assert annotator.texts_read == ["text"]


def test_answers_to_another_prompt_are_not_taken(tmp_path):
    table_of(annotator_of(batch_tokens="64"), ["text"], tmp_path)
    as_of_an_older_version(tmp_path)
    annotator = now()

    table_of(annotator, ["text"], tmp_path, prompt=dataclasses.replace(PROMPT, before="Sort: "))

    assert annotator.texts_read == ["text"]


def test_folders_of_this_version_say_whose_answers_they_hold_and_are_not_searched(
    tmp_path, monkeypatch
):
    table_of(now(), ["text"], tmp_path)
    (mark,) = tmp_path.glob("*/annotator.json")
    assert json.loads(mark.read_text()) == {"engine": "scripted", "dtype": "bfloat16"}
    monkeypatch.setattr(
        "project.annotation.question.digests_with", lambda *_: pytest.fail("searched")
    )

    table_of(now(), ["text", "another"], tmp_path)


def test_the_batch_size_is_no_part_of_an_answers_identity(tiny_llm):
    engines = [
        TransformersAnnotator(
            AnnotateConfig(
                annotator_model=str(tiny_llm), annotator_dtype="bfloat16", annotator_batch_tokens=n
            )
        )
        for n in (None, 77, 4096)
    ]

    assert len({question_digest(engine, PROMPT) for engine in engines}) == 1
    (earlier,) = engines[0].earlier_identities
    assert earlier == {**engines[0].identity, "batch_tokens": ANY_NUMBER}


def test_float32_never_had_it(tiny_llm):
    config = AnnotateConfig(annotator_model=str(tiny_llm), annotator_dtype="float32")

    assert TransformersAnnotator(config).earlier_identities == []
