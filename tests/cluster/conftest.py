"""Three nodes of Ray on this machine, shared by all tests that need them."""

import importlib.util
import os

import pytest

if importlib.util.find_spec("ray"):
    # Without telemetry, on the loopback address alone; set before Ray is imported. Without a token,
    # which Ray would take from the user's home for some of these processes and not for others.
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


@pytest.fixture(scope="session")
def nodes(tmp_path_factory):
    """Three nodes with one CPU each; one is the head."""
    from ray.cluster_utils import Cluster

    from tests.helpers.ray_tasks import KEY_OF_NODES, KEY_VARIABLE, NODE

    changes = pytest.MonkeyPatch()
    changes.setenv("ASSAY_CACHE", str(tmp_path_factory.mktemp("cache")))
    changes.setenv(KEY_VARIABLE, KEY_OF_NODES)
    # Ray would end workers where other programs take the memory of the machine.
    settings = {"include_dashboard": False, "_system_config": {"memory_monitor_refresh_ms": 0}}
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, **settings})
    for _ in range(2):
        cluster.add_node(**NODE, wait=False)
    yield cluster
    cluster.shutdown()
    changes.undo()
