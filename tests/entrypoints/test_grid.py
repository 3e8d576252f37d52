"""Grid search: the rule of the choice, the one reading of the test split, no training twice."""

import dataclasses
from typing import cast

import pytest
from mlflow.tracking import MlflowClient

from analysis.questions.grid import SEARCHED, GridSearch, section, try_table
from analysis.store.stored_run import StoredRun
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
    settings = configurations(
        GridConfig(grid_learning_rate=(1e-5, 2e-5), grid_train_batch_size=(8,), grid_epochs=(2, 3))
    )

    assert [tuple(setting[name] for name in SEARCHED) for setting in settings] == [
        (1e-5, 8, 2),
        (1e-5, 8, 3),
        (2e-5, 8, 2),
        (2e-5, 8, 3),
    ]
    assert len(configurations(GridConfig())) == 27
    assert defaults("grid")["arms"] == "gold,llm"


def splits_of(run, examples):
    """The splits of the examples that a seed predicts."""
    predictions = read_table(run.run_id, "predictions.parquet")
    return set(examples.loc[predictions["example_id"], "split"])


def test_the_best_configuration_on_validation_is_tested_with_all_seeds(params, store, capsys):
    grid.grid(params("grid", **SMALL))
    root = latest_root("grid")
    seeds = children(root, "seed")
    tried = [run for run in seeds if run.params["evaluated"] == "validation"]
    tested = [run for run in seeds if run.params["evaluated"] == "test"]

    assert [run.params["configuration"] for run in tried] == ["0", "1", "2", "3"]
    assert not any(name.startswith("test.") for run in tried for name in run.metrics)
    # the seeds of the search predict validation examples alone
    examples = read_table(root.run_id, "examples.parquet").set_index("example_id")
    assert splits_of(tried[0], examples) == {"validation"}
    assert splits_of(tested[0], examples) == {"test"}
    # ties go to the earlier configuration
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
    # the one configuration that is large enough to learn
    assert best.params["learning_rate"] == "0.01"
    assert best.params["epochs"] == "12"

    printed = capsys.readouterr().out
    assert printed.count("  chosen\n") == 1
    assert "test macro-F1" in printed
    setting = "learning_rate=0.01, train_batch_size=8, epochs=12"
    assert f"Best on validation: gold: {setting}." in " ".join(printed.split())
    folder = store / "work" / "reports" / root.run_id
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    assert files == {"tables/search.csv", "tables/chosen.csv", "report.html", "report.md"}

    grid.grid(params("grid", **SMALL))
    assert {run.tags["reused"] for run in children(latest_root("grid"), "seed")} == {"true"}


@dataclasses.dataclass
class StoredSearch:
    """A grid search with the validation scores of the seeds of each configuration."""

    scores: list[list[float]]
    grid_seeds: int = 1

    @property
    def config(self):
        settings = [
            {"learning_rate": 1e-5, "train_batch_size": 8, "epochs": index}
            for index in range(len(self.scores))
        ]
        return {"arms": ["llm"], "design": {"grid": settings, "grid_seeds": self.grid_seeds}}

    def validation_seeds(self):
        return [
            Record(
                "id",
                "seed",
                "FINISHED",
                {"arm": "llm", "configuration": str(index), "seed": str(seed)},
                metrics={"best_validation_macro_f1": score},
                tags={},
                experiment_id="1",
                started=0,
                artifact_uri="",
            )
            for index, by_seed in enumerate(self.scores)
            for seed, score in enumerate(by_seed)
        ]


def stored_search(scores, grid_seeds=1):
    return cast(StoredRun, StoredSearch(scores, grid_seeds))


def test_the_mean_over_the_seeds_chooses_and_ties_go_to_the_earlier_configuration():
    scores = [[0.5, 0.5], [0.9, 0.2], [0.6, 0.6], [0.5, 0.7]]
    table, incomplete = try_table(stored_search(scores, grid_seeds=2))

    assert list(table["chosen"]) == [False, False, True, False]
    assert incomplete == []


def test_nothing_is_chosen_while_a_configuration_lacks_seeds():
    table, incomplete = try_table(stored_search([[0.5], [], [0.4]]))

    assert not table["chosen"].any()
    assert incomplete == ["llm learning_rate=1e-05, train_batch_size=8, epochs=1 (0 of 1 seeds)"]


def test_before_anything_is_tested_the_section_has_the_search_alone():
    stored = stored_search([[0.5], [], [0.4]])
    tried, incomplete = try_table(stored)
    config = {
        **stored.config,
        "task": {"name": "task", "notes": []},
        "models": {"annotator": "", "encoder": "none"},
        "config": {"finetune": {"seeds": 2}},
    }
    root = stored_search([[0.5]]).validation_seeds()[0]
    found = section(
        GridSearch(root, config, tried=tried, tested=tried.head(0), incomplete=tuple(incomplete))
    )

    assert [table.name for table in found.tables] == ["search"]
    assert found.answer == "No configuration is chosen yet."
    assert found.notes[-1].startswith("INCOMPLETE: llm learning_rate=1e-05")


def test_a_configuration_that_diverges_is_named_and_the_test_split_stays_unread(params, capsys):
    diverging = {
        **SMALL,
        "grid_learning_rate": "0.003,1e30",
        "grid_epochs": "9",
        "max_grad_norm": "1e30",
    }
    message = r"1 of 2 seeds failed.*arm gold learning_rate=1e\+30 .*diverged"
    with pytest.raises(Incomplete, match=message):
        grid.grid(params("grid", **diverging))
    (run,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'grid'")

    assert run.info.status == "FAILED"
    seeds = children(read_run(run.info.run_id), "seed")
    assert {seed.params["evaluated"] for seed in seeds} == {"validation"}
    printed = " ".join(capsys.readouterr().out.split())
    setting = "gold learning_rate=1e+30, train_batch_size=8, epochs=9"
    assert f"INCOMPLETE: {setting} (0 of 1 seeds)" in printed
