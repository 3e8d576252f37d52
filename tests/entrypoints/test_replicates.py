"""What replicates differ in: the seed, the labels too, or both crossed; and classes that training or test lacks."""

import pytest

from analysis.questions.arms_table import ScoredExperiment
from analysis.store.experiment import read_experiment
from entrypoints import finetune, main
from project.stats.variance import crossed_components
from project.support.errors import AssayError
from project.tracking import ABSENT, children, latest_root, read_table


def by_replicate(root, arm):
    runs = [run for run in children(root, "seed") if run.params["arm"] == arm]
    return {int(run.params["replicate"]): run for run in runs}


def labels(run):
    return list(read_table(run.run_id, "labels.parquet")["label"])


def test_with_training_replicates_one_label_file_serves_all_seeds(params, capsys):
    main.experiment(params(arms="gold,llm"))
    runs = by_replicate(latest_root(), "llm")

    assert {number: (run.params["draw"], run.params["seed"]) for number, run in runs.items()} == {
        0: ("0", "0"),
        1: ("0", "1"),
    }
    assert labels(runs[0]) == labels(runs[1])
    assert "standard deviation (ddof 1) over the seeds" in " ".join(capsys.readouterr().out.split())


def test_with_pipeline_replicates_each_has_the_labels_of_its_own_draw(params, capsys):
    main.experiment(
        params(arms="gold,llm,entropy,ensemble", replace_share="25", replicate="pipeline")
    )
    root = latest_root()
    drawn = {
        run.params["draw"]: read_table(run.run_id, "annotations.parquet")
        for run in children(root, "annotation")
        if run.params["split"] == "train"
    }

    for arm in ("llm", "entropy_25"):
        runs = by_replicate(root, arm)
        assert {
            number: (run.params["draw"], run.params["seed"]) for number, run in runs.items()
        } == {0: ("0", "0"), 1: ("1", "1")}
    for number, run in by_replicate(root, "llm").items():
        assert labels(run) == list(drawn[str(number)]["label"])
    assert labels(by_replicate(root, "llm")[0]) != labels(by_replicate(root, "llm")[1])
    for arm in ("gold", "ensemble_2"):
        runs = by_replicate(root, arm)
        assert labels(runs[0]) == labels(runs[1])
        assert {run.params["draw"] for run in runs.values()} == {"None"}
    shown = " ".join(capsys.readouterr().out.split())
    assert "over the replicates" in shown
    assert "Replicate r of llm and entropy has demonstrations and labels of its own" in shown
    assert read_experiment().incomplete == ()


def test_crossed_replicates_split_the_variance_into_draw_and_seed(params, capsys):
    main.experiment(params(arms="gold,llm", replicate="crossed", seeds="3"))
    root, runs = latest_root(), by_replicate(latest_root(), "llm")

    assert {number: (run.params["draw"], run.params["seed"]) for number, run in runs.items()} == {
        0: ("0", "0"),
        1: ("0", "1"),
        2: ("0", "2"),
        3: ("1", "0"),
        4: ("1", "1"),
        5: ("1", "2"),
    }
    expected = crossed_components(
        [[runs[3 * draw + seed].metrics["test.accuracy"] for seed in range(3)] for draw in range(2)]
    )
    experiment = ScoredExperiment(read_experiment())
    row = experiment.variance.set_index("measure").loc["accuracy"]
    assert [row[part] for part in ("draw", "seed", "residual")] == pytest.approx(expected)
    assert root.metrics["llm.accuracy.variance_draw"] == pytest.approx(expected.draw)
    assert set(experiment.arms.set_index("arm")["n_seeds"].items()) == {("gold", 3), ("llm", 6)}
    assert experiment.experiment.incomplete == ()
    assert "Labels of llm, 2 draws x 3 seeds, crossed" in capsys.readouterr().out
    # what one draw gives is what replicate=training gives, trained once
    main.experiment(params(arms="llm", seeds="3"))
    assert {run.tags["reused"] for run in children(latest_root(), "seed")} == {"true"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"replicate": "pipeline", "seeds": "3"},
            "ensemble_size must be at least 3; got 2. Raise ensemble_size, or lower seeds.",
        ),
        (
            {"replicate": "pipeline", "arms": "gold,ensemble"},
            "replicate=pipeline needs an arm with labels of its own in every replicate",
        ),
        (
            {"replicate": "crossed", "arms": "gold,entropy"},
            "replicate=crossed needs the arm llm with at least 2 draws and 2 seeds; got arms gold,",
        ),
        (
            {"replicate": "crossed", "seeds": "1"},
            "ensemble_size 2, seeds 1. Add llm to arms, or raise ensemble_size or seeds.",
        ),
    ],
)
def test_replicates_that_cannot_be_are_refused(params, changes, message):
    with pytest.raises(AssayError) as error:
        main.experiment(params(**changes))
    assert message in str(error.value)


def test_a_class_without_training_labels_counts_in_macro_f1_and_is_told_once(params, store, capsys):
    main.experiment(params(arms="gold"))
    source = children(latest_root(), "seed")[0]
    given = read_table(source.run_id, "labels.parquet")[["example_id", "label"]]
    given.replace({"label": {"books": "household"}}).to_csv(store / "labels.csv", index=False)
    capsys.readouterr()

    finetune.finetune(params("finetune", labels=str(store / "labels.csv")))

    root, printed = latest_root(), capsys.readouterr()
    assert printed.err.count("classes without any training label (given: books)") == 1
    assert (
        "classes without any training label (given: books), which macro-F1 counts all the same"
        in " ".join(printed.out.split())
    )
    assert root.tags[ABSENT] == "given: books"
    assert "given: books" in root.tags["mlflow.note.content"]
    (run, _) = children(root, "seed")
    gold = (
        read_table(root.run_id, "examples.parquet")
        .query("split == 'test'")
        .set_index("example_id")["gold_label"]
    )
    answers = (
        read_table(run.run_id, "predictions.parquet")
        .set_index("example_id")["label"]
        .loc[gold.index]
    )
    assert (gold == "books").any()
    scores = [
        2
        * ((gold == one) & (answers == one)).sum()
        / max(1, (gold == one).sum() + (answers == one).sum())
        for one in sorted(set(gold))
    ]
    assert len(scores) == 4
    assert run.metrics["test.macro_f1"] == pytest.approx(sum(scores) / 4)
