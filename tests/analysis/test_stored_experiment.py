"""What of an experiment is read from the store, what is left out and what is refused, by name."""

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from analysis import report
from analysis.store import fetch
from analysis.store.experiment import read_experiment
from project.support.errors import AssayError
from project.tracking import (
    Child,
    Tracker,
    children,
    read_run,
)
from tests.helpers.stored import log_experiment, noisy
from tests.helpers.two_arms import GOLD, arms_of


def test_an_arm_with_too_few_seeds_is_left_out_by_name(store):
    run_id = log_experiment(
        store,
        GOLD,
        arms_of(),
        change_child=lambda arm, seed, child: None if (arm, seed) == ("llm", 1) else child,
    )
    experiment = read_experiment(run_id)

    assert list(experiment.arms) == ["gold"]
    assert experiment.incomplete == ("llm (1 of 2 seeds)",)


def test_a_run_that_a_crash_left_running_does_not_count_and_is_reported(store):
    run_id = log_experiment(store, GOLD, arms_of())
    crashed = next(run for run in children(read_run(run_id), "seed") if run.params["arm"] == "llm")
    MlflowClient().update_run(crashed.run_id, "RUNNING")

    assert read_experiment(run_id).incomplete == ("llm (1 of 2 seeds; 1 left RUNNING)",)


def test_a_deleted_seed_does_not_count_and_a_deleted_root_is_refused(store):
    run_id = log_experiment(store, GOLD, arms_of())
    MlflowClient().delete_run(
        next(
            run for run in children(read_run(run_id), "seed") if run.params["arm"] == "gold"
        ).run_id
    )
    assert list(read_experiment(run_id).arms) == ["llm"]
    MlflowClient().delete_run(run_id)

    with pytest.raises(
        AssayError,
        match=f"run {run_id} of the tracking store .* is deleted. Name another, or restore it",
    ):
        read_experiment(run_id)


def again(run_id, digest):
    """Log the first seed of llm once more, as another training if ``digest`` is another."""
    run = next(
        run
        for run in children(read_run(run_id), "seed")
        if (run.params["arm"], run.params["seed"]) == ("llm", "0")
    )
    files = {name: fetch_to(run, name) for name in ("predictions.parquet", "labels.parquet")}
    return Tracker(run_id).log_child(
        Child(
            run.name,
            "seed",
            digest,
            run.params,
            metrics=run.metrics,
            files=files,
            description="again",
        )
    )


def fetch_to(run, name):
    path = Path(f"again-{name}").resolve()
    path.write_bytes(fetch.artifact(run, name))
    return path


def test_of_two_runs_of_the_same_training_the_last_counts_and_a_note_says_so(store):
    run_id = log_experiment(store, GOLD, arms_of())
    last = again(run_id, "llm-0")
    experiment = read_experiment(run_id)

    assert experiment.incomplete == (
        "llm (2 runs of seed 0, of one training: the last one counts)",
    )
    assert experiment.arms["llm"].runs[0].run_id == last
    assert len(experiment.arms["llm"].runs) == 2


def test_two_different_trainings_of_one_seed_leave_the_arm_out(store):
    run_id = log_experiment(store, GOLD, arms_of())
    again(run_id, "another")
    experiment = read_experiment(run_id)

    assert list(experiment.arms) == ["gold"]
    assert experiment.incomplete == ("llm (2 different trainings of seed 0)",)


def test_runs_of_another_schema_version_are_refused_or_left_out_by_name(store):
    run_id = log_experiment(store, GOLD, arms_of())
    client = MlflowClient()
    client.set_tag(
        next(
            run for run in children(read_run(run_id), "seed") if run.params["arm"] == "llm"
        ).run_id,
        "assay.schema_version",
        "1",
    )
    assert read_experiment(run_id).incomplete == (
        "llm (1 runs in form 1, not 2, do not count; 1 of 2 seeds)",
    )
    client.set_tag(run_id, "assay.schema_version", "1")

    with pytest.raises(
        AssayError,
        match=f"run {run_id} .* was logged in form 1; this version of Assay reads form 2",
    ):
        read_experiment(run_id)


def test_an_experiment_without_finished_seeds_is_refused_with_advice(store):
    run_id = log_experiment(store, GOLD, arms_of(), change_child=lambda arm, seed, child: None)

    with pytest.raises(AssayError, match="holds no finished seed"):
        read_experiment(run_id)


def test_an_experiment_without_a_complete_arm_is_refused_with_the_name_of_each_arm(store):
    run_id = log_experiment(store, GOLD, arms_of(), seeds=5)

    with pytest.raises(
        AssayError,
        match=r"holds no arm with all its seeds: gold \(2 of 5 seeds\), llm \(2 of 5 seeds\)",
    ):
        report.publish(run_id, str(store))


def test_seeds_that_predict_other_examples_are_refused(store):
    run_id = log_experiment(store, GOLD, arms_of())
    other = log_experiment(store, GOLD[:90], {"gold": noisy(GOLD[:90], 0.9, 2)})
    wrong = next(run for run in children(read_run(other), "seed") if run.params["seed"] == "0")
    client = MlflowClient()
    for seed in (
        run
        for run in children(read_run(run_id), "seed")
        if (run.params["arm"], run.params["seed"]) == ("gold", "0")
    ):
        client.delete_run(seed.run_id)
    client.set_tag(wrong.run_id, "mlflow.parentRunId", run_id)

    with pytest.raises(AssayError, match=f"seed run {wrong.run_id} .* predicts other examples"):
        read_experiment(run_id)
