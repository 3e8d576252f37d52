"""What every run begins with: its configuration, models, versions and examples, and the parameters that stand on every child."""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from entrypoints.wiring.command import print_line
from entrypoints.wiring.provenance import (
    DIFF,
    FILE,
    Invocation,
    inputs,
    provenance,
    repository,
    tags,
)
from project.annotation.engines.base import Annotator
from project.config.engines import ENGINES
from project.config.experiment import ExperimentConfig
from project.data.tables import SourceRun
from project.data.task import Task
from project.support.parquet import content_hash, write_table
from project.support.privacy import table_for_store
from project.support.redact import scrubbed_json
from project.tracking import REUSED_FROM, REUSED_OWNER, Tracker, preflight, read_uri
from project.training.encoder import Encoder


def check_store(workspace: str) -> None:
    """Refuse a tracking store that will not do, before anything is loaded or paid for; what is worth knowing of it is said."""
    for note in preflight(Path(workspace)):
        print_line(f"note: {note}")


def log_setup(
    tracker: Tracker,
    given: Invocation,
    task: Task,
    config: ExperimentConfig,
    *,
    arms: Sequence[str] = (),
    annotator: Annotator | None = None,
    encoder: Encoder | None = None,
    design: Mapping[str, object] | None = None,
) -> None:
    """Where the run comes from, the resolved configuration, the arms to come, the models, versions and the examples, on the root run.

    ``design``: what else is to be trained, so that a report can name what is missing: replicates of each arm, sizes, a grid.
    """
    task_facts = {
        "name": task.name,
        "title": task.title,
        "label_set": list(task.label_set),
        "source": task.source,
        "data_sha256": task.data_hash,
        "examples_sha256": task.content_hash,
        "notes": list(task.notes),
        "counts": dict(task.counts),
        "licence": task.card.licence,
        "citation": task.card.citation,
    }
    models = {
        "annotator": annotator.name if annotator else "",
        "encoder": encoder.source.name if encoder else "",
    }
    identities = {
        "annotator": dict(annotator.identity) if annotator else {},
        "encoder": encoder.source.identity if encoder else "",
    }
    versions = {
        name: importlib.metadata.version(name)
        for name in ("mlflow", "numpy", "torch", "transformers")
    }
    facts = {
        "task": task_facts,
        "arms": list(arms),
        "design": dict(design or {}),
        "models": models,
        "identities": identities,
        "versions": versions,
        "config": config.as_dict(),
    }
    repo = repository(private=config.store.private)
    origin = provenance(given, repo, inputs_of(given, task), _identities(annotator, encoder))
    for note in (
        *task.notes,
        *([f"{repo.why}; a hash tells which code this is."] if repo.why else ()),
    ):
        print_line(f"note: {note}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.json").write_text(
            json.dumps(scrubbed_json(facts), indent=2), encoding="utf-8"
        )
        (folder / FILE).write_text(json.dumps(origin, indent=1), encoding="utf-8")
        write_table(
            folder / "examples.parquet",
            table_for_store(task.examples, private=config.store.private),
        )
        if repo.diff:
            (folder / DIFF).write_text(repo.diff, encoding="utf-8")
        tracker.log_files({path.name: path for path in sorted(folder.iterdir())}, tags=tags(origin))


def inputs_of(given: Invocation, task: Task | None) -> dict[str, dict[str, str | None]]:
    """The files that were asked for, by their hashes, those in the store among them; ``task`` is looked at where its data come from the hub."""
    return inputs(given.params, lambda address: content_hash(read_uri(address)), task)


def _identities(annotator: Annotator | None, encoder: Encoder | None) -> dict[str, str]:
    """The exact weights of the models that this machine loads."""
    found = {"encoder": encoder.source.identity} if encoder else {}
    facts = ENGINES.get(annotator.identity.get("engine", "")) if annotator else None
    if annotator and facts and facts.local_weights:
        found["annotator_model"] = annotator.identity["model"]
    return found


def taken_tags(sources: Sequence[SourceRun]) -> dict[str, str]:
    """The tags of a result that was taken from finished runs: which, and whose."""
    if not sources:
        return {}
    return {
        REUSED_FROM: ",".join(one.run_id for one in sources),
        REUSED_OWNER: ",".join(dict.fromkeys(one.user for one in sources)),
    }


def taken_words(what: str, sources: Sequence[SourceRun]) -> str:
    """The same for the result's description; ``what`` is taken, and the verb."""
    return (
        f" {what} from {', '.join(f'run {one.run_id} of {one.user}' for one in sources)}."
        if sources
        else ""
    )


def shared_params(task: Task, config: ExperimentConfig) -> dict[str, object]:
    """The join keys that stand on every child, whatever its kind."""
    annotate, prompt = config.annotate, config.prompt
    return {
        "task": task.name,
        "examples_sha256": task.content_hash[:16],
        "annotator": annotate.annotator,
        "annotator_model": annotate.annotator_model,
        "calibration": annotate.calibration,
        "label_style": prompt.label_style,
        "n_demonstrations": prompt.n_demonstrations,
    }
