"""Label sources that a package outside of Assay adds."""

import dataclasses
import importlib
import sys

import numpy as np
import pandas as pd
import pytest

from project.config.arm import ArmFacts
from project.config.arms import ARMS, Arm, register_arm
from project.config.designs import BudgetConfig
from project.config.labels import LabelConfig
from project.data.tables import with_class_columns
from project.labels import selection
from project.labels.inputs import LabelInputs
from project.labels.selection import register_ranking, select
from project.labels.sources import arms, label
from project.support.errors import AssayError

LABELS = ("a", "b")
PLUGIN = """
import numpy as np

from project.config.arm import ArmFacts
from project.config.arms import register_arm
from project.labels.selection import register_ranking


def shortest_first(arm, inputs):
    return -inputs.examples["text"].str.len().to_numpy(dtype=np.float64)


register_arm(
    "shortest",
    ArmFacts(
        "a human labels the shortest texts",
        selects="ranking",
        share=True,
        asks_human=True,
        can_drop=True,
    ),
)
register_ranking("shortest", shortest_first)
"""


@pytest.fixture(autouse=True)
def rankings(monkeypatch):
    """The registry of rankings, which is as before when the test ends."""
    monkeypatch.setattr(selection, "_RANKINGS", dict(selection._RANKINGS))


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A package on the path that adds the ranking ``shortest``, imported."""
    (tmp_path / "shortest_texts").mkdir()
    (tmp_path / "shortest_texts" / "__init__.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("shortest_texts")
    sys.modules.pop("shortest_texts")


@pytest.fixture
def inputs():
    """Ten texts of 1 to 10 words; the LLM labels all of them "b", and "a" is right."""
    examples = pd.DataFrame(
        {
            "example_id": [f"e{k}" for k in range(10)],
            "text": ["word " * (k + 1) for k in range(10)],
            "gold_label": "a",
            "split": "train",
        }
    )
    draw = pd.DataFrame(
        {
            "example_id": examples["example_id"],
            "draw": 0,
            "label": "b",
            "label_mass": 1.0,
            "log_bound": np.nan,
            "truncated": False,
            "error": None,
        }
    )
    draw = with_class_columns(draw, np.log(np.full((10, 2), 0.5)), LABELS)
    return LabelInputs(examples, [draw], LABELS, LabelConfig())


def test_a_ranking_of_another_package_makes_labels_like_one_of_our_own(plugin, inputs):
    config = LabelConfig(arms=("shortest", "drop_shortest"), replace_share=(30.0,))

    replacing, dropping = arms(config, 3)
    replaced = label(replacing, inputs)
    dropped = label(dropping, inputs)

    assert (replacing.name, dropping.name) == ("shortest_30", "drop_shortest_30")
    assert list(replaced["label"]) == ["a"] * 3 + ["b"] * 7
    assert list(replaced["source"]) == ["gold"] * 3 + ["llm"] * 7
    assert set(replaced["reason"][:3]) == {"highest shortest"}
    assert list(dropped["example_id"]) == [f"e{k}" for k in range(3, 10)]
    assert set(dropped["label"]) == {"b"}


def test_a_registered_kind_is_a_value_of_the_parameter_arms_at_once():
    with pytest.raises(AssayError, match="arms must be one of .*; got 'longest'"):
        LabelConfig(arms=("longest",))

    register_arm("longest", ArmFacts("the longest texts", selects="ranking", share=True))

    assert LabelConfig(arms=("longest",)).arms == ("longest",)
    assert BudgetConfig(arms=("longest",)).arms == ("longest",)
    with pytest.raises(AssayError, match="arms must be one of .*; got 'drop_longest'"):
        LabelConfig(arms=("drop_longest",))


@pytest.mark.parametrize("name", ["drop_mine", "mine_5", "Mine", "", "mine-too"])
def test_a_name_that_cannot_be_told_from_an_arms_parameters_is_refused(name):
    with pytest.raises(AssayError, match="the name of an arm must be lower-case words"):
        register_arm(name, ARMS["entropy"])
    assert name not in ARMS


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(AssayError, match="the arm entropy exists already"):
        register_arm("entropy", ARMS["entropy"])
    with pytest.raises(AssayError, match="the ranking entropy exists already"):
        register_ranking("entropy", lambda arm, inputs: np.zeros(1))


def test_a_ranking_without_a_function_and_one_with_missing_scores_are_refused(inputs):
    register_arm("unfinished", dataclasses.replace(ARMS["entropy"], help="no function yet"))
    with pytest.raises(AssayError, match="unfinished has no score function"):
        select(Arm("unfinished", 10.0), inputs)

    register_ranking("unfinished", lambda arm, inputs: np.array([np.nan] + [0.0] * 9))
    with pytest.raises(
        AssayError, match=r"must give every example one number; got .*\(10,\) with 1 missing for 10"
    ):
        select(Arm("unfinished", 10.0), inputs)


def test_every_ranking_of_the_table_has_a_score_function():
    rankings = {kind for kind, facts in ARMS.items() if facts.selects == "ranking"}

    assert {Arm(kind).base_kind for kind in rankings} == set(selection._RANKINGS)
