"""How a root run of the tracking store was started, read back to start it again."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, NamedTuple

import pydantic

from entrypoints.wiring.invocation import COMMIT, ENTRY_POINT, FILE, FORM, Invocation
from entrypoints.wiring.terminal import print_line
from entrypoints.wiring.trust import risks
from project.config.entry_points import ENTRY_POINTS
from project.config.finetune import LINEAR
from project.config.loading import defaults, effective
from project.config.upkeep import RerunConfig
from project.support.errors import AssayError
from project.support.models import (
    BUNDLED,
    ModelSource,
    annotator_source,
    embedding_only,
    encoder_source,
)
from project.tracking import ONE_ENCODER, ROOT, Record, read_json, read_run


def _encoder_source(name: str, revision: str) -> ModelSource:
    """The encoder; for ``linear`` the bundled one, whose embeddings a regression reads."""
    if name == LINEAR:
        return embedding_only(encoder_source(BUNDLED, revision))
    return encoder_source(name, revision)


MODELS = {
    "encoder": ("encoder_revision", _encoder_source),
    "annotator_model": ("annotator_revision", annotator_source),
}
"""Parameter of a model -> parameter of its revision, and the function that finds its weights."""


class _Input(pydantic.BaseModel, strict=True):
    place: str
    sha256: str | None


class _Git(pydantic.BaseModel, strict=True):
    commit: str
    diff_sha256: str
    changed: list[str]


class _Provenance(pydantic.BaseModel, strict=True):
    """The parts of ``provenance.json`` that are used. They are checked: anyone can change them."""

    parameters: dict[str, str]
    parameters_masked: list[str]
    models: dict[str, str]
    inputs: dict[str, _Input]
    machine: dict[str, Any]
    git: _Git
    packages: dict[str, str]
    code_version: str

    @pydantic.field_validator("models")
    @classmethod
    def _known_models(cls, models: dict[str, str]) -> dict[str, str]:
        if models.keys() - MODELS.keys():
            raise ValueError("unknown model")
        return models


class StoredInvocation(NamedTuple):
    """A root run and the content of its ``provenance.json``."""

    run: Record
    facts: dict[str, Any]


def read_invocation(run_id: str) -> StoredInvocation:
    """How a root run was started.

    Raises AssayError for a run that is no root run, or whose record of its origin is missing or
    invalid.
    """
    if not run_id:
        raise AssayError("run_id must be a root run of the tracking store; got ''.")
    run = read_run(run_id)
    name = f"run {run_id} ({run.name})"
    root = run.tags.get(ROOT, run_id)
    if root != run_id:
        raise AssayError(f"{name} is a part of run {root}. Set run_id={root} to run all of it.")
    if ONE_ENCODER in run.tags:
        raise AssayError(
            f"{name} shares its encoder with other labels of its suite "
            f"({run.tags[ONE_ENCODER]}). Run the suite again, with reuse=none."
        )
    if ENTRY_POINT not in run.tags:
        raise AssayError(
            f"{name} has no record of its origin: an older version of Assay logged it, or it ended "
            "too early. Start it anew with the parameters that it shows."
        )
    facts = read_json(run_id, FILE)
    known_form = isinstance(facts, dict) and facts.get("form") == FORM
    if not known_form or not can_rerun(facts.get("entry_point")):
        raise AssayError(f"{name} was logged by another version of Assay. {_checkout_hint(run)}")
    try:
        _Provenance.model_validate(facts)
    except pydantic.ValidationError as error:
        parts = dict.fromkeys(str(problem["loc"][0]) for problem in error.errors())
        raise AssayError(
            f"{name} has an invalid record of its origin: {', '.join(parts)} in its artifact "
            f"{FILE}. Somebody has changed it. Start the run anew with the parameters that it "
            "shows."
        ) from None
    return StoredInvocation(run, facts)


def can_rerun(entry_point: Any) -> bool:
    """Whether an entry point of this name makes root runs."""
    is_known = isinstance(entry_point, str) and entry_point in ENTRY_POINTS
    return is_known and ENTRY_POINTS[entry_point].computes


def _checkout_hint(run: Record) -> str:
    return f"Check out its commit, {run.tags.get(COMMIT, 'which is unknown')}."


def invocation_now(stored: StoredInvocation, config: RerunConfig) -> Invocation:
    """The parameters with which the run is started again.

    They are read like a configuration file. Models of the hub are loaded at the commit of then.

    Raises
    ------
    AssayError
        If a secret was masked, a parameter is unknown, or consent is missing.
    """
    run, facts = stored
    title = f"run {run.run_id} ({run.name})"
    if facts["parameters_masked"]:
        masked = ", ".join(facts["parameters_masked"])
        raise AssayError(
            f"{title} was started with a secret in {masked}, which is not stored. Start it anew."
        )
    params = dict(facts["parameters"])
    entry = ENTRY_POINTS[facts["entry_point"]]
    known = {*entry.rules(), *entry.aliases()}
    if unknown := sorted((params.keys() | facts["models"].keys()) - known):
        raise AssayError(
            f"{title} was started with {', '.join(unknown)}, which this version of Assay does not "
            f"have. {_checkout_hint(run)}"
        )
    for model, (revision, _) in MODELS.items():
        if facts["models"].get(model, "").startswith("hub "):
            params[revision] = facts["models"][model].rpartition("@")[2]
    _check_consent(title, {**defaults(entry.name), **params}, trusted=config.trust)
    own_names = {entry.aliases().get(name, name) for name in params}
    _print_new_parameters(entry.rules().keys() - own_names)
    workspace = config.workspace or defaults(entry.name)["workspace"]
    # The stored parameters take the place of a file; what rerun is given overrules them.
    overrides = {"config": f"runs:/{run.run_id}/{FILE}", "workspace": workspace}
    if config.reuse:
        overrides["reuse"] = config.reuse
    chosen = effective(entry, overrides, lambda _: params)
    return Invocation(entry.name, {**chosen.texts, "config": ""})


def _print_new_parameters(names: Set[str]) -> None:
    """Print which parameters did not exist when the run was started."""
    new = sorted(set(names) - {"config", "show_config"})
    if new:
        print_line(
            f"rerun: parameters that did not exist then have their defaults: {', '.join(new)}."
        )


def _check_consent(name: str, params: Mapping[str, str], *, trusted: bool) -> None:
    """Refuse parameters from the store that need consent."""
    found = risks(params)
    if found and not trusted:
        effects = " and ".join(risk.effect for risk in found)
        raise AssayError(
            f"{name} would {effects}. Anyone who may log to the store can have written this. If it "
            "is right, set trust=true."
        )


def model_identities(facts: Mapping[str, Any], params: Mapping[str, str]) -> dict[str, str]:
    """The identities that the models of a run have now, by parameter."""
    identities = {}
    for model in facts["models"]:
        revision, source = MODELS[model]
        identities[model] = source(params[model], params[revision]).identity
    return identities
