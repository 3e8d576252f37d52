"""Arms that cannot get what they need are refused before the annotator is asked."""

import pytest

from entrypoints import ask, check, curve, grid, main, sweep
from project.support.errors import AssayError


@pytest.mark.parametrize(
    ("name", "work", "settings", "message"),
    [
        ("main", main.experiment, {}, "is 2 of 40 training labels"),
        ("check", check.check, {}, "is 2 of 40 training labels"),
        ("ask", ask.ask, {"arms": "learned"}, "is 2 of 40 training labels"),
        ("grid", grid.grid, {}, "is 2 of 40 training labels"),
        ("sweep", sweep.sweep, {}, "is 2 of 40 training labels"),
        (
            "main",
            main.experiment,
            {"replace_share": "50", "validation_labels": "arm"},
            "is 8 of 16 validation labels",
        ),
        (
            "curve",
            curve.curve,
            {"replace_share": "50", "sizes": "20,40"},
            "is 10 of 20 training labels",
        ),
    ],
)
def test_a_budget_too_small_for_an_audit_is_refused_before_the_annotator_is_asked(
    params, store, name, work, settings, message
):
    changes = {"arms": "random,learned", "replace_share": "5", **settings}

    with pytest.raises(AssayError, match=f"{message}, too few for the audit of the arm learned"):
        work(params(name, **changes))

    assert not (store / "work" / "annotations").exists()
