"""Which label sources have questions for a human, for the whole table of arms."""

import pytest

from entrypoints import ask
from entrypoints.wiring import experiment
from project.config.arms import ARMS, configured_facts
from project.config.designs import AskConfig
from project.support.errors import AssayError

CASES = [(kind, soft) for kind in ARMS for soft in ("draw", "calibrated", "mean")]
ASKING = [case for case in CASES if configured_facts(*case).asks_human]
SILENT = [case for case in CASES if not configured_facts(*case).asks_human]


def test_sources_with_and_without_questions_are_those_of_the_documentation():
    assert {kind for kind, soft in SILENT if soft == "draw"} == {
        "gold",
        "llm",
        "majority",
        "soft",
        "oracle",
        "flip",
        *(kind for kind in ARMS if kind.startswith("drop_")),
    }
    assert [soft for kind, soft in ASKING if kind == "soft"] == ["calibrated"]


@pytest.mark.parametrize(("kind", "soft"), SILENT)
def test_a_source_without_questions_is_refused_in_one_line_before_anything_is_opened(
    params, monkeypatch, kind, soft
):
    def opened(*args, **kwargs):
        raise AssertionError("an annotator would be opened")

    monkeypatch.setattr(experiment, "prepare_experiment", opened)

    with pytest.raises(
        AssayError, match="arms must be a source with questions for a person"
    ) as refused:
        ask.ask(params("ask", arms=kind, soft_labels=soft))

    assert "\n" not in str(refused.value)
    assert ("calibrated" in str(refused.value)) == (kind == "soft")


@pytest.mark.parametrize(("kind", "soft"), ASKING)
def test_a_source_with_questions_is_accepted(kind, soft):
    ask.check_questions(AskConfig(arms=(kind,), soft_labels=soft))
