"""Variance components against values by hand, a naive definition, and simulated data."""

import itertools

import numpy as np
import pandas as pd
import pytest

from analysis.questions.variance import variance_rows, variance_table
from analysis.store.replicates import Replicates
from project.stats.variance import crossed_components
from project.tracking import Record

# 2 draws x 3 seeds. Mean 77; draw means 72, 82; seed means 75, 78, 78.
# MS_draw = 3 (25 + 25) / 1 = 150; MS_seed = 2 (4 + 1 + 1) / 2 = 6.
# Residuals 0 -1 1 / 0 1 -1, MS_residual = 4 / 2 = 2.
# draw = (150 - 2) / 3; seed = (6 - 2) / 2; residual = 2.
BY_HAND = [[70, 72, 74], [80, 84, 82]]


def naive_components(table):
    """The mean covariance of two columns is the variance of draws, that of two rows of seeds."""
    draw = np.mean(
        [
            np.cov(table[:, a], table[:, b])[0, 1]
            for a, b in itertools.combinations(range(table.shape[1]), 2)
        ]
    )
    seed = np.mean(
        [
            np.cov(table[a], table[b])[0, 1]
            for a, b in itertools.combinations(range(table.shape[0]), 2)
        ]
    )
    return draw, seed, np.mean(table.var(axis=0, ddof=1)) - draw


def test_components_of_a_small_table_equal_those_derived_by_hand():
    assert crossed_components(BY_HAND) == pytest.approx((148 / 3, 2, 2))


def test_components_equal_a_naive_definition_also_where_they_are_negative():
    tables = np.random.default_rng(0).normal(size=(50, 3, 4)) + np.arange(4)
    found = np.array([crossed_components(table) for table in tables])

    assert found == pytest.approx(
        np.array([naive_components(table) for table in tables]), rel=1e-9, abs=1e-12
    )
    assert (found[:, 0] < 0).any()
    assert (found[:, 2] >= 0).all()


def test_components_are_unbiased():
    rng = np.random.default_rng(0)
    n = 4000  # tables of 4 draws x 3 seeds, with standard deviations 3, 2 and 1
    values = (
        3 * rng.normal(size=(4, 1, n)) + 2 * rng.normal(size=(1, 3, n)) + rng.normal(size=(4, 3, n))
    )

    assert [part.mean() for part in crossed_components(values)] == pytest.approx(
        [9, 4, 1], rel=0.06
    )


def test_further_axes_are_computed_like_separate_tables():
    values = np.random.default_rng(0).normal(size=(3, 2, 7))

    together = np.array(crossed_components(values))
    assert together == pytest.approx(
        np.array([crossed_components(values[..., index]) for index in range(7)]).T
    )


@pytest.mark.parametrize("shape", [(1, 3), (3, 1)])
def test_one_draw_or_one_seed_has_no_components(shape):
    assert np.isnan(crossed_components(np.zeros(shape))).all()


def replicates(cells, predicted):
    runs = [
        Record(
            "id",
            "name",
            "FINISHED",
            {"draw": str(draw), "seed": str(seed)},
            metrics={},
            tags={},
            experiment_id="1",
            started=0,
            artifact_uri="",
        )
        for draw, seed in cells
    ]
    return Replicates(runs, np.array(predicted), np.zeros((len(runs), 3, 2)))


def test_only_a_complete_crossing_of_draws_and_seeds_has_components():
    test = pd.DataFrame({"gold_label": ["a", "b", "a"]})
    crossed, answers = (
        [(0, 0), (0, 1), (1, 0), (1, 1)],
        [[0, 1, 0], [0, 1, 0], [1, 1, 1], [1, 1, 0]],
    )

    rows = variance_rows("llm", replicates(crossed, answers), test, ["a", "b"])
    # right in 3, 3, 1 and 2 of 3 examples
    expected = crossed_components(np.array([[1, 1], [1 / 3, 2 / 3]]))
    assert [rows[0][part] for part in ("draw", "seed", "residual")] == pytest.approx(expected)
    right = np.array([[[1, 1, 1], [1, 1, 1]], [[0, 1, 0], [0, 1, 1]]])
    assert rows[2]["draw"] == pytest.approx(
        np.mean([crossed_components(right[..., index]).draw for index in range(3)])
    )
    assert variance_rows("llm", replicates(crossed[:3], answers[:3]), test, ["a", "b"]) == []
    assert variance_rows("llm", replicates([(0, 0), (1, 1)], answers[:2]), test, ["a", "b"]) == []


def test_a_negative_estimate_is_shown_as_zero_with_a_note():
    row = {
        "arm": "llm",
        "measure": "accuracy",
        "n_draws": 2,
        "n_seeds": 2,
        "draw": 0.0003,
        "seed": -0.0002,
        "residual": 0.0001,
    }

    shown = variance_table(pd.DataFrame([row]))

    assert shown.rows == [["accuracy", "1.7 (75 %)", "0.0 (0 %)", "1.0 (25 %)"]]
    assert "as computed: accuracy.seed -0.0002" in shown.notes[1]
