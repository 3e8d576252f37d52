"""Answers in the tracking store of older versions, which told batch sizes apart, are reused."""

import pytest

from entrypoints import annotate
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.tracking import children, latest_root


def as_in_an_older_version(monkeypatch, tokens):
    """Until undone, the batch size is part of the identity of the engine."""
    make = TransformersAnnotator.__init__

    def with_batch_tokens(self, *arguments):
        make(self, *arguments)
        self.identity = {**self.identity, "batch_tokens": tokens}
        self.earlier_identities = []

    monkeypatch.setattr(TransformersAnnotator, "__init__", with_batch_tokens)


@pytest.mark.parametrize(
    ("chosen", "tokens"), [({"annotator_batch_tokens": "555"}, "555"), ({}, "1024")]
)
def test_answers_in_the_store_are_found_whatever_the_batch_size_was(
    params, store, monkeypatch, chosen, tokens
):
    more = {"annotator_dtype": "bfloat16", "ensemble_size": "1"}
    with monkeypatch.context() as patch:
        as_in_an_older_version(patch, tokens)
        annotate.annotate(params("annotate", **more, **chosen))
    (store / "work").rename(store / "gone")
    monkeypatch.setattr(
        TransformersAnnotator, "model", property(lambda self: pytest.fail("a model was loaded"))
    )

    annotate.annotate(params("annotate", **more))

    (run,) = children(latest_root("annotation set"), "annotation")
    assert run.metrics["asked_texts"] == 0
    assert run.metrics["fetched_texts"] > 0
