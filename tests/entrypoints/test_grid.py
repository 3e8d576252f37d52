"""Grid search: chosen on validation by a rule, the test split read once, nothing trained twice."""

import dataclasses

import pytest
from mlflow.tracking import MlflowClient

from analysis.questions import grid as search
from entrypoints import grid
from entrypoints.wiring.designs import configurations
from project.config.designs import GridConfig
from project.config.loading import defaults
from project.support.errors import Incomplete
from project.tracking import Record, children, latest_root, read_run, read_table

SMALL = {
    "arms": "gold",
    "grid_learning_rate": "1e-9,0.01",
    "grid_train_batch_size": "8",
    "grid_epochs": "1,12",
}


def test_the_grid_is_every_combination_with_the_last_value_changing_fastest():
    made = configurations(
        GridConfig(grid_learning_rate=(1e-5, 2e-5), grid_train_batch_size=(8,), grid_epochs=(2, 3))
    )

    assert [(one["learning_rate"], one["train_batch_size"], one["epochs"]) for one in made] == [
        (1e-5, 8, 2),
        (1e-5, 8, 3),
        (2e-5, 8, 2),
        (2e-5, 8, 3),
    ]
    assert len(configurations(GridConfig())) == 27
    assert defaults("grid")["arms"] == "gold,llm"


def test_each_arms_best_configuration_on_validation_alone_is_tested_with_all_seeds(
    params, store, capsys
):
    grid.grid(params("grid", **SMALL))
    root = latest_root("grid")
    seeds = children(root, "seed")
    tried, tested = (
        [run for run in seeds if run.params["evaluated"] == split]
        for split in ("validation", "test")
    )

    assert [run.params["configuration"] for run in tried] == ["0", "1", "2", "3"]
    assert not any(name.startswith("test.") for run in tried for name in run.metrics)
    # what stands in the store for the search are validation examples
    examples = read_table(root.run_id, "examples.parquet").set_index("example_id")
    assert set(
        examples.loc[read_table(tried[0].run_id, "predictions.parquet")["example_id"], "split"]
    ) == {"validation"}
    assert set(
        examples.loc[read_table(tested[0].run_id, "predictions.parquet")["example_id"], "split"]
    ) == {"test"}
    best = max(
        tried,
        key=lambda run: (
            run.metrics["best_validation_macro_f1"],
            -int(run.params["configuration"]),
        ),
    )
    assert [run.params["seed"] for run in tested] == ["0", "1"]
    assert {run.params["configuration"] for run in tested} == {best.params["configuration"]}
    assert {run.params["learning_rate"] for run in tested} == {best.params["learning_rate"]}
    assert (best.params["learning_rate"], best.params["epochs"]) == (
        "0.01",
        "12",
    )  # the one that can learn
    shown = capsys.readouterr().out
    assert shown.count("chosen\n") == 1
    assert "test macro-F1" in shown
    assert {path.name for path in (store / "work" / "reports" / root.run_id).iterdir()} == {
        "search.csv",
        "chosen.csv",
        "report.md",
    }

    grid.grid(params("grid", **SMALL))
    assert {run.tags["reused"] for run in children(latest_root("grid"), "seed")} == {"true"}


def stored(scores, grid_seeds=1):
    """A search as the store would hold it, with these validation scores of the seeds of each configuration."""
    runs = [
        Record(
            "id",
            "seed",
            "FINISHED",
            {"arm": "llm", "configuration": str(place), "seed": str(seed)},
            metrics={"best_validation_macro_f1": score},
            tags={},
            experiment_id="1",
            started=0,
            artifact_uri="",
        )
        for place, values in enumerate(scores)
        for seed, score in enumerate(values)
    ]
    settings = [
        {"learning_rate": 1e-5, "train_batch_size": 8, "epochs": place}
        for place in range(len(scores))
    ]
    config = {"arms": ["llm"], "design": {"grid": settings, "grid_seeds": grid_seeds}}

    @dataclasses.dataclass
    class Search:
        config: dict

        def validated(self):
            return runs

    return Search(config)


def test_the_mean_over_the_seeds_chooses_and_ties_go_to_the_earlier():
    table, incomplete = search.tried(
        stored([[0.5, 0.5], [0.9, 0.2], [0.6, 0.6], [0.5, 0.7]], grid_seeds=2)
    )

    assert list(table["chosen"]) == [False, False, True, False]
    assert incomplete == []


def test_nothing_is_chosen_while_a_configuration_lacks_seeds():
    table, incomplete = search.tried(stored([[0.5], [], [0.4]]))

    assert not table["chosen"].any()
    assert incomplete == ["llm learning_rate=1e-05, train_batch_size=8, epochs=1 (0 of 1 seeds)"]


def test_a_configuration_that_diverges_is_named_and_the_test_split_stays_unread(params, capsys):
    with pytest.raises(
        Incomplete, match=r"1 of 2 seeds failed.*arm gold learning_rate=1e\+30 .*diverged"
    ):
        grid.grid(
            params(
                "grid",
                **{
                    **SMALL,
                    "grid_learning_rate": "0.003,1e30",
                    "grid_epochs": "9",
                    "max_grad_norm": "1e30",
                },
            )
        )
    (run,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'grid'")

    assert run.info.status == "FAILED"
    assert {one.params["evaluated"] for one in children(read_run(run.info.run_id), "seed")} == {
        "validation"
    }
    assert (
        "INCOMPLETE: gold learning_rate=1e+30, train_batch_size=8, epochs=9 (0 of 1 seeds)"
        in " ".join(capsys.readouterr().out.split())
    )
