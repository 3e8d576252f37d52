"""Numbers beside the text of which zones are made: demonstrations, human votes, a label's prior."""

import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from analysis.questions import zone_report as zones
from analysis.questions.zone_candidates import candidates
from analysis.questions.zone_numbers import DISTANCE, PRIOR, VOTE_ENTROPY
from analysis.questions.zone_search import read_labelled
from analysis.store.experiment import read_experiment
from project.config.experiment import ExperimentConfig
from project.data.tables import GOLD_PROBABILITY, RAW_LOG_PROBABILITY
from project.support.parquet import write_table
from project.tracking import children, read_run
from tests.helpers.sections import GOLD
from tests.helpers.stored import LABELS, examples, log_experiment, noisy

SPLIT = np.random.default_rng(6).random(900) < 0.3
"""Texts over which people differ."""
LLM = np.where(SPLIT & (np.arange(900) % 2 == 0), (GOLD + 1) % 3, GOLD)


def logged(store, *, tables, **changes):
    """An experiment whose annotation runs hold further ``tables`` by path."""
    run_id = log_experiment(store, GOLD, {"gold": noisy(GOLD, 0.9)}, llm=LLM, **changes)
    for path, table in tables.items():
        folder, _, name = path.rpartition("/")
        write_table(store / name, table)
        for run in children(read_run(run_id), "annotation"):
            MlflowClient().log_artifact(run.run_id, str(store / name), folder or None)
    return read_experiment(run_id)


def settings(**changes):
    """The configuration of an experiment with ``changes`` to its stages."""
    config = ExperimentConfig().as_dict()
    config["finetune"]["seeds"] = 3
    for stage, values in changes.items():
        config[stage].update(values)
    return {"config": config}


def test_texts_over_which_people_differ_are_a_zone(store):
    rows = examples(GOLD)
    differ = np.tile(SPLIT, 2)
    for index, name in enumerate(LABELS):
        is_gold = np.tile(GOLD, 2) == index
        rows[GOLD_PROBABILITY + name] = np.where(differ, 1 / 3, is_gold.astype(float))

    experiment = logged(store, tables={}, table=rows)

    bits = read_labelled(experiment).numbers[VOTE_ENTROPY]
    assert sorted(set(bits.round(6))) == [0, pytest.approx(np.log2(3), abs=1e-6)]
    assert f"any {VOTE_ENTROPY} (" in zones.section(experiment).answer


def test_the_distance_to_the_nearest_demonstration_is_read_from_the_stored_prompt(store):
    rows = examples(GOLD, text="number {} is about {}")
    shown = pd.DataFrame({"text": [rows["text"].iloc[7], "entirely other words"]})
    config = settings(prompt={"n_demonstrations": 2})

    experiment = logged(
        store, tables={"prompt/demonstrations.parquet": shown}, table=rows, config_changes=config
    )

    labelled = read_labelled(experiment)
    distance = pd.Series(labelled.numbers[DISTANCE], index=labelled.table["text"])
    assert distance[shown["text"].iloc[0]] == pytest.approx(0)
    assert distance.between(-1e-9, 1).all()
    assert distance.max() > 0.3


def test_the_prior_of_a_label_is_that_of_the_content_free_prompts(store):
    prior = pd.DataFrame(
        {RAW_LOG_PROBABILITY + name: [p] for name, p in (("a", 0.2), ("b", 0.3), ("c", 0.5))}
    )
    config = settings(annotate={"calibration": "contextual"})

    experiment = logged(
        store, tables={"content_free.parquet": np.log(prior)}, config_changes=config
    )

    labelled = read_labelled(experiment)
    assert labelled.numbers[PRIOR] == pytest.approx(np.array([0.2, 0.3, 0.5])[labelled.llm])


def test_what_is_unknown_or_alike_is_named_and_no_candidate(store):
    experiment = logged(store, tables={}, config_changes=settings(prompt={"n_demonstrations": 2}))

    (note,) = zones.section(experiment).notes

    assert note.startswith("Unknown or alike in all texts, and so no zones: words, ")
    for name in ("emoji", DISTANCE, PRIOR, VOTE_ENTROPY):
        assert name in note


def test_of_two_candidates_with_the_same_texts_one_is_tried():
    texts = ["one two"] * 50 + ["one two three"] * 50
    number = np.repeat([0.2, 0.7], 50)
    every = np.ones(100, dtype=bool)

    found = candidates(texts, np.repeat([0, 1], 50), ("a", "b"), {"prior": number}, {}, every)

    assert [zone.name for zone in found.zones][:2] == ["the LLM says a", "the LLM says b"]
    assert not any("prior" in zone.name for zone in found.zones)
    masks = {zone.texts.tobytes() for zone in found.zones}
    assert len(masks) == len(found.zones)
