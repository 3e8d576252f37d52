"""The entry points predict and monitor with cluster=."""

import importlib.util

import pytest

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed here; make test-cluster installs it", allow_module_level=True)

import pandas as pd

from entrypoints import finetune, monitor, predict
from project.config.loading import defaults
from tests.helpers.ray_tasks import MARKS

pytestmark = MARKS


def test_labels_are_the_same_with_and_without_ray_and_batches_belong_to_the_same_monitor(
    params, nodes, capsys
):
    finetune.finetune(params("finetune", precision="fp32", log_model="best", max_length="16"))
    texts = [f"a mug number {number}" for number in range(40)]
    pd.DataFrame({"text": [*texts, None]}).to_csv("corpus.csv", index=False)

    def label(**changes):
        values = {"data": "corpus.csv", "block_size": "7", "precision": "fp32", **changes}
        predict.predict({**defaults("predict"), **values})
        return pd.read_parquet(values["output"])

    there = label(output="there.parquet", cluster=nodes.address)

    assert "cluster: 3 nodes, 3 blocks at a time." in capsys.readouterr().err
    pd.testing.assert_frame_equal(there, label(output="here.parquet"))
    assert len(there) == 41

    values = {**defaults("monitor"), "data": "corpus.csv", "precision": "fp32"}
    monitor.monitor({**values, "cluster": nodes.address})
    assert "cluster: 3 nodes, 3 blocks at a time." in capsys.readouterr().err
    monitor.monitor(values)
    assert "corpus.csv is batch 1 of this monitor" in capsys.readouterr().err
