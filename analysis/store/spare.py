"""How many rows of the data an experiment has not used."""

from __future__ import annotations

from analysis.store.stored_run import StoredRun

_DROPPED = ("empty_text_dropped", "null_label_dropped", "straddling_dropped", "duplicates_dropped")
_SPLITS = ("train", "validation", "test", "demonstration")


def spare_texts(experiment: StoredRun) -> int | None:
    """Number of usable rows that are in no split; None if the run does not say."""
    counts = experiment.config["task"].get("counts", {})
    if "read" not in counts:
        return None
    used = sum(int(counts.get(name, 0)) for name in (*_DROPPED, *_SPLITS))
    return max(0, int(counts["read"]) - used)
