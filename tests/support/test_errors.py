"""Errors about unknown values list the known ones and suggest a similar one."""

import pytest

from project.support.errors import AssayError, Refusals, did_you_mean, unknown_value


def test_errors_of_independent_checks_are_raised_together():
    refusals = Refusals()
    refusals.finish()
    with refusals.part():
        raise AssayError("first")
    with refusals.part(), refusals.part():
        raise AssayError("second")

    with pytest.raises(AssayError, match="first") as raised:
        refusals.finish()

    assert [str(each) for each in raised.value.others] == ["second"]


def test_a_similar_name_is_suggested_and_others_are_not():
    assert did_you_mean("sedes", ["seeds", "epochs"]) == " Did you mean 'seeds'?"
    assert did_you_mean("quux", ["seeds", "epochs"]) == ""


def test_an_error_about_an_unknown_value_has_rule_value_suggestion_and_way_out():
    error = unknown_value("task", "imbd", ["toxic", "imdb"], "Or give a path.")
    assert str(error) == (
        "task must be one of imdb, toxic; got 'imbd'. Did you mean 'imdb'? Or give a path."
    )
