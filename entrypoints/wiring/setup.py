"""What every root run begins with: a checked store, configuration, models, versions, examples."""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from entrypoints.wiring.invocation import DIFF, FILE, Invocation
from entrypoints.wiring.provenance import inputs, provenance, tags
from entrypoints.wiring.repository import repository
from entrypoints.wiring.root_facts import Model, root_params
from entrypoints.wiring.terminal import print_line
from project.config.engines import ENGINES
from project.config.entry_points import ENTRY_POINTS
from project.config.experiment import ExperimentConfig
from project.config.loading import sections_of
from project.data.tables import SourceRun
from project.data.task import Task
from project.support.parquet import content_hash, write_table
from project.support.privacy import table_for_store
from project.support.redact import scrubbed_json
from project.tracking import REUSED_FROM, REUSED_OWNER, Tracker, preflight, read_uri
from project.training.encoder import Encoder

CONFIG = "config.json"
"""Artifact with the configuration and facts that the analysis reads."""
_VERSIONED = ("mlflow", "numpy", "torch", "transformers")


def check_store(workspace: str) -> None:
    """Raise AssayError for a tracking store that cannot be used; prints notes on it.

    It is called before anything is loaded or paid for.
    """
    for note in preflight(Path(workspace)):
        print_line(f"note: {note}")


def log_setup(
    tracker: Tracker,
    invocation: Invocation,
    task: Task,
    config: ExperimentConfig,
    *,
    arms: Sequence[str] = (),
    annotator: Model | None = None,
    encoder: Encoder | None = None,
    design: Mapping[str, object] | None = None,
    shots: Sequence[int] | None = None,
) -> None:
    """Log configuration, provenance and examples to the root run.

    Parameters
    ----------
    tracker
        The tracker of the root run.
    invocation, task, config
        The entry point and its parameters, the task, and the configuration with what the task card
        and the annotator fill in.
    arms, design
        Names of the arms, and what is to be trained (replicates of each arm, sizes, a grid), so
        that a report can name what is missing.
    annotator, encoder
        The models; None if they are not used.
    shots
        Numbers of demonstrations, where there are several.
    """
    code = repository(private=config.store.private)
    origin = provenance(
        invocation, code, inputs_of(invocation, task), _identities(annotator, encoder)
    )
    for note in task.notes:
        print_line(f"note: {note}")
    if code.why:
        print_line(f"note: {code.why}; a hash identifies the code instead.")
    facts = {
        "task": _task_facts(task),
        "arms": list(arms),
        "design": dict(design or {}),
        **_model_facts(annotator, encoder),
        "config": config.as_dict(),
        "sections": sections_of(ENTRY_POINTS[invocation.entry_point], invocation.params),
    }
    texts = {
        CONFIG: json.dumps(scrubbed_json(facts), indent=2),
        FILE: json.dumps(origin, indent=1),
    }
    if code.diff and config.store.log_diff:
        texts[DIFF] = code.diff
    examples = table_for_store(task.examples, private=config.store.private)
    _log_files(tracker, texts, examples, tags=tags(origin))
    tracker.log_params(root_params(config, annotator, shots))
    splits = [str(name) for name in task.examples["split"].unique()]
    tracker.log_inputs(
        [(f"{task.name}/{split}", content_hash(task.split(split)), split) for split in splits]
    )


def _log_files(
    tracker: Tracker, texts: Mapping[str, str], examples: pd.DataFrame, *, tags: Mapping[str, str]
) -> None:
    """Log texts by file name and the examples table as artifacts of the root run, with its tags."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
        write_table(folder / "examples.parquet", examples)
        files = {path.name: path for path in sorted(folder.iterdir())}
        tracker.log_files(files, tags=tags)


def _model_facts(annotator: Model | None, encoder: Encoder | None) -> dict[str, Any]:
    """Names and identities of the models, and versions of the libraries that run them."""
    return {
        "models": {
            "annotator": annotator.name if annotator else "",
            "encoder": encoder.source.name if encoder else "",
        },
        "identities": {
            "annotator": dict(annotator.identity) if annotator else {},
            "encoder": encoder.source.identity if encoder else "",
        },
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONED},
    }


def _task_facts(task: Task) -> dict[str, Any]:
    """What the analysis must know of a task."""
    one = task.card.one_label
    return {
        "name": task.name,
        "one_label": {"task": one.task, "label": one.label, "labels": one.labels} if one else None,
        "title": task.title,
        "label_set": list(task.label_set),
        "label_type": task.card.label_type,
        "source": task.source,
        "data_sha256": task.data_hash,
        "examples_sha256": task.content_hash,
        "notes": list(task.notes),
        "counts": dict(task.counts),
        "licence": task.card.licence,
        "citation": task.card.citation,
    }


def inputs_of(invocation: Invocation, task: Task | None) -> dict[str, dict[str, str | None]]:
    """The input files that the parameters name, with their hashes.

    ``task`` is used where its data come from the hub; None if they do not.
    """
    return inputs(invocation.params, lambda address: content_hash(read_uri(address)), task)


def _identities(annotator: Model | None, encoder: Encoder | None) -> dict[str, str]:
    """The exact weights of the models that this machine loads, by parameter."""
    identities = {}
    if encoder:
        identities["encoder"] = encoder.source.identity
    # A model behind a server, or a file of labels, has no weights here.
    facts = ENGINES.get(annotator.identity.get("engine", "")) if annotator else None
    if annotator and facts and facts.local_weights:
        identities["annotator_model"] = annotator.identity["model"]
    return identities


def reuse_tags(sources: Sequence[SourceRun]) -> dict[str, str]:
    """Tags of a result that was taken from finished runs: their ids and owners."""
    if not sources:
        return {}
    return {
        REUSED_FROM: ",".join(run.run_id for run in sources),
        REUSED_OWNER: ",".join(dict.fromkeys(run.user for run in sources)),
    }


def reuse_sentence(subject_and_verb: str, sources: Sequence[SourceRun]) -> str:
    """The finished runs as a sentence with a leading space; empty without sources."""
    if not sources:
        return ""
    runs = ", ".join(f"run {run.run_id} of {run.user}" for run in sources)
    return f" {subject_and_verb} from {runs}."


def shared_params(task: Task, config: ExperimentConfig) -> dict[str, object]:
    """Parameters that every child run has, so that filters and joins find it."""
    return {
        "task": task.name,
        "label_type": task.card.label_type,
        "examples_sha256": task.content_hash[:16],
        "annotator": config.annotate.annotator,
        "annotator_model": config.annotate.annotator_model,
        "calibration": config.annotate.calibration,
        "label_style": config.prompt.label_style,
        "n_demonstrations": config.prompt.n_demonstrations,
    }
