"""Learning curves: which texts a size holds, what is trained, and the report from the store alone."""

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from analysis import report as of_experiment
from analysis.questions import curve as plateau
from analysis.questions.curve import (
    flat_cells,
    flat_sentences,
    flat_table,
    flattening,
    load_curve,
    png_figure,
)
from entrypoints import curve, main, report
from entrypoints.wiring.designs import first_examples, training_sizes
from project.config.designs import CurveConfig
from project.support.errors import AssayError
from project.tracking import children, latest_root, read_table


def names(rows):
    return list(rows["example_id"])


def test_sizes_are_evenly_spaced_in_their_logarithm_up_to_the_split_or_as_given():
    assert training_sizes(CurveConfig(), 5000) == [50, 126, 315, 792, 1991, 5000]
    assert training_sizes(CurveConfig(min_size=1, curve_points=9), 4) == [1, 2, 3, 4]
    assert training_sizes(CurveConfig(sizes=(1000, 250)), 1000) == [250, 1000]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            CurveConfig(sizes=(10, 101)),
            "sizes must be at most the training split's size, 100; got 101. Lower it, or raise max_train.",
        ),
        (
            CurveConfig(min_size=100),
            "min_size must be below the training split's size, 100; got 100. Lower it, or raise max_train.",
        ),
    ],
)
def test_sizes_that_the_split_does_not_have_are_refused(asked, message):
    with pytest.raises(AssayError) as error:
        training_sizes(asked, 100)
    assert str(error.value) == message


def test_a_smaller_training_set_is_part_of_a_larger_one_in_the_order_of_the_split(small_task):
    train = small_task.split("train")
    subsets = [names(first_examples(train, size, 0)) for size in (5, 12, len(train))]

    assert [len(one) for one in subsets] == [5, 12, 32]
    assert set(subsets[0]) < set(subsets[1]) < set(subsets[2])
    assert subsets[1] == [name for name in names(train) if name in set(subsets[1])]
    assert subsets[2] == names(train)
    assert set(names(first_examples(train, 12, 1))) != set(subsets[1])


def test_which_texts_come_first_depends_neither_on_their_labels_nor_on_the_rest_of_the_split(
    small_task,
):
    train = small_task.split("train")
    first = set(names(first_examples(train, 12, 0)))
    without = train[
        ~train["example_id"].isin(set(names(train)) - first - set(names(train)[:20]))
    ].reset_index(drop=True)

    assert first == set(names(first_examples(train.assign(gold_label=None), 12, 0)))
    assert first == set(names(first_examples(without, 12, 0)))


@pytest.fixture
def drawn(params, capsys):
    """A curve of two sizes and the whole split, behind an experiment at full size."""
    main.experiment(params(arms="gold,entropy", replace_share="25"))
    whole = latest_root()
    capsys.readouterr()
    curve.curve(params("curve", arms="gold,entropy", replace_share="25", sizes="12,20,40"))
    return whole, latest_root("curve"), capsys.readouterr()


def test_a_curve_trains_every_arm_at_every_size_on_the_same_texts_and_asks_nothing_twice(
    drawn, store
):
    whole, root, printed = drawn
    seeds = children(root, "seed")
    used = {(run.params["arm"], run.params["n_examples"], run.params["seed"]): run for run in seeds}

    assert len(used) == len(seeds) == 2 * 3 * 2
    for size in ("12", "20", "40"):
        gold, entropy = (
            read_table(used[arm, size, "0"].run_id, "labels.parquet")
            for arm in ("gold", "entropy_25")
        )
        assert names(gold) == names(entropy)
        # replaced among the texts of this size alone: a quarter of them
        assert (entropy["source"] == "gold").sum() == int(size) / 4
    # the full size is the experiment's, trained once
    full = {run.tags["assay.digest"] for run in seeds if run.params["n_examples"] == "40"}
    assert full == {run.tags["assay.digest"] for run in children(whole, "seed")}
    assert {run.tags["reused"] for run in seeds if run.params["n_examples"] == "40"} == {"true"}
    assert [run.metrics["asked_texts"] for run in children(root, "annotation")] == [0, 0]
    assert "entropy_25" in printed.out
    assert "curve.png" in printed.out

    # what the report says is recomputed from predictions, and rebuilt to the same bytes by the entry point report
    loaded = load_curve()
    row = loaded.points.set_index(["arm", "n_examples"]).loc[("gold", 12)]
    assert row["accuracy"] == pytest.approx(
        (
            used["gold", "12", "0"].metrics["test.accuracy"]
            + used["gold", "12", "1"].metrics["test.accuracy"]
        )
        / 2
    )
    assert (loaded.incomplete, list(loaded.annotator["split"])) == ((), ["train", "test"])
    folder = store / "work" / "reports" / root.run_id
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before.keys() == {"report.md", "curve.csv", "plateau.csv", "curve.png"}
    assert [
        round(one.step) for one in MlflowClient().get_metric_history(root.run_id, "gold.accuracy")
    ] == [12, 20, 40]
    report.report({"run_id": root.run_id, "workspace": str(store / "elsewhere")})
    assert {
        path.name: path.read_bytes()
        for path in (store / "elsewhere" / "reports" / root.run_id).iterdir()
    } == before
    with pytest.raises(
        AssayError,
        match=rf"run {root.run_id} must be of the kind experiment or budget; it is: curve",
    ):
        of_experiment.publish(root.run_id, str(store))


def test_the_report_names_where_the_curve_flattens(params, store, capsys):
    curve.curve(params("curve", arms="gold", sizes="8,20,40"))
    root, printed = latest_root("curve"), " ".join(capsys.readouterr().out.split())
    table = pd.read_csv(store / "work" / "reports" / root.run_id / "plateau.csv")
    described = MlflowClient().get_run(root.run_id).data.tags["mlflow.note.content"]

    assert list(zip(table["arm"], table["measure"], table["threshold_points"], strict=True)) == [
        ("gold", "accuracy", 1),
        ("gold", "macro_f1", 1),
    ]
    for text in (printed, described):
        assert "where the curve flattens" in text
        assert "gold: doubling gains less than 1 point" in text

    plateau.main(
        ["--run_id", root.run_id, "--workspace", str(store / "half"), "--threshold", "0.5"]
    )
    assert "gold: doubling gains less than 0.5 points" in " ".join(capsys.readouterr().out.split())
    assert set(
        pd.read_csv(store / "half" / "reports" / root.run_id / "plateau.csv")["threshold_points"]
    ) == {0.5}


def curve_points(sizes=(50, 100, 200, 400, 800), **laws):
    """Points whose seeds lie evenly about limit - gain / n; macro-F1 a tenth lower."""
    rows = []
    for arm, (limit, gain) in laws.items():
        for n in sizes:
            seeds = [limit - gain / n + off for off in (-0.01, 0.0, 0.01)]
            lower = [one - 0.1 for one in seeds]
            rows.append(
                {
                    "arm": arm,
                    "n_examples": n,
                    "accuracy": seeds[1],
                    "accuracy_sd": 0.01,
                    "macro_f1": lower[1],
                    "macro_f1_sd": 0.01,
                    "accuracy_by_seed": seeds,
                    "macro_f1_by_seed": lower,
                }
            )
    return pd.DataFrame(rows)


def test_where_each_arm_flattens_and_what_it_lacks_to_gold():
    points = curve_points(gold=(0.9, 5.0), llm=(0.85, 20.0), flat=(0.6, 0.0))
    fits = flattening(points, 1.0)
    head, rows = flat_cells(points, fits, 1.0)
    shown = {(row[0], row[1]): dict(zip(head, row, strict=True)) for row in rows}
    sentences = flat_sentences(points, fits, 1.0)

    # at rate 1 a doubling gains gain / 2n: 250 texts for gold; 1000 for llm, beyond the largest size
    assert shown["gold", "accuracy"]["flat from n"].startswith("250 [")
    assert shown["gold", "macro-F1"]["limit"].startswith("80.0 [")
    assert shown["gold", "macro-F1"]["minus gold, limit"] == "-"
    assert shown["llm", "macro-F1"]["flat from n"].startswith(">800 (extrapolated) [")
    assert shown["llm", "macro-F1"]["minus gold, largest n"].startswith(
        "-6.9 ["
    )  # -5 - (20 - 5) / 800 x 100
    assert shown["llm", "macro-F1"]["last doubling"].startswith("2.5 [")  # 20 / 800 x 100
    assert shown["flat", "accuracy"]["flat from n"].startswith("<50")
    assert "gold: doubling gains less than 1 point from about 250 texts [" in sentences
    assert "llm: doubling gains less than 1 point only beyond the 800 texts measured [" in sentences
    assert (
        "flat: doubling gains less than 1 point from the smallest size measured on, 50 texts"
        in sentences
    )
    table = flat_table(points, fits, 1.0).set_index(["arm", "measure"])
    assert table.loc[("llm", "accuracy"), "plateau"] == pytest.approx(1000, rel=1e-4)
    assert list(table["extrapolated"]) == [False, False, True, True, False, False]
    assert table.loc[("llm", "accuracy"), "minus_gold_limit"] == pytest.approx(-0.05, abs=1e-5)


def test_points_that_follow_no_power_law_have_no_plateau_told():
    points = curve_points(gold=(0.9, 5.0))
    jump = [0.3, 0.3, 0.9, 0.9, 0.9]  # flat, then up: few steps of training first
    points["macro_f1_by_seed"] = [[one - 0.01, one, one + 0.01] for one in jump]
    fits = flattening(points, 1.0)

    assert flat_cells(points, fits, 1.0)[1][1][4] == "no power law"
    assert flat_cells(points, fits, 1.0)[1][0][4] != "no power law"
    assert "gold: the points follow no power law (off by " in flat_sentences(points, fits, 1.0)


def test_fewer_than_three_sizes_are_not_fitted():
    points = curve_points(sizes=(50, 100), gold=(0.9, 5.0))
    fits = flattening(points, 1.0)

    assert fits == {}
    assert flat_cells(points, fits, 1.0)[1] == [
        ["gold", "accuracy", *["-"] * 6],
        ["gold", "macro-F1", *["-"] * 6],
    ]
    assert "gold: fewer than 3 sizes, no fit." in flat_sentences(points, fits, 1.0)
    assert list(flat_table(points, fits, 1.0).columns) == ["arm", "measure"]
    with pytest.raises(AssayError, match="threshold must be above 0 and finite, in points"):
        flattening(points, 0.0)


def test_a_curve_without_all_its_seeds_says_so(params, monkeypatch):
    import entrypoints.wiring.seed_runs

    whole = entrypoints.wiring.seed_runs.log_seed
    done: list[int] = []

    def log_three(*arguments):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        whole(*arguments)

    monkeypatch.setattr(entrypoints.wiring.seed_runs, "log_seed", log_three)
    with pytest.raises(KeyboardInterrupt):
        curve.curve(params("curve", arms="gold", sizes="8,40"))
    (run,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'curve'")

    loaded = load_curve(run.info.run_id)
    assert loaded.incomplete == ("gold n=40 (1 of 2 seeds)",)
    assert "INCOMPLETE: gold n=40 (1 of 2 seeds)." in plateau.notes(loaded)


@pytest.fixture
def figures(monkeypatch):
    """The figures made from here on."""
    found: list[matplotlib.figure.Figure] = []
    made = matplotlib.figure.Figure

    def kept(**more):
        found.append(made(**more))
        return found[-1]

    monkeypatch.setattr(matplotlib.figure, "Figure", kept)
    return found


def test_a_fit_is_a_thin_line_in_the_style_of_its_arm_with_a_stroke_where_it_flattens(figures):
    points = curve_points(gold=(0.9, 5.0), llm=(0.85, 20.0))
    png_figure(points, pd.DataFrame(), [50, 800], flattening(points, 1.0))

    for axes in figures[0].axes:
        lines = axes.get_lines()
        arms, fits = lines[:2], [line for line in lines if len(line.get_xdata()) == 100]
        strokes = [
            line for line in lines if line.get_marker() == "|" and len(line.get_xdata()) == 1
        ]
        assert [line.get_linestyle() for line in fits] == [line.get_linestyle() for line in arms]
        assert {line.get_linewidth() for line in fits} == {0.7}
        assert [list(line.get_xdata()) for line in strokes] == [
            [pytest.approx(250, rel=1e-3)]
        ]  # llm's is beyond the sizes measured
    assert figures[0].legends[0].get_texts()[-1].get_text() == "fit (thin), stroke: flat from here"


def test_the_figure_tells_arms_apart_without_colour_and_has_a_band_of_one_standard_deviation(
    figures,
):
    points = pd.DataFrame(
        [
            {
                "arm": arm,
                "n_examples": n,
                "accuracy": 0.5,
                "accuracy_sd": 0.1,
                "macro_f1": 0.4,
                "macro_f1_sd": float("nan"),
            }
            for arm in ("gold", "llm", "entropy_5", "ensemble_5")
            for n in (10, 100)
        ]
    )

    image = png_figure(
        points, pd.DataFrame([{"split": "test", "accuracy": 0.3, "macro_f1": 0.2}]), [10, 100]
    )

    assert image.startswith(b"\x89PNG")
    left = figures[0].axes[0]
    lines = left.get_lines()
    assert left.get_xscale() == "log"
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines[:4]}) == 4
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == [
        "gold",
        "llm",
        "entropy_5",
        "ensemble_5",
        "the LLM itself",
    ]
    band = np.asarray(left.collections[0].get_paths()[0].vertices)[:, 1]
    assert (band.min(), band.max()) == pytest.approx((40, 60))
