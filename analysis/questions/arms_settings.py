"""What tells experiments apart: their settings, and which of them are exact repeats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from analysis.questions.arms_table import ScoredExperiment, result_cells, result_table
from analysis.render.text import n_seeds

if TYPE_CHECKING:
    import pandas as pd

MISSING = "-"
"""Stands for a setting that an earlier version did not store."""
_PLACE = ("host", "store")
"""Sections of the configuration that say where a result is kept, not what it is."""
_SHOWN_OTHERWISE = {
    # Parameters that have a column of their own or, as task, name what has one.
    *("task", "annotator_model", "encoder", "seeds"),
    # What the names of the rows show.
    *("arms", "replace_share", "flip_rate"),
}
_LAST = ("spend", "verdict")
"""Sections that change no score: their columns come last."""
_DIGITS = 8  # of a run's id and of a digest


class Fold(NamedTuple):
    """The newest of several exact repeats of one experiment, and how many others there are."""

    newest: ScoredExperiment
    n_repeats: int


def folded(experiments: Sequence[ScoredExperiment]) -> list[Fold]:
    """The experiments without exact repeats, newest first.

    A repeat has all settings, the digests of its data and models, the versions and every cell of
    the result table in common. Where the results are kept makes no difference.
    """
    in_order = sorted(experiments, key=lambda scored: -scored.experiment.root.started)
    repeats: dict[str, list[ScoredExperiment]] = {}
    for scored in in_order:
        repeats.setdefault(_identity(scored), []).append(scored)
    return [Fold(same[0], len(same) - 1) for same in repeats.values()]


def _identity(scored: ScoredExperiment) -> str:
    """Everything that two exact repeats have in common, as text."""
    config = {name: value for name, value in scored.config.items() if name != "sections"}
    config["config"] = {
        section: fields for section, fields in config["config"].items() if section not in _PLACE
    }
    _, rows = result_cells(result_table(scored))
    return json.dumps([config, rows, scored.experiment.incomplete], sort_keys=True, default=str)


def settings(scored: ScoredExperiment) -> dict[str, str]:
    """The settings of an experiment by name, as text; the most important ones first."""
    config = scored.config
    task = config["task"]
    found: dict[str, Any] = {
        "task": task["name"],
        "annotator": config["models"]["annotator"] or MISSING,
        "classifier": config["models"]["encoder"],
        **{f"{split} texts": n for split, n in task.get("counts", {}).items()},
        "seeds": n_seeds(config),
        "data": str(task.get("examples_sha256", MISSING))[:_DIGITS],
    }
    sections = sorted(config["config"].items(), key=lambda section: section[0] in _LAST)
    for section, fields in sections:
        if section not in _PLACE and isinstance(fields, Mapping):
            for name, value in fields.items():
                if name not in _SHOWN_OTHERWISE:
                    # Some parameters are called like a column that says what came of them.
                    found[f"{section}.{name}" if name in found else name] = value
    for name, value in config.get("identities", {}).items():
        found[f"digest of the {name}"] = value
    for name, value in config.get("versions", {}).items():
        found[f"version of {name}"] = value
    return {name: _text(value) for name, value in found.items()}


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_text(item) for item in value) or MISSING
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True, default=str)
    if value is None or value == "":
        return MISSING
    return f"{value:g}" if isinstance(value, float) else str(value)


def differing(experiments: Sequence[ScoredExperiment]) -> pd.DataFrame:
    """The settings in which the experiments differ, a row for each experiment.

    A setting that is not stored differs from none. The first columns are ``run``, the beginning of
    the run's id, and ``started``, the time in UTC.
    """
    import pandas as pd

    by_experiment = [settings(scored) for scored in experiments]
    names = list(dict.fromkeys(name for found in by_experiment for name in found))
    columns: dict[str, list[str]] = {
        "run": [scored.experiment.root.run_id[:_DIGITS] for scored in experiments],
        "started": [_time(scored.experiment.root.started) for scored in experiments],
    }
    for name in names:
        stored = [found[name] for found in by_experiment if name in found]
        if len(set(stored)) > 1:
            columns[name] = [found.get(name, MISSING) for found in by_experiment]
    return pd.DataFrame(columns)


def _time(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M}"
