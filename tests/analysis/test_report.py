"""The verdict, and what the parts of a report find in experiments whose answers are known."""

import html
import re

import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from analysis import report
from analysis.questions import calibration, divergence, errors
from analysis.questions import examples as texts
from analysis.questions.verdict import tolerances, verdict
from analysis.render.page import VerdictBox, page
from analysis.render.section import Section, Table
from analysis.store.experiment import read_experiment
from project.config.results import VerdictConfig
from project.data.tables import GOLD_PROBABILITY
from project.tracking import read_run
from tests.helpers.stored import LABELS, examples, log_experiment, noisy

GOLD = np.arange(900) % 3


def of(part, experiment):
    """One part of the report."""
    return part.section(experiment)


def judged(store, arms, gold=GOLD, tolerance=5.0, least_alpha=0.5, **more):
    return verdict(
        read_experiment(log_experiment(store, gold, arms, **more)),
        VerdictConfig(tolerance, least_alpha),
    )


def test_labels_that_cost_nothing_are_safe(store):
    found = judged(store, {"gold": noisy(GOLD, 0.95), "llm": noisy(GOLD, 0.95, seed=1)})

    assert found.word == "safe"
    row = found.judged.set_index("arm").loc["llm"]
    assert row["loss_high"] <= 0.05
    assert row["krippendorff_alpha_low"] >= 0.5
    assert (
        f"[{100 * row['loss_low']:+.1f}, {100 * row['loss_high']:+.1f}]".replace(
            "-", "\N{MINUS SIGN}"
        )
        in found.sentence
    )


def test_labels_that_cost_much_are_not_safe_and_the_cheapest_remedy_that_is_makes_them_so(store):
    arms = {"gold": noisy(GOLD, 0.95), "llm": noisy(GOLD, 0.5, seed=1)}
    assert judged(store, arms).word == "not safe"

    more = {
        **arms,
        "random_50": noisy(GOLD, 0.95, seed=2),
        "entropy_10": noisy(GOLD, 0.95, seed=3),
        "entropy_5": noisy(GOLD, 0.6, seed=4),
    }
    found = judged(store, more)
    assert found.word == "safe with 90 human labels"  # 10 % of 900
    assert "labels of entropy_10, 90 of them (10 %) by a human" in found.sentence


def test_what_nobody_can_have_is_no_remedy(store):
    arms = {
        "gold": noisy(GOLD, 0.95),
        "llm": noisy(GOLD, 0.5, seed=1),
        "oracle_10": noisy(GOLD, 0.95, seed=2),
        "flip_20": noisy(GOLD, 0.95, seed=3),
    }
    found = judged(store, arms)

    assert found.word == "not safe"
    assert list(found.judged["arm"]) == ["llm"]


def test_labels_are_not_blamed_for_what_gold_labels_do_too(store):
    found = judged(
        store, {"gold": noisy(GOLD, 0.7), "llm": noisy(GOLD, 0.7, seed=1)}, least_alpha=0.95
    )

    assert found.word == "cannot tell"
    assert found.sentence.startswith(
        "Trainings differ too much here whatever the labels: the alpha of classifiers trained on gold labels is 0.4"
    )


def test_gold_classifiers_that_have_learned_nothing_are_no_measure(store):
    found = judged(store, {"gold": np.zeros((3, 900), dtype=int), "llm": noisy(GOLD, 0.1)})

    assert found.word == "cannot tell"
    assert (
        "not told from one that always gives the same label (macro-F1 16.7 against 16.7)"
        in found.sentence
    )


def test_a_remedy_without_human_labels_is_named(store):
    arms = {
        "gold": noisy(GOLD, 0.95),
        "llm": noisy(GOLD, 0.5, seed=1),
        "majority": noisy(GOLD, 0.95, seed=2),
    }

    assert judged(store, arms).word == "safe with majority"


def test_seeds_that_disagree_make_labels_unsafe_however_good_they_are_on_average(store):
    arms = {"gold": noisy(GOLD, 0.99), "llm": noisy(GOLD, 0.8, seed=1)}

    assert judged(store, arms, least_alpha=0.95, tolerance=30.0).word == "not safe"
    assert judged(store, arms, least_alpha=0.2, tolerance=30.0).word == "safe"


def test_an_interval_that_holds_the_limit_cannot_tell(store):
    gold = GOLD[:120]
    found = judged(
        store, {"gold": noisy(gold, 0.9), "llm": noisy(gold, 0.85, seed=1)}, gold, tolerance=4.0
    )

    assert found.word == "cannot tell"
    assert found.sentence.startswith("n is too small")
    assert found.judged["loss_low"][0] < 0.04 < found.judged["loss_high"][0]


@pytest.mark.parametrize(
    ("gold", "n_seeds", "arms", "says"),
    [
        (
            GOLD[:60],
            3,
            ("gold", "llm"),
            "60 test examples are too few to tell anything: 100 at least",
        ),
        (
            np.r_[np.arange(200) % 2, [2, 2]],
            3,
            ("gold", "llm"),
            r"fewer than 10 test examples, by which macro-F1 stands or falls: c (2)",
        ),
        (GOLD, 2, ("gold", "llm"), "gold (2), llm (2): fewer than 3 seeds"),
        (GOLD, 3, ("gold",), "There is no complete arm llm to compare"),
        (GOLD, 3, ("llm",), "There is no complete arm gold to compare"),
    ],
)
def test_small_denominators_are_refused_rather_than_guessed_from(store, gold, n_seeds, arms, says):
    found = judged(store, {arm: noisy(gold, 0.9, n_seeds) for arm in arms}, gold)

    assert found.word == "cannot tell"
    assert says in found.sentence
    assert found.judged.empty


def test_what_is_tolerated_comes_from_here_else_from_the_experiment_else_from_the_defaults():
    run_with = {"config": {"verdict": {"tolerance": 3.0, "least_alpha": 0.7}}}

    assert tolerances(run_with) == VerdictConfig(3.0, 0.7)
    assert tolerances(run_with, tolerance=1.0) == VerdictConfig(1.0, 0.7)
    assert tolerances({"config": {}}) == VerdictConfig()


def test_the_verdict_stands_in_description_tags_and_page_and_follows_the_tolerance(store):
    run_id = log_experiment(
        store,
        GOLD,
        {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.8, seed=1)},
        llm=noisy(GOLD, 0.7, 1, 2),
    )
    report.publish(run_id, str(store / "out"), tolerance=0.5, min_alpha=0.5)
    root = read_run(run_id)

    assert root.tags["assay.verdict"] == "not safe"
    assert root.tags["mlflow.note.content"].startswith(
        "**Not safe.** Trained on the LLM's labels alone"
    )
    written = (store / "out" / "reports" / run_id / "report.html").read_text()
    assert '<div class="verdict not"><b>Not safe</b>' in written
    assert root.tags["assay.verdict_reason"] in html.unescape(written)
    report.publish(run_id, str(store / "out"), tolerance=50.0, min_alpha=0.1)
    assert read_run(run_id).tags["assay.verdict"] == "safe"
    logged = {one.path for one in MlflowClient().list_artifacts(run_id, "report")}
    assert {
        "report/report.html",
        "report/report.md",
        "report/verdict.csv",
        "report/noise_transition.png",
    } <= logged


def structured(random, gold=GOLD):
    """An annotator that errs on one class alone, and always in the same way."""
    return np.where((gold == 2) & (random.random(len(gold)) < 0.6), 0, gold)


def test_errors_in_one_class_are_called_structured_and_random_ones_are_not(store):
    random = np.random.default_rng(0)
    arms = {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.8, seed=1)}
    made = of(errors, read_experiment(log_experiment(store, GOLD, arms, llm=structured(random))))
    assert (
        "the errors are not random: they depend on the gold class, which wrong label" in made.answer
    )
    frame = {table.name: table.frame for table in made.tables}
    moved = frame["noise_transition"].set_index(["gold", "given"])
    assert moved.loc[("c", "a"), "share"] == pytest.approx(
        (structured(np.random.default_rng(0)) != GOLD).sum() / 300
    )
    assert moved.loc[("a", "a"), "share"] == 1.0

    flipped = np.where(random.random(900) < 0.3, (GOLD + random.integers(1, 3, 900)) % 3, GOLD)
    made = of(errors, read_experiment(log_experiment(store, GOLD, arms, llm=flipped)))
    assert "no test tells the errors from random ones" in made.answer


def test_answers_without_a_label_have_a_column_of_their_own(store):
    llm = np.where(np.arange(900) % 10 == 0, -1, GOLD)
    made = of(
        errors, read_experiment(log_experiment(store, GOLD, {"gold": noisy(GOLD, 0.9)}, llm=llm))
    )

    assert list(made.tables[0].head) == ["gold", "n", "a", "b", "c", "(no answer)"]
    assert "wrong in 10.0 %" in made.answer


def test_labels_without_distributions_have_no_entropy_to_test_or_to_show(store):
    run_id = log_experiment(
        store,
        GOLD,
        {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.6, seed=1)},
        llm=noisy(GOLD, 0.7, 1, 2),
        has_log_probabilities=False,
    )
    experiment = read_experiment(run_id)
    tests = next(
        table.frame for table in of(errors, experiment).tables if table.name == "error_tests"
    ).set_index("errors_depend_on")

    assert np.isnan(
        tests.loc["the LLM's entropy", ["value", "p", "p_adjusted"]].astype(float)
    ).all()
    assert set(of(texts, experiment).tables[0].frame["entropy, bits"]) == {"-"}


def test_the_noise_equivalent_rate_lies_between_the_rates_between_which_the_llm_stands(store):
    arms = {
        "gold": noisy(GOLD, 0.95),
        "llm": noisy(GOLD, 0.75, seed=1),
        "flip_20": noisy(GOLD, 0.85, seed=2),
        "flip_40": noisy(GOLD, 0.65, seed=3),
    }
    made = of(errors, read_experiment(log_experiment(store, GOLD, arms)))
    arms["flip_40"] = noisy(GOLD, 0.85, seed=3)
    beyond = of(errors, read_experiment(log_experiment(store, GOLD, arms)))

    rate, low, high = map(
        float, re.findall(r"The noise-equivalent rate is (\d+) % \[(\d+), (\d+)\]", made.answer)[0]
    )
    assert 20 < low < rate < high < 40
    assert (
        "The noise-equivalent rate is more than 40 % [more than 40, more than 40]" in beyond.answer
    )


def test_the_tail_report_begins_with_the_rarest_class(store):
    gold = np.r_[np.zeros(200), np.ones(100), np.full(30, 2)].astype(int)
    llm = np.where(gold == 2, 0, noisy(gold, 0.9, 3, 1))
    made = of(
        errors, read_experiment(log_experiment(store, gold, {"gold": noisy(gold, 0.9), "llm": llm}))
    )
    tail = next(table.frame for table in made.tables if table.name == "tail")

    assert list(tail["class"]) == ["c", "b", "a"]
    assert tail["llm"][0] == 0
    assert tail["high"][0] < -0.5
    assert "The rarest class of the test split, c (30 of 330)" in made.answer


def test_the_terms_of_the_divergence_add_up_and_follow_the_votes_where_there_are_any(store):
    arms = {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.8, seed=1)}
    made = of(
        divergence,
        read_experiment(
            log_experiment(store, GOLD, arms, llm=noisy(GOLD, 0.7, 1, 2), confidence=0.7)
        ),
    )
    row = made.tables[0].frame.iloc[0]
    assert row["total"] == pytest.approx(row["approximation"] + row["estimation"] + row["cross"])
    assert "one-hot, which ignores that people disagree" in made.notes[0]
    assert made.tables[1].frame["n"].tolist() == [300, 300, 300]

    table = examples(GOLD)
    votes = pd.DataFrame(
        np.full((len(table), 3), 1 / 3), columns=[GOLD_PROBABILITY + name for name in LABELS]
    )
    even = of(
        divergence,
        read_experiment(
            log_experiment(
                store,
                GOLD,
                arms,
                llm=noisy(GOLD, 0.7, 1, 2),
                confidence=0.7,
                table=pd.concat([table, votes], axis=1),
            )
        ),
    )
    # P uniform: KL(P || P_S) is the same for all, of (0.7, 0.15, 0.15) mixed with a thousandth of the uniform
    p = 0.999 * np.array([0.7, 0.15, 0.15]) + 0.001 / 3
    assert even.tables[0].frame["approximation"][0] == pytest.approx(
        -np.log2(3) - np.log2(p).mean()
    )
    assert "the shares of the human votes" in even.notes[0]


def test_votes_on_other_splits_alone_leave_the_divergence_untold(store):
    table = examples(GOLD)
    votes = pd.DataFrame(
        np.full((len(table), 3), 1 / 3), columns=[GOLD_PROBABILITY + name for name in LABELS]
    )
    votes[table["split"] == "test"] = np.nan
    run_id = log_experiment(
        store,
        GOLD,
        {"llm": noisy(GOLD, 0.8)},
        llm=noisy(GOLD, 0.7, 1, 2),
        table=pd.concat([table, votes], axis=1),
    )

    assert (
        of(divergence, read_experiment(run_id)).answer
        == "No answer: no test example has both votes and a distribution."
    )


def test_labels_without_distributions_have_no_divergence_and_that_is_said(store):
    found = read_experiment(
        log_experiment(
            store, GOLD, {"llm": noisy(GOLD, 0.8)}, llm=GOLD, has_log_probabilities=False
        )
    )

    assert of(divergence, found).answer == "No answer: the labels came without class distributions."


def test_an_uncertainty_that_knows_wrong_labels_is_a_good_detector(store):
    random = np.random.default_rng(0)
    wrong = random.random(900) < 0.3
    llm = np.where(wrong, (GOLD + 1) % 3, GOLD)
    found = read_experiment(
        log_experiment(
            store,
            GOLD,
            {"llm": noisy(GOLD, 0.8)},
            llm=llm,
            confidence=np.where(wrong, 0.5, 0.9) - 0.01 * random.random(900),
        )
    )
    made = of(calibration, found)
    detectors = made.tables[1].frame.set_index("uncertainty")

    assert detectors.loc["entropy", "auroc"] == 1.0
    assert "label mass" not in detectors.index  # the same for all
    assert made.answer.startswith(
        "Of the uncertainties, entropy finds wrong labels best: AUROC 1.00"
    )
    calibrated = made.tables[0].frame.set_index("labels").loc["the LLM itself"]
    assert calibrated["accuracy"] == pytest.approx(1 - wrong.mean())


def test_the_hundred_most_churning_and_most_doubtful_texts_are_shown_the_worst_first(store):
    random = np.random.default_rng(0)
    arms = {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.6, 3, 1)}
    run_id = log_experiment(
        store, GOLD, arms, llm=noisy(GOLD, 0.6, 2, 3), confidence=random.uniform(0.4, 0.9, 900)
    )
    churning, suspicious = of(texts, read_experiment(run_id)).tables

    assert len(churning.rows) == len(suspicious.rows) == 100
    churn = churning.frame["churn"].astype(float)
    assert churn.is_monotonic_decreasing
    assert churn.iloc[0] == 1.0  # three seeds, three labels
    assert suspicious.frame["entropy"].astype(float).is_monotonic_decreasing
    assert set(suspicious.frame["it is"]) == {"right", "wrong"}


def test_texts_are_shown_and_never_run():
    evil = '<script>alert("x")</script><img src=x onerror=alert(1)>'
    made = page(
        evil,
        [evil],
        verdict=VerdictBox(evil, evil, evil),
        sections=[
            Section(
                "s",
                evil,
                evil,
                [Table("t", evil, ["text", evil], [[evil, evil]], pd.DataFrame())],
                notes=[evil],
            )
        ],
        facts={evil: evil},
        warning=evil,
    )

    assert "<script>alert" not in made
    assert "<img src=x" not in made
    assert made.count("&lt;script&gt;") >= 9


def test_a_text_with_a_bar_or_a_line_break_stays_in_its_cell():
    from analysis.render.text import markdown

    assert markdown(["a"], [["one | two\nthree"]]).splitlines()[-1] == "| one \\| two three |"


def test_every_number_of_the_page_is_in_a_file_too(store):
    run_id = log_experiment(
        store,
        GOLD,
        {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.8, seed=1)},
        llm=noisy(GOLD, 0.7, 2, 2),
    )
    report.publish(run_id, str(store / "out"))
    folder = store / "out" / "reports" / run_id
    names = {path.name for path in folder.iterdir()}

    for name in (
        "verdict",
        "arms",
        "recall",
        "spent",
        "agreement",
        "between",
        "noise_transition",
        "error_tests",
        "tail",
        "shift",
        "divergence",
        "calibration",
        "detectors",
    ):
        assert f"{name}.csv" in names
        assert len(pd.read_csv(folder / f"{name}.csv"))
    assert {
        "verdict.md",
        "arms.md",
        "agreement.md",
        "errors.md",
        "divergence.md",
        "calibration.md",
        "examples.md",
    } <= names
