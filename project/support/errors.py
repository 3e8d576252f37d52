"""The one error a user's input can raise: what is wrong, the rule, the value, the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class AssayError(ValueError):
    """Input that cannot be used. The message is one line meant for the person at the terminal."""


class Incomplete(AssayError):
    """Work that could not be finished (a worker died, a disk filled up); what is done is kept.

    ``partial``: what had been done of a request that failed as a whole, for whoever can keep it.
    """

    partial: Any = None


class Stopped(Incomplete):
    """Work that ended at a limit that its user had set; what is done is kept."""


def unknown_value(name: str, value: str, known: Iterable[str], way_out: str = "") -> AssayError:
    """An error for an unknown ``value`` of ``name`` that lists what is known and names the nearest."""
    choices = sorted(known)
    near = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    more = f" {way_out}" if way_out else ""
    return AssayError(f"{name} must be one of {', '.join(choices)}; got {value!r}.{hint}{more}")
