"""The verdict and the parts of a report, on experiments whose answers are known."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from analysis import report
from analysis.questions import calibration, divergence, errors
from analysis.questions import examples as texts
from analysis.questions.arms_caption import caption
from analysis.questions.arms_table import ScoredExperiment, result_table
from analysis.questions.verdict import tolerances, verdict
from analysis.render.page import VerdictBox, page
from analysis.render.section import Section, Table
from analysis.store.experiment import read_experiment
from project.config.experiment import ExperimentConfig
from project.config.results import VerdictConfig
from project.data.tables import GOLD_PROBABILITY
from project.tracking import read_run
from tests.helpers.stored import LABELS, examples, log_experiment, noisy

GOLD = np.arange(900) % 3
ROOT = Path(__file__).parents[2]


def of(part, experiment):
    """One part of the report."""
    return part.section(experiment)


def judged(store, arms, gold=GOLD, tolerance=5.0, min_alpha=0.5, **more):
    return verdict(
        read_experiment(log_experiment(store, gold, arms, **more)),
        VerdictConfig(tolerance, min_alpha),
    )


def test_labels_that_cost_nothing_are_safe(store):
    decision = judged(store, {"gold": noisy(GOLD, 0.95), "llm": noisy(GOLD, 0.95, seed=1)})

    assert decision.word == "safe"
    row = decision.judged.set_index("arm").loc["llm"]
    assert row["loss_high"] <= 0.05
    assert row["krippendorff_alpha_low"] >= 0.5
    assert (
        f"[{100 * row['loss_low']:+.1f}, {100 * row['loss_high']:+.1f}]".replace(
            "-", "\N{MINUS SIGN}"
        )
        in decision.sentence
    )


def test_costly_labels_are_not_safe_unless_a_remedy_is_and_the_cheapest_one_is_named(store):
    arms = {"gold": noisy(GOLD, 0.95), "llm": noisy(GOLD, 0.5, seed=1)}
    assert judged(store, arms).word == "not safe"

    more = {
        **arms,
        "random_50": noisy(GOLD, 0.95, seed=2),
        "entropy_10": noisy(GOLD, 0.95, seed=3),
        "entropy_5": noisy(GOLD, 0.6, seed=4),
    }
    decision = judged(store, more)
    # 10 % of 900 for training, the validation labels and the demonstrations
    assert decision.word == "safe with 103 human labels"
    assert "103 human labels: 90 for training, 10 for validation, 3 as" in decision.sentence
    assert "labels of entropy_10, 90 of them (10 %) by a human" in decision.sentence


def test_oracles_and_flipped_labels_are_not_judged_as_remedies(store):
    arms = {
        "gold": noisy(GOLD, 0.95),
        "llm": noisy(GOLD, 0.5, seed=1),
        "oracle_10": noisy(GOLD, 0.95, seed=2),
        "flip_20": noisy(GOLD, 0.95, seed=3),
    }
    decision = judged(store, arms)

    assert decision.word == "not safe"
    assert list(decision.judged["arm"]) == ["llm"]


def test_disagreement_that_gold_labels_show_too_gives_no_verdict(store):
    decision = judged(
        store, {"gold": noisy(GOLD, 0.7), "llm": noisy(GOLD, 0.7, seed=1)}, min_alpha=0.95
    )

    assert decision.word == "cannot tell"
    assert decision.sentence.startswith(
        "Trainings differ too much here whatever the labels: the alpha of classifiers trained on "
        "gold labels is 0.4"
    )


def test_gold_classifiers_that_have_learned_nothing_give_no_verdict(store):
    decision = judged(store, {"gold": np.zeros((3, 900), dtype=int), "llm": noisy(GOLD, 0.1)})

    assert decision.word == "cannot tell"
    assert (
        "not told from one that always gives the same label (macro-F1 16.7 against 16.7)"
        in decision.sentence
    )


def test_a_remedy_without_human_labels_is_named(store):
    arms = {
        "gold": noisy(GOLD, 0.95),
        "llm": noisy(GOLD, 0.5, seed=1),
        "majority": noisy(GOLD, 0.95, seed=2),
    }

    assert judged(store, arms).word == "safe with majority"


def test_seeds_that_disagree_make_labels_unsafe_even_with_a_small_mean_loss(store):
    arms = {"gold": noisy(GOLD, 0.99), "llm": noisy(GOLD, 0.8, seed=1)}

    assert judged(store, arms, min_alpha=0.95, tolerance=30.0).word == "not safe"
    assert judged(store, arms, min_alpha=0.2, tolerance=30.0).word == "safe"


def test_an_interval_that_contains_the_limit_gives_no_verdict(store):
    gold = GOLD[:120]
    decision = judged(
        store, {"gold": noisy(gold, 0.9), "llm": noisy(gold, 0.85, seed=1)}, gold, tolerance=4.0
    )

    assert decision.word == "cannot tell"
    assert decision.sentence.startswith("Undecided without human labels: trained on the LLM's")
    assert "% is due to the 3 seeds and" in decision.sentence
    assert "-P max_test=" in decision.sentence
    assert decision.judged["loss_low"][0] < 0.04 < decision.judged["loss_high"][0]


@pytest.mark.parametrize(
    ("gold", "n_seeds", "arms", "reason"),
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
def test_too_small_experiments_get_no_verdict_and_a_reason(store, gold, n_seeds, arms, reason):
    decision = judged(store, {arm: noisy(gold, 0.9, n_seeds) for arm in arms}, gold)

    assert decision.word == "cannot tell"
    assert reason in decision.sentence
    assert decision.judged.empty


def test_limits_given_now_override_those_of_the_experiment_which_override_the_defaults():
    run_with = {"config": {"verdict": {"tolerance": 3.0, "min_alpha": 0.7}}}
    earlier = {"config": {"verdict": {"tolerance": 3.0, "least_alpha": 0.7}}}

    assert tolerances(run_with) == VerdictConfig(3.0, 0.7)
    assert tolerances(run_with, tolerance=1.0) == VerdictConfig(1.0, 0.7)
    assert tolerances(earlier) == VerdictConfig(3.0, 0.7)
    assert tolerances({"config": {}}) == VerdictConfig()


def test_description_tags_and_page_hold_the_verdict_which_follows_the_tolerance(store):
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
        "**Not safe.** The loss decides. Trained on the LLM's labels alone"
    )
    written = (store / "out" / "reports" / run_id / "report.html").read_text()
    assert '<div class="verdict not"><b>Not safe</b>' in written
    assert root.tags["assay.verdict_reason"] in html.unescape(written)
    report.publish(run_id, str(store / "out"), tolerance=50.0, min_alpha=0.1)
    assert read_run(run_id).tags["assay.verdict"] == "safe"
    logged = {file.path for file in MlflowClient().list_artifacts(run_id, "report")}
    assert {
        "report/report.html",
        "report/report.md",
        "report/verdict.csv",
        "report/noise_transition.png",
    } <= logged


def structured(random, gold=GOLD):
    """Labels of an annotator that errs in 60 per cent of one class, always with the same label."""
    return np.where((gold == 2) & (random.random(len(gold)) < 0.6), 0, gold)


def test_errors_in_one_class_are_called_structured_and_random_ones_are_not(store):
    random = np.random.default_rng(0)
    arms = {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.8, seed=1)}
    section = of(errors, read_experiment(log_experiment(store, GOLD, arms, llm=structured(random))))
    assert (
        "the errors are not random: they depend on the gold class, which wrong label"
        in section.answer
    )
    frame = {table.name: table.frame for table in section.tables}
    moved = frame["noise_transition"].set_index(["gold", "given"])
    assert moved.loc[("c", "a"), "share"] == pytest.approx(
        (structured(np.random.default_rng(0)) != GOLD).sum() / 300
    )
    assert moved.loc[("a", "a"), "share"] == 1.0

    flipped = np.where(random.random(900) < 0.3, (GOLD + random.integers(1, 3, 900)) % 3, GOLD)
    section = of(errors, read_experiment(log_experiment(store, GOLD, arms, llm=flipped)))
    assert "no test tells the errors from random ones" in section.answer


def test_answers_without_a_label_have_a_column_of_their_own(store):
    llm = np.where(np.arange(900) % 10 == 0, -1, GOLD)
    section = of(
        errors, read_experiment(log_experiment(store, GOLD, {"gold": noisy(GOLD, 0.9)}, llm=llm))
    )

    assert list(section.tables[0].head) == ["gold", "n", "a", "b", "c", "(no answer)"]
    assert "wrong in 10.0 %" in section.answer


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


def test_the_noise_equivalent_rate_lies_between_the_flip_rates_around_the_llm(store):
    arms = {
        "gold": noisy(GOLD, 0.95),
        "llm": noisy(GOLD, 0.75, seed=1),
        "flip_20": noisy(GOLD, 0.85, seed=2),
        "flip_40": noisy(GOLD, 0.65, seed=3),
    }
    section = of(errors, read_experiment(log_experiment(store, GOLD, arms)))
    arms["flip_40"] = noisy(GOLD, 0.85, seed=3)
    beyond = of(errors, read_experiment(log_experiment(store, GOLD, arms)))

    rate, low, high = map(
        float,
        re.findall(r"The noise-equivalent rate is (\d+) % \[(\d+), (\d+)\]", section.answer)[0],
    )
    assert 20 < low < rate < high < 40
    assert (
        "The noise-equivalent rate is more than 40 % [more than 40, more than 40]" in beyond.answer
    )


def test_the_tail_report_begins_with_the_rarest_class(store):
    gold = np.r_[np.zeros(200), np.ones(100), np.full(30, 2)].astype(int)
    llm = np.where(gold == 2, 0, noisy(gold, 0.9, 3, 1))
    section = of(
        errors, read_experiment(log_experiment(store, gold, {"gold": noisy(gold, 0.9), "llm": llm}))
    )
    tail = next(table.frame for table in section.tables if table.name == "tail")

    assert list(tail["class"]) == ["c", "b", "a"]
    assert tail["llm"][0] == 0
    assert tail["high"][0] < -0.5
    assert "The rarest class of the test split, c (30 of 330)" in section.answer


def test_the_terms_of_the_divergence_add_up_and_use_human_votes_if_there_are_any(store):
    arms = {"gold": noisy(GOLD, 0.9), "llm": noisy(GOLD, 0.8, seed=1)}
    section = of(
        divergence,
        read_experiment(
            log_experiment(store, GOLD, arms, llm=noisy(GOLD, 0.7, 1, 2), confidence=0.7)
        ),
    )
    row = section.tables[0].frame.iloc[0]
    assert row["total"] == pytest.approx(row["approximation"] + row["estimation"] + row["cross"])
    assert "one-hot, which ignores that people disagree" in section.notes[0]
    assert section.tables[1].frame["n"].tolist() == [300, 300, 300]

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
    # P uniform: KL(P || P_S) is the same for all examples, with P_S = (0.7, 0.15, 0.15) mixed with
    # a thousandth of the uniform distribution
    p = 0.999 * np.array([0.7, 0.15, 0.15]) + 0.001 / 3
    assert even.tables[0].frame["approximation"][0] == pytest.approx(
        -np.log2(3) - np.log2(p).mean()
    )
    assert "the shares of the human votes" in even.notes[0]


def test_votes_on_other_splits_alone_give_no_divergence(store):
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


def test_labels_without_distributions_have_no_divergence_and_the_answer_says_so(store):
    experiment = read_experiment(
        log_experiment(
            store, GOLD, {"llm": noisy(GOLD, 0.8)}, llm=GOLD, has_log_probabilities=False
        )
    )

    assert (
        of(divergence, experiment).answer
        == "No answer: the labels came without class distributions."
    )


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


def test_the_hundred_texts_of_most_churn_and_most_uncertainty_come_worst_first(store):
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


@pytest.mark.parametrize(
    ("n_seeds", "llm", "reason"),
    [
        (1, GOLD, "no arm has several seeds, and the LLM's labels came without an uncertainty"),
        (2, GOLD, "the seeds agree on all test texts, and the LLM's labels came without"),
        (1, None, "no arm has several seeds, and there are no LLM labels of training texts"),
    ],
)
def test_without_texts_to_look_at_the_answer_says_why(store, n_seeds, llm, reason):
    arms = {"gold": np.tile(GOLD, (n_seeds, 1))}
    log_experiment(store, GOLD, arms, llm=llm, has_log_probabilities=False)

    section = of(texts, read_experiment())

    assert section.answer.startswith(f"No answer: {reason}")
    assert section.tables == []


def test_the_page_escapes_every_text():
    evil = '<script>alert("x")</script><img src=x onerror=alert(1)>'
    html_page = page(
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

    assert "<script>alert" not in html_page
    assert "<img src=x" not in html_page
    assert html_page.count("&lt;script&gt;") >= 9


def test_the_heading_counts_one_seed_as_one():
    from analysis.render.text import title

    config = {"task": {"name": "t"}, "models": {"annotator": "", "encoder": "e"}}

    assert title({**config, "config": {"finetune": {"seeds": 1}}}) == "t: classifier e, 1 seed"
    assert title({**config, "config": {"finetune": {"seeds": 2}}}) == "t: classifier e, 2 seeds"


@pytest.mark.parametrize(
    ("arm", "note"),
    [
        ("entropy_5", "3 demonstrations in every draw, and"),
        ("ensemble_5", "3 demonstrations in every draw (1 draw; 5 for the ensemble), and"),
    ],
)
def test_the_note_below_the_table_mentions_the_ensemble_only_as_an_arm(store, arm, note):
    settings = ExperimentConfig().as_dict()
    settings["finetune"]["seeds"] = 2
    settings["prompt"] |= {"n_demonstrations": 3, "ensemble_size": 5}
    arms = {"gold": noisy(GOLD, 0.9, 2), "llm": noisy(GOLD, 0.6, 2), arm: noisy(GOLD, 0.7, 2)}
    log_experiment(store, GOLD, arms, llm=GOLD, config_changes={"config": settings})
    scored = ScoredExperiment(read_experiment())

    assert note in caption(scored, result_table(scored))


def test_a_text_with_a_bar_or_a_line_break_stays_in_its_cell():
    from analysis.render.text import markdown

    assert markdown(["a"], [["one | two\nthree"]]).splitlines()[-1] == "| one \\| two three |"


def test_every_table_of_the_page_is_a_file_too(store):
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


NEVER = {"torch", "transformers", "sklearn", "optuna"}
AT_WORK_ALONE = {"matplotlib", "pandas", "mlflow"}
COUNT = (
    "import runpy, sys\n"
    "sys.argv = sys.argv[1:]\n"
    "try:\n"
    "    runpy.run_module(sys.argv[0], run_name='__main__')\n"
    "except SystemExit:\n"
    "    pass\n"
    "print('IMPORTED', *sorted(name for name in sys.modules if '.' not in name))\n"
)


def imported(*command):
    """The top-level packages that a command line imports."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT, *command],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return set(done.stdout.split("IMPORTED")[1].split())


@pytest.mark.parametrize(
    "module", ["analysis.report", "entrypoints.report", "analysis.questions.arms"]
)
def test_the_help_of_a_report_imports_nothing_heavy(module):
    assert not imported(module, "--help") & (NEVER | AT_WORK_ALONE)


def test_a_report_imports_no_model_library(store):
    gold = GOLD[:120]
    arms = {"gold": noisy(gold, 0.9), "llm": noisy(gold, 0.8, seed=1)}
    run_id = log_experiment(store, gold, arms, llm=noisy(gold, 0.7, 2, 2))
    packages = imported("analysis.report", "--run_id", run_id, "--workspace", str(store / "out"))

    assert (store / "out" / "reports" / run_id / "report.html").is_file()
    assert "matplotlib" in packages
    assert not packages & NEVER
