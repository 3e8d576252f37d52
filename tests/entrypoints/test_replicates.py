"""What the replicates of an arm differ in: seeds, labels and seeds, or both crossed."""

import numpy as np
import pytest

from analysis.questions.arms_table import ScoredExperiment
from analysis.store.experiment import read_experiment
from entrypoints import finetune, main
from project.stats.variance import crossed_components
from project.support.errors import AssayError
from project.tracking import ABSENT, children, latest_root, read_table


def by_replicate(root, arm):
    """The seed runs of an arm by number of the replicate."""
    runs = [run for run in children(root, "seed") if run.params["arm"] == arm]
    return {int(run.params["replicate"]): run for run in runs}


def draws_and_seeds(runs):
    """Draw and seed of every replicate."""
    return {number: (run.params["draw"], run.params["seed"]) for number, run in runs.items()}


def labels(run):
    return list(read_table(run.run_id, "labels.parquet")["label"])


def test_training_replicates_have_one_label_file_and_different_seeds(params, capsys):
    main.experiment(params(arms="llm"))
    runs = by_replicate(latest_root(), "llm")

    assert draws_and_seeds(runs) == {0: ("0", "0"), 1: ("0", "1")}
    assert labels(runs[0]) == labels(runs[1])
    printed = " ".join(capsys.readouterr().out.split())
    assert "standard deviation (ddof 1) over the seeds" in printed


def test_pipeline_replicates_have_the_labels_of_their_own_draw(params, capsys):
    main.experiment(
        params(arms="gold,llm,entropy,ensemble", replace_share="25", replicate="pipeline")
    )
    root = latest_root()
    tables = {
        run.params["draw"]: read_table(run.run_id, "annotations.parquet")
        for run in children(root, "annotation")
        if run.params["split"] == "train"
    }

    for arm in ("llm", "entropy_25"):
        assert draws_and_seeds(by_replicate(root, arm)) == {0: ("0", "0"), 1: ("1", "1")}
    llm = by_replicate(root, "llm")
    for number, run in llm.items():
        assert labels(run) == list(tables[str(number)]["label"])
    assert labels(llm[0]) != labels(llm[1])
    for arm in ("gold", "ensemble_2"):
        runs = by_replicate(root, arm)
        assert labels(runs[0]) == labels(runs[1])
        assert {run.params["draw"] for run in runs.values()} == {"None"}
    printed = " ".join(capsys.readouterr().out.split())
    assert "over the replicates" in printed
    assert "Replicate r of llm and entropy has its own demonstrations and labels" in printed
    assert read_experiment().incomplete == ()


def test_crossed_replicates_split_the_variance_into_draw_and_seed(params, capsys):
    main.experiment(params(arms="gold,llm", replicate="crossed", seeds="3"))
    root = latest_root()
    runs = by_replicate(root, "llm")

    assert draws_and_seeds(runs) == {
        3 * draw + seed: (str(draw), str(seed)) for draw in range(2) for seed in range(3)
    }
    accuracies = [runs[number].metrics["test.accuracy"] for number in range(6)]
    expected = crossed_components(np.reshape(accuracies, (2, 3)))
    experiment = ScoredExperiment(read_experiment())
    row = experiment.variance.set_index("measure").loc["accuracy"]
    assert [row[part] for part in ("draw", "seed", "residual")] == pytest.approx(expected)
    assert root.metrics["arm.llm.accuracy.variance_draw"] == pytest.approx(expected.draw)
    n_seeds = dict(experiment.arms.set_index("arm")["n_seeds"])
    assert n_seeds == {"gold": 3, "llm": 6}
    assert experiment.experiment.incomplete == ()
    assert "Labels of llm, 2 draws x 3 seeds, crossed" in capsys.readouterr().out

    # The first draw's seeds are those of replicate=training, so they are not trained again.
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
            "replicate=pipeline needs an arm that follows a single draw, such as llm or entropy.",
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
def test_replicates_that_the_arms_do_not_allow_are_refused(params, changes, message):
    with pytest.raises(AssayError) as error:
        main.experiment(params(**changes))
    assert message in str(error.value)


def test_a_class_without_training_labels_counts_in_macro_f1_and_is_reported_once(
    params, store, capsys
):
    main.experiment(params(arms="gold", seeds="1"))
    source = children(latest_root(), "seed")[0]
    table = read_table(source.run_id, "labels.parquet")[["example_id", "label"]]
    without_books = table.replace({"label": {"books": "household"}})
    without_books.to_csv(store / "labels.csv", index=False)
    capsys.readouterr()

    finetune.finetune(params("finetune", labels=str(store / "labels.csv")))

    root = latest_root()
    printed = capsys.readouterr()
    note = "classes without any training label (given: books)"
    assert printed.err.count(note) == 1
    assert f"{note}, which macro-F1 counts all the same" in " ".join(printed.out.split())
    assert root.tags[ABSENT] == "given: books"
    assert "given: books" in root.tags["mlflow.note.content"]
    (run, _) = children(root, "seed")
    assert run.metrics["test.macro_f1"] == pytest.approx(macro_f1_by_definition(root, run))


def macro_f1_by_definition(root, run):
    """Macro-F1 over all classes of the test split, by its definition."""
    examples = read_table(root.run_id, "examples.parquet").query("split == 'test'")
    gold = examples.set_index("example_id")["gold_label"]
    table = read_table(run.run_id, "predictions.parquet").set_index("example_id")
    predicted = table["label"].loc[gold.index]
    assert (gold == "books").any()
    scores = []
    for name in sorted(set(gold)):
        n_right = ((gold == name) & (predicted == name)).sum()
        n_all = (gold == name).sum() + (predicted == name).sum()
        scores.append(2 * n_right / max(1, n_all))
    assert len(scores) == 4
    return sum(scores) / 4
