"""One result of the preflight."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """Something that was checked and will do; ``note``: the user should read it all the same."""

    part: str
    text: str
    note: bool = False
