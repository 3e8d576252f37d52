"""The entry point check with cluster=."""

import importlib.util

import pytest

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed here; make test-cluster installs it", allow_module_level=True)

from entrypoints import check
from tests.helpers.ray_tasks import MARKS

pytestmark = MARKS


def test_nodes_are_asked_what_they_can_hold(params, nodes, capsys):
    check.check(params("check", cluster=nodes.address, precision="fp32"))
    printed = capsys.readouterr().err

    assert "transformers: 3 copies on 3 nodes, on cpu in float32" in printed
    assert "3 of 3 nodes with it on the disk" in printed
    assert "3 at the same time, on cpu in fp32" in printed
