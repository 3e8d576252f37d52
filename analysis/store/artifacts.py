"""What others have logged is data: whether it is what an analysis can go by, said in one line with the run and the artifact where it is not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from project.data.tables import MAX_LABELS
from project.support.errors import UnusableRun
from project.support.escape import abridged
from project.tracking import Record

_MOST = 10**6  # seeds, examples and the like in a number that somebody wrote


class _Rule(NamedTuple):
    """What stands at ``path`` of ``config.json``: ``holds`` of it, in ``words``; ``kinds``: the root runs that need it, () for none."""

    path: str
    holds: Callable[[Any], bool]
    words: str
    kinds: tuple[str, ...] | None = None


def text(value: Any) -> bool:
    """Whether a value out of JSON is text."""
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def texts(value: Any) -> bool:
    """Whether it is a list of texts."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _labels(value: Any) -> bool:
    return texts(value) and 2 <= len(set(value)) == len(value) <= MAX_LABELS


def mapping_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Whether it is an object of whose every value something ``holds``."""
    return lambda value: isinstance(value, dict) and all(map(holds, value.values()))


def _list_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(holds, value))


_ANY: Callable[[Any], bool] = mapping_of(lambda value: True)
_OPTIONAL: tuple[str, ...] = ()
_RULES = (
    *(
        _Rule(path, _ANY, "an object")
        for path in ("task", "models", "identities", "identities.annotator")
    ),
    *(
        _Rule(f"task.{name}", text, "text")
        for name in ("name", "title", "source", "examples_sha256", "licence", "citation")
    ),
    _Rule("task.label_set", _labels, f"2 to {MAX_LABELS} different names"),
    _Rule("task.notes", texts, "a list of texts", _OPTIONAL),
    _Rule("task.counts", mapping_of(_count), "an object of counts"),
    _Rule("arms", texts, "a list of texts"),
    *(
        _Rule(path, text, "text")
        for path in ("models.annotator", "models.encoder", "identities.encoder")
    ),
    _Rule("versions", mapping_of(text), "an object of texts"),
    _Rule("config", mapping_of(lambda value: isinstance(value, dict)), "an object of objects"),
    *(
        _Rule(f"config.{stage}", _ANY, "an object")
        for stage in ("finetune", "annotate", "prompt", "spend")
    ),
    _Rule(
        "config.finetune.seeds", lambda value: _count(value) and value > 0, "a whole number above 0"
    ),
    _Rule("config.finetune.validation_labels", text, "text"),
    _Rule("config.annotate.annotator_model", text, "text"),
    _Rule("config.prompt.n_demonstrations", _count, "a whole number"),
    _Rule(
        "config.prompt.ensemble_size",
        lambda value: value is None or _count(value),
        "a whole number or null",
    ),
    _Rule(
        "config.replicate.replicate",
        lambda value: value in ("training", "pipeline", "crossed"),
        "training, pipeline or crossed",
        _OPTIONAL,
    ),
    _Rule("config.verdict", mapping_of(_number), "an object of numbers", _OPTIONAL),
    _Rule("design", _ANY, "an object", ("curve", "grid", "sweep", "budget")),
    _Rule("design.replicates", mapping_of(_count), "an object of whole numbers", _OPTIONAL),
    _Rule("design.reach", _number, "a number", _OPTIONAL),
    _Rule(
        "design.sizes",
        _list_of(lambda value: _count(value) and value > 0),
        "a list of whole numbers above 0",
        ("curve",),
    ),
    _Rule("design.grid", _list_of(mapping_of(_number)), "a list of objects of numbers", ("grid",)),
    _Rule("design.grid_seeds", _count, "a whole number", ("grid",)),
    *(_Rule(f"design.{name}", text, "text", ("sweep",)) for name in ("study", "name")),
    _Rule("design.sweep", _ANY, "an object", ("sweep",)),
    _Rule("design.sweep.objective", text, "text", ("sweep",)),
)
_ABSENT = object()


def checked_config(run: Record, kind: str, value: Any) -> dict[str, Any]:
    """The configuration of a root run of ``kind`` as its ``config.json`` holds it; raises UnusableRun where something that is needed is not there."""
    if not isinstance(value, dict):
        raise broken(run, "config.json", f"must be an object; it is {abridged(value)}")
    for rule in _RULES:
        found = _at(value, rule.path)
        if found is _ABSENT and (rule.kinds is None or kind in rule.kinds):
            raise broken(run, "config.json", f"has no {rule.path}")
        if found is not _ABSENT and not rule.holds(found):
            raise broken(
                run,
                "config.json",
                f"must have {rule.words} as {rule.path}; it has {abridged(found)}",
            )
    return value


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return _ABSENT
        value = value[name]
    return value


class MissingResult(UnusableRun):
    """A root run in which no arm has all its seeds."""


def broken(run: Record, path: str, what: str) -> UnusableRun:
    """An artifact of a run that cannot be gone by."""
    return UnusableRun(
        f"run {run.run_id} ({run.name}): its artifact {path} {what}. Somebody has changed it, or another program has logged it."
    )


def needs(
    run: Record, params: Mapping[str, Callable[[str], Any]], metrics: Sequence[str] = ()
) -> None:
    """Refuse a run that lacks one of ``params``, or has one that its kind does not read, or lacks one of ``metrics``."""
    for name, kind in params.items():
        try:
            kind(run.params[name])
        except KeyError:
            raise UnusableRun(
                f"run {run.run_id} ({run.name}) has no parameter {name}; it is no run of Assay's, or half of one. Delete it."
            ) from None
        except (ValueError, OverflowError):
            raise UnusableRun(
                f"run {run.run_id} ({run.name}): its parameter {name} must be {_WORDS.get(kind, 'text')}; it is {abridged(run.params[name])}. "
                "It is no run of Assay's. Delete it."
            ) from None
    for name in metrics:
        if not math.isfinite(run.metrics.get(name, math.nan)):
            raise UnusableRun(
                f"run {run.run_id} ({run.name}) has no metric {name}; it is no run of Assay's, or half of one. Delete it."
            )


def number_or_none(text: str) -> float | None:
    """A parameter that may be ``None``."""
    return None if text == "None" else float(text)


def above_zero(text: str) -> int:
    """A parameter that something is divided by."""
    if int(text) <= 0:
        raise ValueError
    return int(text)


_WORDS: dict[Callable[[str], Any], str] = {
    int: "a whole number",
    float: "a number",
    number_or_none: "a number or None",
    above_zero: "a whole number above 0",
}
