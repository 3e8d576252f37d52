"""Which label sources have questions for a person, for all arms."""

import pytest

from entrypoints import ask
from entrypoints.wiring import experiment
from project.config.arms import ARMS, configured_facts
from project.config.ask import AskConfig
from project.support.errors import AssayError

CASES = [(kind, soft) for kind in ARMS for soft in ("draw", "calibrated", "mean")]
WITH_QUESTIONS = [case for case in CASES if configured_facts(*case).asks_human]
WITHOUT_QUESTIONS = [case for case in CASES if not configured_facts(*case).asks_human]


def test_sources_without_questions_are_those_of_the_documentation():
    assert {kind for kind, soft in WITHOUT_QUESTIONS if soft == "draw"} == {
        "gold",
        "llm",
        "majority",
        "soft",
        "jury",
        "jury_soft",
        "coteach",
        "oracle",
        "flip",
        *(kind for kind in ARMS if kind.startswith("drop_")),
    }
    assert [soft for kind, soft in WITH_QUESTIONS if kind == "soft"] == ["calibrated"]


@pytest.mark.parametrize(("kind", "soft"), WITHOUT_QUESTIONS)
def test_a_source_without_questions_is_refused_before_an_annotator_is_opened(
    params, monkeypatch, kind, soft
):
    def fail(*args, **kwargs):
        raise AssertionError("an annotator would be opened")

    monkeypatch.setattr(experiment, "prepare_experiment", fail)

    with pytest.raises(AssayError) as refused:
        ask.ask(params("ask", arms=kind, soft_labels=soft))

    message = str(refused.value)
    assert message.startswith("arms must be a source with questions for a person")
    assert "\n" not in message
    assert ("calibrated" in message) == (kind == "soft")


@pytest.mark.parametrize(("kind", "soft"), WITH_QUESTIONS)
def test_a_source_with_questions_is_accepted(kind, soft):
    ask.check_questions(AskConfig(arms=(kind,), soft_labels=soft))
