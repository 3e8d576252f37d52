"""What the reports read of ``config.json``, the configuration that a root run logs.

The models name only the fields that are read; others are ignored. A field with a default may be
missing, since earlier versions did not log it.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from analysis.store.artifacts import broken
from project.data.tables import MAX_LABELS
from project.support.escape import abridged
from project.tracking import Record

_MAX_COUNT = 10**6
"""Largest number of seeds or examples; larger ones would exhaust the memory."""


def _label_set(value: Any) -> list[str]:
    is_texts = isinstance(value, list) and all(isinstance(label, str) for label in value)
    if not is_texts or not 2 <= len(set(value)) == len(value) <= MAX_LABELS:
        raise ValueError(f"2 to {MAX_LABELS} different names")
    return list(value)


Count = Annotated[int, Field(ge=0, le=_MAX_COUNT)]
Positive = Annotated[int, Field(gt=0, le=_MAX_COUNT)]
Number = Annotated[float, Field(allow_inf_nan=False)]
LabelSet = Annotated[Any, AfterValidator(_label_set)]


class _Model(BaseModel):
    # Strict: a number written as text is a fault, not converted.
    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="ignore")


class _Task(_Model):
    name: str
    title: str
    source: str
    examples_sha256: str
    licence: str
    citation: str
    label_set: LabelSet
    label_type: Literal["nominal", "ordinal"] = "nominal"
    counts: dict[str, Count]
    notes: list[str] = []


class _Models(_Model):
    annotator: str
    encoder: str


class _Identities(_Model):
    annotator: dict[str, Any]
    encoder: str


class _Finetune(_Model):
    seeds: Positive
    validation_labels: str


class _Annotate(_Model):
    annotator_model: str


class _Prompt(_Model):
    n_demonstrations: Count
    ensemble_size: Count | None


class _Replicate(_Model):
    replicate: Literal["training", "pipeline", "crossed"] = "training"


class _Verdict(_Model):
    """The limits are numbers, whatever their names were in earlier versions."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, Number]

    until: Literal["trained", "decided"] = "trained"


class _Sections(_Model):
    """Every section of the configuration is an object; these are read."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, dict[str, Any]]

    finetune: _Finetune
    annotate: _Annotate
    prompt: _Prompt
    spend: dict[str, Any]
    replicate: _Replicate = _Replicate()
    verdict: _Verdict | None = None


class _Design(_Model):
    """The design of a root run: what it was to train, beyond one experiment."""

    replicates: dict[str, Count] = {}
    reach: Number = 95.0


class _CurveDesign(_Design):
    sizes: list[Positive]


class _GridDesign(_Design):
    grid: list[dict[str, Number]]
    grid_seeds: Count


class _Objective(_Model):
    objective: str


class _SweepDesign(_Design):
    study: str
    name: str
    sweep: _Objective


class _Config(_Model):
    task: _Task
    models: _Models
    identities: _Identities
    arms: list[str]
    versions: dict[str, str]
    config: _Sections
    design: _Design = _Design()


class _BudgetConfig(_Config):
    design: _Design


class _CurveConfig(_Config):
    design: _CurveDesign


class _GridConfig(_Config):
    design: _GridDesign


class _SweepConfig(_Config):
    design: _SweepDesign


_MODELS: dict[str, type[_Config]] = {
    "budget": _BudgetConfig,
    "curve": _CurveConfig,
    "grid": _GridConfig,
    "sweep": _SweepConfig,
}


def checked_config(run: Record, kind: str, value: Any) -> dict[str, Any]:
    """The content of a root run's ``config.json``, checked and otherwise unchanged.

    Parameters
    ----------
    run
        The root run, for errors.
    kind
        Its kind, which decides what its reports read.
    value
        The parsed JSON.

    Raises
    ------
    UnusableRun
        With the run and the field, if a field that the reports read is missing or not valid.
    """
    try:
        _MODELS.get(kind, _Config).model_validate(value)
    except ValidationError as error:
        raise broken(run, "config.json", _first_fault(error)) from None
    return dict(value)


def _first_fault(error: ValidationError) -> str:
    """The first error in one line: the field, the rule and the value."""
    first = error.errors(include_url=False)[0]
    path = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"has no {path}"
    rule = _RULES.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    rule = rule.format(**first.get("ctx", {}))
    value = abridged(first["input"])
    return (
        f"must have {rule} as {path}; it has {value}" if path else f"must be {rule}; it is {value}"
    )


_RULES = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "greater_than": "a whole number above {gt}",
    "greater_than_equal": "a whole number from {ge} up",
    "less_than_equal": "a whole number up to {le}",
    "literal_error": "{expected}",
}
"""What a field must hold, by the type of pydantic's error."""
