"""Learning curves: which texts a size holds, what is trained, and the report from the store alone."""

import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from analysis import arms, plateau
from analysis.plateau import load_curve, png_figure
from entrypoints import curve, main, report
from entrypoints.curve import first_examples, training_sizes
from project.designs import CurveConfig
from project.errors import AssayError
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
        (CurveConfig(sizes=(10, 101)), "sizes must be at most the training split's size, 100; got 101. Lower it, or raise max_train."),
        (CurveConfig(min_size=100), "min_size must be below the training split's size, 100; got 100. Lower it, or raise max_train."),
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


def test_which_texts_come_first_depends_neither_on_their_labels_nor_on_the_rest_of_the_split(small_task):
    train = small_task.split("train")
    first = set(names(first_examples(train, 12, 0)))
    without = train[~train["example_id"].isin(set(names(train)) - first - set(names(train)[:20]))].reset_index(drop=True)

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


def test_a_curve_trains_every_arm_at_every_size_on_the_same_texts_and_asks_nothing_twice(drawn, store):
    whole, root, printed = drawn
    seeds = children(root, "seed")
    used = {(run.params["arm"], run.params["n_examples"], run.params["seed"]): run for run in seeds}

    assert len(used) == len(seeds) == 2 * 3 * 2
    for size in ("12", "20", "40"):
        gold, entropy = (read_table(used[arm, size, "0"].run_id, "labels.parquet") for arm in ("gold", "entropy_25"))
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
    assert row["accuracy"] == pytest.approx((used["gold", "12", "0"].metrics["test.accuracy"] + used["gold", "12", "1"].metrics["test.accuracy"]) / 2)
    assert (loaded.incomplete, list(loaded.annotator["split"])) == ((), ["train", "test"])
    folder = store / "work" / "reports" / root.run_id
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before.keys() == {"curve.csv", "curve.png"}
    assert [round(one.step) for one in MlflowClient().get_metric_history(root.run_id, "gold.accuracy")] == [12, 20, 40]
    report.report({"run_id": root.run_id, "workspace": str(store / "elsewhere")})
    assert {path.name: path.read_bytes() for path in (store / "elsewhere" / "reports" / root.run_id).iterdir()} == before
    with pytest.raises(AssayError, match=rf"run {root.run_id} must be of the kind experiment; it is: curve"):
        arms.publish(root.run_id, str(store))


def test_a_curve_without_all_its_seeds_says_so(params, monkeypatch):
    import entrypoints.seeds

    whole = entrypoints.seeds._log_seed
    done: list[int] = []

    def log_three(*arguments):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        whole(*arguments)

    monkeypatch.setattr(entrypoints.seeds, "_log_seed", log_three)
    with pytest.raises(KeyboardInterrupt):
        curve.curve(params("curve", arms="gold", sizes="8,40"))
    (run,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'curve'")

    loaded = load_curve(run.info.run_id)
    assert loaded.incomplete == ("gold n=40 (1 of 2 seeds)",)
    assert "INCOMPLETE: gold n=40 (1 of 2 seeds)." in plateau.notes(loaded)


def test_the_figure_tells_arms_apart_without_colour_and_has_a_band_of_one_standard_deviation(monkeypatch):
    import matplotlib.figure

    figures: list[matplotlib.figure.Figure] = []
    made = matplotlib.figure.Figure

    def kept(**more):
        figures.append(made(**more))
        return figures[-1]

    monkeypatch.setattr(matplotlib.figure, "Figure", kept)
    points = pd.DataFrame(
        [{"arm": arm, "n_examples": n, "accuracy": 0.5, "accuracy_sd": 0.1, "macro_f1": 0.4, "macro_f1_sd": float("nan")}
         for arm in ("gold", "llm", "entropy_5", "ensemble_5") for n in (10, 100)]
    )  # fmt: skip

    image = png_figure(points, pd.DataFrame([{"split": "test", "accuracy": 0.3, "macro_f1": 0.2}]), [10, 100])

    assert image.startswith(b"\x89PNG")
    left = figures[0].axes[0]
    lines = left.get_lines()
    assert left.get_xscale() == "log"
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines[:4]}) == 4
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["gold", "llm", "entropy_5", "ensemble_5", "the LLM itself"]
    band = np.asarray(left.collections[0].get_paths()[0].vertices)[:, 1]
    assert (band.min(), band.max()) == pytest.approx((40, 60))
