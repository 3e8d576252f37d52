"""The trials of a sweep on a real Ray cluster of three nodes."""

import importlib.util

import pytest

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed here; make test-cluster installs it", allow_module_level=True)

from entrypoints import sweep
from project.config.task import TaskConfig
from project.data.task import load_task
from project.tracking import latest_root
from project.training import on_cluster
from tests.helpers.ray_tasks import MARKS, NODE
from tests.helpers.sweeps import results_of

pytestmark = MARKS


def test_trials_fill_the_nodes_and_a_node_killed_in_the_middle_changes_no_trial(
    params, store, nodes, monkeypatch, capfd
):
    examples = load_task(TaskConfig()).examples
    labels = examples[["example_id"]].assign(llm=examples["gold_label"])
    labels.to_csv(store / "labels.csv", index=False)
    original = on_cluster._Results.report
    killed: list[object] = []

    def kill_a_node(results, digest, message):
        if not killed:
            killed.append(next(iter(nodes.worker_nodes)))
            nodes.remove_node(killed[0], allow_graceful=False)
        original(results, digest, message)

    monkeypatch.setattr(on_cluster._Results, "report", kill_a_node)
    values = params(
        "sweep",
        annotator="recorded",
        recorded=str(store / "labels.csv"),
        recorded_columns="llm",
        calibration="none",
        arms="random",
        replace_share="10,20,30,40",
        sweep_ensemble_size="1",
        sweep_seeds="1",
        sampler="grid",
        seeds="1",
        workers="3",
        precision="fp32",
    )
    try:
        sweep.sweep({**values, "cluster": nodes.address, "sweep_name": "there"})
    finally:
        nodes.add_node(**NODE)
    there = results_of(latest_root("sweep"))
    shown = capfd.readouterr().err
    sweep.sweep({**values, "sweep_name": "here"})

    assert killed
    assert there == results_of(latest_root("sweep"))
    assert {state for _, state, _, _ in there.values()} == {"COMPLETE"}
    # Three places, one seed in each: three trials at once, then the last one.
    assert shown.index("sweep: trial 2:") < shown.index("3 of 4 trials done")
    assert shown.index("3 of 4 trials done") < shown.index("sweep: trial 3:")
