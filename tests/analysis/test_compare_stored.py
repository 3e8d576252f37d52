"""Two experiments of a store are compared on the same examples only."""

import numpy as np
import pandas as pd
import pytest

from analysis.questions import compare
from analysis.store.experiment import read_experiment
from project.support.errors import AssayError
from tests.helpers.stored import examples, log_experiment, noisy
from tests.helpers.two_arms import GOLD, arms_of


def test_two_experiments_are_compared_on_the_same_examples_only(store):
    one = read_experiment(log_experiment(store, GOLD, arms_of(3)))
    other = read_experiment(
        log_experiment(store, GOLD, {"llm": noisy(GOLD, 0.95, 3, 7), "gold": arms_of(3)["gold"]})
    )
    section = compare.comparison(one, other)
    frame = section.tables[0].frame.set_index("arm")

    assert frame.loc["llm", "macro_f1_low"] > 0.1
    assert frame.loc["gold", "macro_f1"] == pytest.approx(0)
    assert frame.loc["llm", "krippendorff_alpha"] > 0
    assert section.answer.startswith("In the second experiment llm gains")
    order = np.random.default_rng(0).permutation(120)
    table = examples(GOLD)
    test = table[table["split"] == "test"].iloc[order]
    same = log_experiment(
        store,
        GOLD,
        {name: codes[:, order] for name, codes in arms_of(3).items()},
        table=pd.concat([test, table[table["split"] != "test"]]),
    )
    assert (
        compare.comparison(one, read_experiment(same)).tables[0].frame["macro_f1"].abs().max()
        < 1e-12
    )  # whatever the order of the rows
    fewer = read_experiment(log_experiment(store, GOLD[:60], {"llm": noisy(GOLD[:60], 0.9, 3)}))
    with pytest.raises(
        AssayError, match=r"test on different examples \(60 in common of 120 and 60\)"
    ):
        compare.comparison(one, fewer)
    renamed = read_experiment(
        log_experiment(store, GOLD, {"llm": noisy(GOLD, 0.9, 3)}, label_set=("a", "b", "d"))
    )
    with pytest.raises(AssayError, match="have different label sets"):
        compare.comparison(one, renamed)
