"""encoder=linear in experiments: a logistic regression in place of fine-tuning."""

import mlflow
import pytest

from entrypoints import budget, check, curve, grid, main
from project.support.errors import AssayError
from project.tracking import children, latest_root, read_json
from project.training import jobs

LINEAR = {"encoder": "linear", "seeds": "3", "arms": "gold,llm", "workers": ""}


@pytest.fixture(autouse=True)
def no_processes(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("a worker process is started")

    monkeypatch.setattr(jobs, "run_in_processes", fail)


def seeds_of(root):
    return [run for run in children(root, "seed") if run.status == "FINISHED"]


def test_an_experiment_embeds_once_and_names_the_regression_everywhere(params, capsys):
    main.experiment({**params(**LINEAR), "workers": "auto"})
    output = capsys.readouterr()
    root = latest_root("experiment")
    seeds = seeds_of(root)

    assert output.err.count("embed:") >= 1
    assert "every seed is a logistic regression on a bootstrap resample" in output.err
    assert "classifier logistic regression on all-MiniLM-L6-v2" in output.out
    assert len(seeds) == 6
    assert {run.params["encoder"] for run in seeds} == {"linear"}
    assert not any("epochs" in run.params or "weight_decay" in run.params for run in seeds)
    models = read_json(root.run_id, "config.json")["models"]
    assert models["encoder"] == "logistic regression on all-MiniLM-L6-v2"


def test_curve_and_budget_train_the_regression(params, capsys):
    curve.curve({**params("curve", **LINEAR), "workers": "auto", "sizes": "20,40"})
    assert len(seeds_of(latest_root("curve"))) == 2 * 2 * 3
    given = params("budget", **LINEAR, budgets="10", sources="random")
    budget.budget({**given, "workers": "auto"})
    assert "logistic regression" in capsys.readouterr().out


def test_a_grid_and_two_phases_are_refused_before_anything_is_logged(params):
    with pytest.raises(AssayError, match="encoder must be one that is fine-tuned"):
        grid.grid({**params("grid"), "encoder": "linear"})
    with pytest.raises(AssayError, match="train in two phases"):
        main.experiment({**params(**LINEAR), "workers": "auto", "arms": "llm,llm_then_human"})

    assert mlflow.search_runs(search_all_experiments=True, output_format="list") == []


def test_check_counts_no_memory_for_what_is_not_fine_tuned(params, capsys):
    check.check({**params(**LINEAR), "workers": "auto"})
    captured = capsys.readouterr()
    output = captured.out + captured.err

    assert "logistic regression on the embeddings of" in output
    assert "one logistic regression each" in output
    assert "fine-tuning" not in output
