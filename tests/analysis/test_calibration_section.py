"""Which uncertainty finds wrong labels, on an experiment where one of them finds all."""

import numpy as np
import pytest

from analysis.questions import calibration
from analysis.store.experiment import read_experiment
from tests.helpers.sections import GOLD, of
from tests.helpers.stored import log_experiment, noisy


def test_an_uncertainty_that_separates_wrong_labels_has_an_area_of_one(store):
    random = np.random.default_rng(0)
    wrong = random.random(900) < 0.3
    llm = np.where(wrong, (GOLD + 1) % 3, GOLD)
    experiment = read_experiment(
        log_experiment(
            store,
            GOLD,
            {"llm": noisy(GOLD, 0.8)},
            llm=llm,
            confidence=np.where(wrong, 0.5, 0.9) - 0.01 * random.random(900),
        )
    )
    section = of(calibration, experiment)
    detectors = section.tables[1].frame.set_index("uncertainty")

    assert detectors.loc["entropy", "auroc"] == 1.0
    assert "label mass" not in detectors.index  # the same for all
    # With 1 - p shared by the other classes margin follows from entropy.
    assert section.answer.startswith(
        "entropy and margin rank alike and find wrong labels better than chance: AUROC 1.00 [0.9"
    )
    calibrated = section.tables[0].frame.set_index("labels").loc["the LLM itself"]
    assert calibrated["accuracy"] == pytest.approx(1 - wrong.mean())
