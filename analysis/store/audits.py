"""The result of an audit, as the store holds it."""

from __future__ import annotations

from typing import Any

from analysis.store.artifacts import broken
from project.tracking import Record, read_json

AUDIT_FILE = "audit.json"
"""Artifact of the root run, and file of its report, with every number of an audit or a plan."""


def read_audit(root: Record) -> dict[str, Any]:
    """The ``audit.json`` of a root run; UnusableRun if it holds no result of an audit."""
    result = read_json(root.run_id, AUDIT_FILE)
    if not isinstance(result, dict) or not {"verdict", "kind"} & result.keys():
        raise broken(root, AUDIT_FILE, "is no result of an audit")
    return result
