"""One result of the preflight."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """Something that was checked and is in order; with ``note``, the user should still read it."""

    part: str
    text: str
    note: bool = False
