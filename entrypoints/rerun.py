"""Run a root run of the tracking store again: the same entry point with the same parameters and inputs, as a new root run.

mlflow run . -e rerun -P run_id=RUN
python -m entrypoints.rerun --run_id RUN --workspace fresh --reuse none      nothing is taken from before
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from analysis.store.artifacts import mapping_of, text, texts
from entrypoints import annotate, ask, budget, curve, finetune, grid, sweep
from entrypoints import main as experiment
from entrypoints.wiring.command import main, print_line
from entrypoints.wiring.provenance import (
    COMMIT,
    DIFF,
    DIFFERS,
    ENTRY_POINT,
    FILE,
    FORM,
    RERUN_OF,
    Invocation,
    changed_inputs,
    differences,
    from_hub,
    provenance,
    repository,
)
from entrypoints.wiring.setup import inputs_of
from project.config.engines import sends_texts
from project.config.fields import parse
from project.config.loading import defaults
from project.config.task import TaskConfig
from project.config.upkeep import RerunConfig
from project.data.task import load_task
from project.support.errors import AssayError
from project.support.models import annotator_source, encoder_source
from project.support.privacy import is_private, owner_only
from project.tracking import ROOT, Record, read_json, read_run, tagged

RERUNNABLE = {
    "main": experiment.experiment,
    "annotate": annotate.annotate,
    "finetune": finetune.finetune,
    "curve": curve.curve,
    "grid": grid.grid,
    "budget": budget.budget,
    "ask": ask.ask,
    "sweep": sweep.sweep,
}
MODELS = {
    "encoder": ("encoder_revision", encoder_source),
    "annotator_model": ("annotator_revision", annotator_source),
}


def _input(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and text(value.get("place"))
        and isinstance(value.get("sha256", ...), str | None)
    )


_PARTS: dict[str, Callable[[Any], bool]] = {
    "parameters": mapping_of(text),
    "parameters_masked": texts,
    "models": lambda value: mapping_of(text)(value) and value.keys() <= MODELS.keys(),
    "inputs": mapping_of(_input),
    "machine": lambda value: isinstance(value, dict),
    "git": lambda value: (
        isinstance(value, dict)
        and text(value.get("commit"))
        and text(value.get("diff_sha256"))
        and texts(value.get("changed"))
    ),
    "packages": mapping_of(text),
    "code_version": text,
}
"""What provenance must hold, whoever has written it."""


def rerun(params: Mapping[str, str]) -> None:
    """The same again, where its inputs are what they were; what else differs is said and stands on the new run."""
    asked = parse(RerunConfig, params)
    run, then = _provenance(asked.run_id)
    given = _given(run, then, asked)
    task = load_task(parse(TaskConfig, given.params)) if from_hub(given.params) else None
    now = provenance(given, repository(), inputs_of(given, task), _models(then, given))
    if changed := changed_inputs(then, now):
        raise AssayError(
            f"run {run.run_id} ({run.name}) cannot be run again: {'; '.join(changed)}. Put back what it was run with, or start it anew."
        )
    differs = differences(then, now)
    print_line(f"rerun: -e {given.entry_point} as in run {run.run_id} ({run.name}).")
    for line in differs or ["code, machine and packages are what they were."]:
        print_line(f"rerun: {line}")
    if then["git"]["diff_sha256"] and then["code_version"] != now["code_version"]:
        print_line(
            f"rerun: the code of then is commit {then['git']['commit']} and, on top of it, the run's artifact {DIFF}."
        )
    with (
        owner_only(is_private(given.params), Path(given.params["workspace"])),
        tagged({RERUN_OF: run.run_id, DIFFERS: "; ".join(differs)[:4000]}),
    ):
        RERUNNABLE[given.entry_point](given.params)


def _provenance(run_id: str) -> tuple[Record, dict[str, Any]]:
    """The root run, and where it came from."""
    if not run_id:
        raise AssayError(
            "run_id must be a root run of the tracking store; got ''. Name it with -P run_id=..."
        )
    run = read_run(run_id)
    root = run.tags.get(ROOT, run_id)
    if root != run_id:
        raise AssayError(
            f"run {run_id} ({run.name}) is a part of run {root}, and is run again with it: -P run_id={root}"
        )
    if ENTRY_POINT not in run.tags:
        raise AssayError(
            f"run {run_id} ({run.name}) does not say where it comes from: an older version of Assay logged it, or it ended too early. "
            "Start it anew with the parameters that it shows."
        )
    then = read_json(run_id, FILE)
    if (
        not isinstance(then, dict)
        or then.get("form") != FORM
        or then.get("entry_point") not in RERUNNABLE
    ):
        raise AssayError(
            f"run {run_id} ({run.name}) was logged by another version of Assay. {_commit(run)}"
        )
    if wrong := [name for name, holds in _PARTS.items() if not holds(then.get(name))]:
        raise AssayError(
            f"run {run_id} ({run.name}) does not say where it comes from as Assay does: {', '.join(wrong)} in its artifact {FILE}. Somebody has "
            "changed it. Start the run anew with the parameters that it shows."
        )
    return run, then


def _commit(run: Record) -> str:
    return f"Check out its commit, {run.tags.get(COMMIT, 'which is not known')}."


def _given(run: Record, then: Mapping[str, Any], asked: RerunConfig) -> Invocation:
    """The parameters of the run, as they must be given now; models of the hub at the commit that was loaded."""
    name, params = then["entry_point"], dict(then["parameters"])
    if hidden := then["parameters_masked"]:
        raise AssayError(
            f"run {run.run_id} ({run.name}) was given a secret in {', '.join(hidden)}, which is kept nowhere. Start it anew."
        )
    known = defaults(name)
    if unknown := sorted((params.keys() | then["models"].keys()) - known.keys()):
        raise AssayError(
            f"run {run.run_id} ({run.name}) was given {', '.join(unknown)}, which this version of Assay does not know. {_commit(run)}"
        )
    _check_trust(run, {**known, **params}, asked)
    for model, (revision, _) in MODELS.items():
        if then["models"].get(model, "").startswith("hub "):
            params[revision] = then["models"][model].rpartition("@")[2]
    if new := sorted(known.keys() - params.keys()):
        print_line(
            f"rerun: {', '.join(new)} did not exist then and {'is' if len(new) == 1 else 'are'} left at the default."
        )
    now = {
        "workspace": asked.workspace or known["workspace"],
        **({"reuse": asked.reuse} if asked.reuse else {}),
    }
    return Invocation(name, {**known, **params, **now})


def _check_trust(run: Record, params: Mapping[str, str], asked: RerunConfig) -> None:
    """Whoever may log to the store, and make a run somebody else's by a tag, must not thereby get keys, write files or have code run elsewhere."""
    risks = (
        [f"run code that comes with {params['remote_code']}"] if params.get("remote_code") else []
    )
    if sends_texts(params.get("annotator", "")):
        risks.append(f"send your key in {params['api_key_variable']} to {params['annotator_url']}")
    if params.get("sweep_storage"):
        risks.append(f"write into {params['sweep_storage']}")
    if risks and not asked.trust:
        raise AssayError(
            f"run {run.run_id} ({run.name}) would {' and '.join(risks)}; whoever may log to the store can have made it say so. If that is right: "
            "-P trust=true"
        )


def _models(then: Mapping[str, Any], given: Invocation) -> dict[str, str]:
    """The identities that the models of the run have now."""
    return {
        model: MODELS[model][1](given.params[model], given.params[MODELS[model][0]]).identity
        for model in then["models"]
    }


if __name__ == "__main__":
    main("rerun", rerun)
