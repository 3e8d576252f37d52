"""Tests of one group share servers, so that they must run in one process."""

import os

import pytest


@pytest.mark.xdist_group("groups")
@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="all tests run in one process")
def test_pytest_xdist_honours_groups(request):
    """It forgets them where it cannot write them into the test's name (pytest 9.2, xdist 3.8)."""
    assert request.node.nodeid.endswith("@groups")
