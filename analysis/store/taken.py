"""Whose finished runs the answers and seeds of a root run were taken from."""

from __future__ import annotations

from collections import Counter

from project.tracking import REUSED_OWNER, USER, Record, all_children

_NOUNS = {"annotation": ("annotation", "annotations"), "seed": ("seed", "seeds")}


def taken_note(root: Record) -> str:
    """A sentence on results that were taken from runs of other people; empty without such.

    Hashes show that an artifact is as its run's tags say; they do not show that its owner logged
    what the LLM said. So the owner is named.
    """
    parts = []
    for kind, (one, several) in _NOUNS.items():
        owners: Counter[str] = Counter()
        for run in all_children(root, kind):
            others = run.tags.get(REUSED_OWNER, "").split(",")
            owners.update(owner for owner in others if owner and owner != root.tags.get(USER))
        parts += [
            f"{n} {one if n == 1 else several} of {owner}" for owner, n in sorted(owners.items())
        ]
    if not parts:
        return ""
    return f"Taken from finished runs of others: {', '.join(parts)}."
