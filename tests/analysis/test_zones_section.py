"""Zones of an experiment: found, confirmed, inherited or not, and what cannot have any."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from analysis.questions import zone_curve
from analysis.questions import zone_report as zones
from analysis.questions.zone_candidates import halves, unlike_twins
from analysis.store.experiment import read_experiment
from project.config.experiment import ExperimentConfig
from project.support.errors import AssayError
from tests.helpers.sections import GOLD
from tests.helpers.stored import examples, log_experiment, noisy

ODD = np.random.default_rng(5).random(900) < 0.3
"""Texts with a negation, in which the LLM may be wrong more often."""


def table(mark="It never was number {} of {}."):
    """Test and training examples; those of ``ODD`` have ``mark`` in their text."""
    rows = examples(GOLD, text="It was number {}, of class {}.")
    marked = np.tile(ODD, 2)
    rows.loc[marked, "text"] = [mark.format(row, "it") for row in np.flatnonzero(marked)]
    return rows


def wrong_within(share_within, share_outside, seed=0):
    """Labels of an LLM that is wrong so often within ``ODD`` and outside."""
    random = np.random.default_rng(seed)
    share = np.where(ODD, share_within, share_outside)
    return np.where(random.random(900) < share, (GOLD + 1) % 3, GOLD)


def read(store, llm, arms, **changes):
    """The experiment as the store holds it."""
    return read_experiment(log_experiment(store, GOLD, arms, llm=llm, table=table(), **changes))


def frames(section):
    """The tables of a section by name."""
    return {one.name: one.frame for one in section.tables}


def test_a_zone_with_more_errors_is_confirmed_and_the_classifier_that_repeats_them_inherits(store):
    llm = wrong_within(0.5, 0.05)
    arms = {"gold": noisy(GOLD, 0.95), "llm": np.stack([llm] * 3)}

    section = zones.section(read(store, llm, arms))

    assert "any negations (" in section.answer
    assert "A classifier inherits the errors of any negations" in section.answer
    found = frames(section)
    row = found["zones"].set_index("zone").loc["any negations"]
    assert row["confirmed"]
    assert row["more_low"] > 0.2
    inherited = found["zones_inherited"].set_index("zone").loc["any negations"]
    assert inherited["repeated_llm"] == 1
    assert inherited["inherited_low"] > 0.8
    assert inherited["lost"] > 0.05
    assert found["zones_examples"]["text"].str.contains("never").all()
    assert section.figures[0].picture.png
    assert "any negations: " in section.figures[0].seen


def test_errors_that_average_out_are_not_called_inherited(store):
    arms = {"gold": noisy(GOLD, 0.95), "llm": noisy(GOLD, 0.95, seed=9)}

    section = zones.section(read(store, wrong_within(0.5, 0.05), arms))

    assert "It is not measurable that a classifier inherits their errors." in section.answer


def test_random_errors_have_no_zone(store):
    llm = wrong_within(0.2, 0.2, seed=2)

    section = zones.section(read(store, llm, {"gold": noisy(GOLD, 0.9)}))

    assert "has more wrong labels than chance puts there" in section.answer
    assert section.figures == []
    assert list(frames(section)) == ["zones"]


def test_copies_of_a_text_count_once_and_texts_without_an_answer_are_counted(store):
    llm = np.where(np.arange(900) % 9 == 0, -1, GOLD)
    rows = table()
    rows["text"] = [f"Text number {number % 900}." for number in range(1800)]
    run_id = log_experiment(store, GOLD, {"gold": noisy(GOLD, 0.9)}, llm=llm, table=rows)

    section = zones.section(read_experiment(run_id))

    assert "The LLM is wrong on 0.0 % of 800 texts. 200 more without a label" in section.answer


def test_a_zone_of_the_first_half_alone_is_shown_and_not_claimed(store):
    first = halves(table()["text"].tolist())[:900]
    llm = wrong_within(0.05, 0.05)
    broken = ODD & first & (np.arange(900) % 2 == 0)
    llm = np.where(broken, (GOLD + 1) % 3, llm)
    rows = table()
    rows = rows[rows["split"] == "test"]
    run_id = log_experiment(store, GOLD, {"gold": noisy(GOLD, 0.9)}, llm=llm, table=rows)

    section = zones.section(read_experiment(run_id))

    assert "none of them was confirmed in the other half" in section.answer
    assert not frames(section)["zones"]["confirmed"].any()


def test_columns_of_a_file_are_zones_too(store, tmp_path):
    llm = wrong_within(0.5, 0.05)
    rows = table("It was number {} of {}.")
    source = np.where(np.tile(ODD, 2), "blog", "press")
    file = tmp_path / "more.csv"
    pd.DataFrame({"text": rows["text"], "source": source}).to_csv(file, index=False)
    run_id = log_experiment(store, GOLD, {"gold": noisy(GOLD, 0.9)}, llm=llm, table=rows)
    experiment = read_experiment(run_id)

    columns = zones.read_columns(experiment, str(file), ["source"])

    assert "source is blog (" in zones.section(experiment, columns).answer
    with pytest.raises(AssayError, match="got 'sauce'. It has text, source"):
        zones.read_columns(experiment, str(file), ["sauce"])


def test_private_experiments_and_those_without_llm_labels_have_no_zones(store):
    settings = ExperimentConfig().as_dict()
    settings["finetune"]["seeds"] = 3
    settings["store"]["private"] = True
    arms = {"gold": noisy(GOLD, 0.9)}

    with pytest.raises(AssayError, match="private must be false for zones"):
        zones.section(read(store, GOLD, arms, config_changes={"config": settings}))
    with pytest.raises(AssayError, match="no texts with a gold label and one of the LLM"):
        zones.section(read(store, None, arms))


def test_near_duplicates_with_other_labels_are_told_and_texts_without_words_are_none():
    texts = ["the same long text here", "the same long text here!", "another one", "the same"]

    assert unlike_twins(texts, np.array([0, 1, 0, 0])).tolist() == [True, True, False, False]
    assert not unlike_twins(texts, np.array([0, 0, 0, 1])).any()
    assert not unlike_twins(["!", "?"], np.array([0, 1])).any()


def test_near_duplicates_are_all_those_that_comparing_every_pair_finds():
    rng = np.random.default_rng(1)
    words = [f"word{number}" for number in range(60)]
    texts = [" ".join(rng.choice(words, size=rng.integers(1, 9))) for _ in range(80)]
    # Copies with a word more, or one less: some of these pairs lie on either side of the limit.
    texts += [f"{text} {word}" for text, word in zip(texts, rng.permutation(words), strict=False)]
    texts += [text.rpartition(" ")[0] for text in texts[:80]]
    labels = rng.integers(-1, 2, size=len(texts))

    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts)
    near = (vectors @ vectors.T).toarray() >= 0.8
    unlike = (labels[:, None] != labels) & (labels[:, None] >= 0) & (labels >= 0)
    expected = (near & unlike).any(axis=1)
    assert 20 < expected.sum() < 0.8 * len(texts)
    assert unlike_twins(texts, labels).tolist() == expected.tolist()


def log_curve(store, llm, predicted):
    """A curve of the arms gold and llm; ``predicted``: predictions by arm and size."""

    def at_its_size(arm, seed, child):
        kind, size = arm.split("-")
        params = {**child.params, "arm": kind, "arm_kind": kind, "n_examples": int(size)}
        return dataclasses.replace(child, params=params)

    settings = ExperimentConfig().as_dict()
    settings["finetune"]["seeds"] = 3
    sizes = sorted({int(name.split("-")[1]) for name in predicted})
    changes = {"config": settings, "arms": ["gold", "llm", "soft"], "design": {"sizes": sizes}}
    return log_experiment(
        store,
        GOLD,
        predicted,
        llm=llm,
        table=table(),
        kind="curve",
        config_changes=changes,
        change_child=at_its_size,
    )


def test_a_curve_shows_errors_that_are_learned_and_errors_that_wash_out(store):
    llm = wrong_within(0.5, 0.1)
    learned = np.where(ODD, llm, GOLD)  # repeats what is wrong within the zone, and nothing else
    run_id = log_curve(
        store,
        llm,
        {
            "gold-100": noisy(GOLD, 0.95),
            "llm-100": np.stack([llm] * 3),
            "gold-400": noisy(GOLD, 0.95, seed=1),
            "llm-400": np.stack([learned] * 3),
            "soft-100": np.stack([llm] * 3),
            "soft-400": np.stack([llm] * 3),
        },
    )

    section = zone_curve.section(run_id)

    frame = frames(section)["zone_curve"].set_index(["part", "labels", "n_examples"])
    assert frame.loc[("within the zones", "llm", 400), "repeated"] == 1
    assert frame.loc[("outside", "llm", 100), "repeated"] == 1
    assert frame.loc[("outside", "llm", 400), "repeated"] == 0
    assert frame.loc[("outside", "soft", 400), "repeated"] == 1
    assert "Those of its probabilities repeat 100 % and 100 %." in section.answer
    assert "outside, soft: 100 to 100 %" in section.figures[0].seen
    assert "Outside, classifiers of the LLM's labels repeat 100 % of its errors with 100" in (
        section.answer
    )
    assert section.figures[0].picture.svg


def test_a_curve_without_both_arms_is_refused(store):
    run_id = log_curve(store, GOLD, {"gold-100": noisy(GOLD, 0.9)})

    with pytest.raises(AssayError, match="no size at which the arms gold and llm are complete"):
        zone_curve.section(run_id)
