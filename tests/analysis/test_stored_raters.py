"""Runs of the store as raters of the same examples."""

import numpy as np
import pytest

from analysis.questions import agreement
from analysis.store.raters import stored_raters
from project.stats.agreement import unchanged
from project.support.errors import AssayError
from tests.helpers.stored import log_experiment, noisy
from tests.helpers.two_arms import GOLD, arms_of


def test_agreement_across_experiments_refuses_other_examples_and_other_labels(store):
    log_experiment(store, GOLD, arms_of())
    log_experiment(store, GOLD, {"gold": noisy(GOLD, 0.9, 2, 5)})
    raters = stored_raters("seed", ["arm=gold"], "root", "test")
    assert raters.codes.shape == (4, 120)
    assert len(set(raters.groups)) == 2

    log_experiment(store, GOLD[:60], {"gold": noisy(GOLD[:60], 0.9, 2)})
    with pytest.raises(AssayError, match="rate different examples"):
        stored_raters("seed", ["arm=gold"], "root", "test")
    log_experiment(store, GOLD, {"gold": noisy(GOLD, 0.9, 2)}, label_set=("a", "b", "d"))
    with pytest.raises(AssayError, match=r"have different label sets \(a, b, .; a, b, .\)"):
        stored_raters("seed", ["arm=gold"], "root", "test")
    with pytest.raises(
        AssayError, match="needs at least two runs; 0 of 10 match arm=nobody on test"
    ):
        stored_raters("seed", ["arm=nobody"], "root", "test")


def test_draws_of_an_annotator_are_raters_too(store):
    random = np.random.default_rng(0)
    draws = np.where(random.random((3, 120)) < 0.8, GOLD, 0)
    draws[0, :5] = -1  # no answer
    log_experiment(store, GOLD, arms_of(), llm=draws)
    raters = stored_raters("annotation", [], "draw", "train")

    assert raters.codes.tolist() == draws.tolist()
    assert list(raters.groups) == ["0", "1", "2"]
    assert unchanged(raters.codes[:, :5]) == 0  # no answer is no label
    section = agreement.agreement_section(
        stored_raters("annotation", [], "annotator_model", "train")
    )
    assert section.tables[0].frame["n_raters"].tolist() == [3]
