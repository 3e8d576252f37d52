"""An entry point with its parameters, and the names of the facts about a root run's origin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

FILE = "provenance.json"
"""Artifact with the origin of a root run."""
DIFF = "git.diff"
"""Artifact with the changes that were not committed."""
FORM = 1
"""Version of the artifact's form."""
RERUN_OF = "assay.rerun_of"
DIFFERS = "assay.rerun_differs"
COMMIT = "git.commit"
DIRTY = "git.dirty"
ENTRY_POINT = "entry_point"
CODE = "code.version"


class Invocation(NamedTuple):
    """An entry point, and every one of its parameters as text."""

    entry_point: str
    params: Mapping[str, str]
