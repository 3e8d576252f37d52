"""The reason to conclude nothing from trainings that have not left their start."""

import numpy as np
import pytest

from analysis.questions.untrained import few_steps_note, reason_untrained
from analysis.store.replicates import Replicates
from project.tracking import FEW, Record


def arm(flags, tags=None, n_steps="12"):
    """An arm with a run for each value of the metric ``not_learned``; None: it is not stored."""
    runs = [
        Record(
            run_id=str(number),
            name="",
            status="FINISHED",
            params={"n_steps": n_steps},
            metrics={} if flag is None else {"not_learned": flag},
            tags=tags or {},
            experiment_id="0",
            started=0,
            artifact_uri="",
        )
        for number, flag in enumerate(flags)
    ]
    return Replicates(runs, np.zeros((len(runs), 2), dtype=int), np.zeros((len(runs), 2, 2)))


@pytest.mark.parametrize(
    ("flags", "refused"),
    [
        ([1.0] * 5, True),
        ([1.0, 1.0, 0.0, 0.0], True),
        ([1.0, 0.0, 0.0], False),
        ([None] * 3, False),
    ],
)
def test_nothing_is_concluded_where_half_of_an_arm_s_seeds_have_not_learned(flags, refused):
    reason = reason_untrained({"gold": arm([0.0] * 3), "llm": arm(flags)})

    assert bool(reason) is refused
    assert not refused or f"{sum(flags):.0f} of {len(flags)} seeds of llm are" in reason
    assert "gold" not in reason


def test_only_the_compared_arms_count():
    arms = {"gold": arm([0.0] * 3), "flip_50": arm([1.0] * 3)}

    assert reason_untrained(arms, ["gold"]) == ""
    assert "flip_50" in reason_untrained(arms)


def test_arms_of_few_steps_are_named():
    assert few_steps_note({"gold": arm([0.0])}) == ""
    assert "gold (12)" in few_steps_note({"gold": arm([0.0], {FEW: "12 steps"})})


@pytest.mark.parametrize(("n_steps", "way_out"), [("12", "Raise min_steps"), ("0", "Give more")])
def test_a_logistic_regression_is_not_told_to_take_more_steps(n_steps, way_out):
    reason = reason_untrained({"llm": arm([1.0] * 3, n_steps=n_steps)})

    assert f"{way_out} " in reason
