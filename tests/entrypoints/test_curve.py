"""Learning curves: the texts of each size, the trainings, and the report from the store alone."""

import re

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from analysis import report as experiment_report
from analysis.questions import curve as question
from analysis.questions.curve_figure import curve_figure
from analysis.questions.curve_fits import fit_curves, fit_sentences, fit_table
from entrypoints import curve, main, report
from entrypoints.wiring.designs import first_examples, training_sizes
from project.config.designs import CurveConfig
from project.support.errors import AssayError
from project.tracking import children, latest_root, read_table
from tests.helpers.experiments import contents


def ids(examples):
    return list(examples["example_id"])


def one_line(text):
    return " ".join(text.split())


def test_sizes_are_evenly_spaced_in_their_logarithm_up_to_the_split_or_as_given():
    assert training_sizes(CurveConfig(), 5000) == [50, 126, 315, 792, 1991, 5000]
    assert training_sizes(CurveConfig(min_size=1, curve_points=9), 4) == [1, 2, 3, 4]
    assert training_sizes(CurveConfig(sizes=(1000, 250)), 1000) == [250, 1000]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            CurveConfig(sizes=(10, 101)),
            "sizes must be at most the size of the training split, 100; got 101. "
            "Lower it, or raise max_train.",
        ),
        (
            CurveConfig(min_size=100),
            "min_size must be below the size of the training split, 100; got 100. "
            "Lower it, or raise max_train.",
        ),
    ],
)
def test_sizes_that_the_split_does_not_have_are_refused(config, message):
    with pytest.raises(AssayError) as error:
        training_sizes(config, 100)
    assert str(error.value) == message


def test_a_smaller_training_set_is_part_of_a_larger_one_in_the_order_of_the_split(small_task):
    train = small_task.split("train")
    subsets = [ids(first_examples(train, size, 0)) for size in (5, 12, len(train))]

    assert [len(subset) for subset in subsets] == [5, 12, 32]
    assert set(subsets[0]) < set(subsets[1]) < set(subsets[2])
    assert subsets[1] == [name for name in ids(train) if name in set(subsets[1])]
    assert subsets[2] == ids(train)
    assert set(ids(first_examples(train, 12, 1))) != set(subsets[1])


def test_the_first_texts_depend_neither_on_labels_nor_on_the_rest_of_the_split(small_task):
    train = small_task.split("train")
    first = set(ids(first_examples(train, 12, 0)))
    others = set(ids(train)) - first - set(ids(train)[:20])
    smaller = train[~train["example_id"].isin(others)].reset_index(drop=True)

    assert first == set(ids(first_examples(train.assign(gold_label=None), 12, 0)))
    assert first == set(ids(first_examples(smaller, 12, 0)))


@pytest.fixture
def full_experiment(params, capsys):
    """An experiment at full size, logged before the curve."""
    main.experiment(params(arms="gold,entropy", replace_share="25"))
    capsys.readouterr()
    return latest_root()


@pytest.fixture
def curve_run(full_experiment, params):
    """A curve of two sizes and the full split; its root run."""
    curve.curve(params("curve", arms="gold,entropy", replace_share="25", sizes="12,20,40"))
    return latest_root("curve")


def test_a_curve_trains_every_arm_at_every_size_and_its_report_can_be_rebuilt(
    full_experiment, curve_run, store, capsys
):
    printed = capsys.readouterr().out
    seeds = children(curve_run, "seed")
    by_setting = {
        (run.params["arm"], run.params["n_examples"], run.params["seed"]): run for run in seeds
    }

    assert len(by_setting) == len(seeds) == 2 * 3 * 2
    for size in ("12", "20", "40"):
        gold, entropy = (
            read_table(by_setting[arm, size, "0"].run_id, "labels.parquet")
            for arm in ("gold", "entropy_25")
        )
        assert ids(gold) == ids(entropy)
        # a quarter of the texts of this size is replaced, and no other text
        assert (entropy["source"] == "gold").sum() == int(size) / 4
    # the full size was trained by the experiment, and is reused
    full_size = [run for run in seeds if run.params["n_examples"] == "40"]
    trained = {run.tags["assay.digest"] for run in children(full_experiment, "seed")}
    assert {run.tags["assay.digest"] for run in full_size} == trained
    assert {run.tags["reused"] for run in full_size} == {"true"}
    assert [run.metrics["asked_texts"] for run in children(curve_run, "annotation")] == [0, 0]
    assert "entropy_25" in printed
    assert "report.html" in printed

    # the scores are recomputed from the predictions
    read = question.read_curve()
    row = read.points.set_index(["arm", "n_examples"]).loc[("gold", 12)]
    accuracies = [by_setting["gold", "12", seed].metrics["test.accuracy"] for seed in "01"]
    assert row["accuracy"] == pytest.approx(sum(accuracies) / 2)
    assert read.incomplete == ()
    assert list(read.annotator["split"]) == ["train", "test"]
    history = MlflowClient().get_metric_history(curve_run.run_id, "arm.gold.accuracy")
    assert [round(metric.step) for metric in history] == [12, 20, 40]

    # the entry point report rebuilds the files byte by byte
    folder = store / "work" / "reports" / curve_run.run_id
    written = contents(folder)
    assert written.keys() == {
        "report.md",
        "tables/curve.csv",
        "tables/plateau.csv",
        "figures/curve.png",
        "figures/curve.svg",
        "report.html",
    }
    report.report({"run_id": curve_run.run_id, "workspace": str(store / "elsewhere")})
    assert contents(store / "elsewhere" / "reports" / curve_run.run_id) == written

    kinds = "must be of the kind experiment or budget; it is: curve"
    with pytest.raises(AssayError, match=rf"run {curve_run.run_id} {kinds}"):
        experiment_report.publish(curve_run.run_id, str(store))


def test_the_report_tells_where_the_curve_flattens(params, store, capsys):
    curve.curve(params("curve", arms="gold", sizes="8,20,40"))
    root = latest_root("curve")
    printed = one_line(capsys.readouterr().out)
    table = pd.read_csv(store / "work" / "reports" / root.run_id / "tables" / "plateau.csv")
    described = MlflowClient().get_run(root.run_id).data.tags["mlflow.note.content"]

    assert table[["arm", "measure", "threshold_points"]].to_numpy().tolist() == [
        ["gold", "accuracy", 1],
        ["gold", "macro_f1", 1],
    ]
    for text in (printed, described):
        assert "where the curve flattens" in text
        assert re.search("For gold, (whether )?doubling gains less than 1 point", text)

    folder = store / "half"
    question.main(["--run_id", root.run_id, "--workspace", str(folder), "--threshold", "0.5"])
    printed = one_line(capsys.readouterr().out)
    assert re.search("For gold, (whether )?doubling gains less than 0.5 points", printed)
    table = pd.read_csv(folder / "reports" / root.run_id / "tables" / "plateau.csv")
    assert set(table["threshold_points"]) == {0.5}


def curve_points(sizes=(50, 100, 200, 400, 800), **laws):
    """Points whose seeds lie evenly about limit - gain / n; macro-F1 is lower by 0.1."""
    rows = []
    for arm, (limit, gain) in laws.items():
        for n in sizes:
            accuracies = [limit - gain / n + deviation for deviation in (-0.002, 0.0, 0.002)]
            macro_f1 = [accuracy - 0.1 for accuracy in accuracies]
            rows.append(
                {
                    "arm": arm,
                    "n_examples": n,
                    "accuracy": accuracies[1],
                    "accuracy_sd": 0.002,
                    "macro_f1": macro_f1[1],
                    "macro_f1_sd": 0.002,
                    "accuracy_by_seed": accuracies,
                    "macro_f1_by_seed": macro_f1,
                }
            )
    return pd.DataFrame(rows)


def test_each_arm_has_the_size_where_it_flattens_and_its_difference_to_gold():
    fits = fit_curves(curve_points(gold=(0.9, 5.0), llm=(0.85, 20.0), flat=(0.6, 0.0)), 1.0)
    table = fit_table(fits)
    cells = {(row[0], row[1]): dict(zip(table.head, row, strict=True)) for row in table.rows}

    # at rate 1 a doubling gains gain / 2n: less than 1 point from 250 texts on for gold, and from
    # 1000 on for llm, which is beyond the largest size
    assert cells["gold", "accuracy"]["flat from n"].startswith("250 [")
    assert cells["gold", "macro-F1"]["limit"].startswith("80.0 [")
    assert cells["gold", "macro-F1"]["loss, limit"] == "-"
    assert cells["llm", "macro-F1"]["flat from n"].startswith(">800 (extrapolated) [")
    # 5 + (20 - 5) / 800 x 100
    assert cells["llm", "macro-F1"]["loss, largest n"].startswith("6.9 [")
    # 20 / 800 x 100
    assert cells["llm", "macro-F1"]["last doubling"].startswith("2.5 [")
    assert cells["flat", "accuracy"]["flat from n"].startswith("<50")
    sentences = fit_sentences(fits)
    assert sentences.startswith("For llm, whether doubling gains")
    assert sentences.endswith(
        "(Macro-F1 by the fitted curve, over the seeds alone, limits for all arms at once.)"
    )
    assert (
        "For gold, doubling gains less than 1 point from at most 470 texts on, by estimate 250 "
        "[160, 460]; a doubling from there ends beyond the 800 measured."
    ) in sentences
    assert (
        "For llm, whether doubling gains less than 1 point within the 800 texts measured is not "
        "told; by estimate from >800 on [740, >800]."
    ) in sentences
    assert (
        "For flat, doubling gains less than 1 point from the smallest size measured on, 50"
        in sentences
    )
    # Alone, an arm has narrower limits, and a steep curve flattens beyond all sizes.
    alone = fit_sentences(fit_curves(curve_points(gold=(0.9, 5.0)), 1.0))
    assert "by estimate 250 [190, 360]" in alone
    steep = fit_sentences(fit_curves(curve_points(llm=(0.95, 40.0)), 1.0))
    assert "For llm, doubling gains less than 1 point only beyond the 800 texts measured [" in steep
    frame = table.frame.set_index(["arm", "measure"])
    assert frame.loc[("llm", "accuracy"), "plateau"] == pytest.approx(1000, rel=1e-4)
    assert list(frame["extrapolated"]) == [False, False, True, True, False, False]
    assert frame.loc[("llm", "accuracy"), "loss_limit"] == pytest.approx(0.05, abs=1e-5)


def test_points_that_follow_no_power_law_have_no_plateau():
    points = curve_points(gold=(0.9, 5.0))
    # flat, then up, as when the smallest sizes have too few steps of training
    jump = [0.3, 0.3, 0.9, 0.9, 0.9]
    points["macro_f1_by_seed"] = [[score - 0.01, score, score + 0.01] for score in jump]
    fits = fit_curves(points, 1.0)
    accuracy, macro_f1 = fit_table(fits).rows

    assert macro_f1[4] == "no power law"
    assert accuracy[4] != "no power law"
    assert "For gold, the points follow no power law (off by " in fit_sentences(fits)


def test_fewer_than_three_sizes_are_not_fitted():
    fits = fit_curves(curve_points(sizes=(50, 100), gold=(0.9, 5.0)), 1.0)
    table = fit_table(fits)

    assert fits.fits == {}
    assert table.rows == [["gold", "accuracy", *["-"] * 6], ["gold", "macro-F1", *["-"] * 6]]
    assert "For gold, fewer than 3 sizes, no fit." in fit_sentences(fits)
    assert list(table.frame.columns) == ["arm", "measure"]


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("inf"), float("nan")])
def test_a_threshold_must_be_above_zero_and_finite(threshold):
    with pytest.raises(AssayError, match="threshold must be above 0 and finite, in points"):
        fit_curves(curve_points(gold=(0.9, 5.0)), threshold)


def test_a_curve_that_lacks_seeds_names_them(params, monkeypatch):
    import entrypoints.wiring.seed_runs

    log_seed = entrypoints.wiring.seed_runs.log_seed
    logged: list[int] = []

    def log_three(*arguments, **named):
        if len(logged) == 3:
            raise KeyboardInterrupt
        logged.append(1)
        log_seed(*arguments, **named)

    monkeypatch.setattr(entrypoints.wiring.seed_runs, "log_seed", log_three)
    with pytest.raises(KeyboardInterrupt):
        curve.curve(params("curve", arms="gold", sizes="8,40"))
    (run,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'curve'")

    read = question.read_curve(run.info.run_id)
    assert read.incomplete == ("gold n=40 (1 of 2 seeds)",)
    assert "INCOMPLETE: gold n=40 (1 of 2 seeds)." in question.notes(read)


@pytest.fixture
def figures(monkeypatch):
    """The figures made from here on."""
    made: list[matplotlib.figure.Figure] = []
    figure_class = matplotlib.figure.Figure

    def recorded(**settings):
        made.append(figure_class(**settings))
        return made[-1]

    monkeypatch.setattr(matplotlib.figure, "Figure", recorded)
    return made


def test_a_fit_is_a_thin_line_in_the_style_of_its_arm_with_a_stroke_where_it_flattens(figures):
    points = curve_points(gold=(0.9, 5.0), llm=(0.85, 20.0))
    curve_figure(points, pd.DataFrame(), fit_curves(points, 1.0).fits)

    for axes in figures[0].axes:
        lines = axes.get_lines()
        arms = lines[:2]
        fits = [line for line in lines if len(line.get_xdata()) == 100]
        strokes = [
            line for line in lines if line.get_marker() == "|" and len(line.get_xdata()) == 1
        ]
        assert [line.get_linestyle() for line in fits] == [line.get_linestyle() for line in arms]
        assert {line.get_linewidth() for line in fits} == {0.7}
        # the stroke of llm would be beyond the measured sizes
        assert [list(line.get_xdata()) for line in strokes] == [[pytest.approx(250, rel=1e-3)]]
    assert figures[0].legends[0].get_texts()[-1].get_text() == "fit (thin), stroke: flat from here"


def test_the_figure_tells_arms_apart_without_colour_and_has_a_band_of_one_standard_deviation(
    figures,
):
    arms = ["gold", "llm", "entropy_5", "ensemble_5"]
    scores = {
        "accuracy": 0.5,
        "accuracy_sd": 0.1,
        "macro_f1": 0.4,
        "macro_f1_sd": float("nan"),
    }
    points = pd.DataFrame(
        [{"arm": arm, "n_examples": n, **scores} for arm in arms for n in (10, 100)]
    )
    annotator = pd.DataFrame([{"split": "test", "accuracy": 0.3, "macro_f1": 0.2}])

    assert curve_figure(points, annotator).picture.png
    left = figures[0].axes[0]
    lines = left.get_lines()
    assert left.get_xscale() == "log"
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines[:4]}) == 4
    legend = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert legend == [*arms, "the LLM itself"]
    band = np.asarray(left.collections[0].get_paths()[0].vertices)[:, 1]
    assert (band.min(), band.max()) == pytest.approx((40, 60))
