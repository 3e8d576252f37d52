"""An audit from its parameters to its results in the tracking store."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.store.audits import AUDIT_FILE
from entrypoints.wiring.annotation_runs import annotate_split
from entrypoints.wiring.annotation_session import AnnotationSession, open_session
from entrypoints.wiring.audit_encoder import (
    EncoderTrainings,
    check_encoder,
    log_training,
)
from entrypoints.wiring.audit_examined import AuditWork, examined, llm_codes
from entrypoints.wiring.audit_labels import (
    Gathered,
    audit_sample,
    documents_of,
    gather,
    notes_on_audit,
    simulated,
)
from entrypoints.wiring.audit_next import write_next
from entrypoints.wiring.audit_plan import linear_classifier, planned
from entrypoints.wiring.audit_pool import audit_config, with_recorded_file, with_rows
from entrypoints.wiring.clusters import opened_cluster
from entrypoints.wiring.dry_run import dry_run
from entrypoints.wiring.encoders import find_encoder, with_recipe_for
from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.prompt_headings import note_on_headings
from entrypoints.wiring.reports import publish_after
from entrypoints.wiring.root_facts import root_name
from entrypoints.wiring.setup import check_store, log_setup
from entrypoints.wiring.terminal import print_line
from project.annotation.engines.factory import check_engine
from project.audit.sample import AuditSample
from project.config.audit import AuditConfig, PoolConfig
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig
from project.config.fields import parse
from project.config.finetune import LINEAR, STACKED
from project.data.pool import Pool, load_pool
from project.support.errors import AssayError, Refusals
from project.tracking import Tracker, root_run
from project.training.encoder import Encoder

if TYPE_CHECKING:
    from project.training.on_cluster import TrainingCluster


def run_audit(params: Mapping[str, str], *, publish: Callable[[str, str], None]) -> None:
    """Annotate the pool, examine the audit, log what it found and publish the report.

    Parameters
    ----------
    params
        Every parameter of the entry point, as text.
    publish
        Publishes the report, given the id of the root run and the workspace.
    """
    asked = parse(AuditConfig, params)
    config = audit_config(params)
    complete, judgements, notes = _first_checks(params, config, asked)
    pool, asked = simulated(complete, asked)
    # Refuses wrong probabilities before annotation is paid for.
    sample = audit_sample(pool, asked)
    notes += notes_on_audit(pool, asked, sample)
    notes += filter(None, [note_on_headings(pool.task.examples, config)])
    for note in notes:
        print_line(f"note: {note}")
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(opened_cluster(config))
        encoder = _encoder(pool, asked, sample, config, cluster.training)
        config = _resolved(config, pool, encoder)
        workspace = config.host.workspace
        session = open_session(pool.task, config, cluster.annotation)
        stack.enter_context(contextlib.closing(session))
        config = session.resolved(config)
        pool, complete = with_rows(pool, session), with_rows(complete, session)
        what = ["audit plan" if asked.plan else "audit", *["dry run"] * config.spend.only_plans]
        annotator = session.annotator
        name = root_name(pool.task.name, config, annotator, *what)
        with root_run(what[-1], name, params, workspace) as tracker:
            invocation = Invocation("audit", params)
            log_setup(tracker, invocation, pool.task, config, annotator=annotator, encoder=encoder)
            if config.spend.only_plans:
                dry_run(tracker, session, pool.task, splits={"train": 1}, config=config)
                return
            table = _annotated(tracker, session, pool, config)
            if asked.plan:
                llm = llm_codes(pool, table, private=config.store.private)
                classifier = linear_classifier(pool, Path(workspace), cluster)
                result = planned(pool, asked, config, llm, classifier)
            else:
                work = AuditWork(pool, complete, judgements, notes, asked, config, cluster)
                result = examined(work, table, _trainings(tracker, encoder, work))
            result["annotator"] = annotator.name
            if not asked.plan:
                _log_next(tracker, pool, result, config)
            with publish_after(tracker, lambda: publish(tracker.run_id, workspace)):
                _log(tracker, result)


def _first_checks(
    params: Mapping[str, str], config: ExperimentConfig, asked: AuditConfig
) -> Gathered:
    """The pool with its human labels; everything that is wrong by now is refused together."""
    refusals = Refusals()
    with refusals.part():
        check_engine(config.annotate.annotator, config.cluster)
    with refusals.part():
        check_store(config.host.workspace)
    with refusals.part():
        known = parse(PoolConfig, params)
        own = [("by", column) for column in asked.by_columns]
        own += [("group", asked.group), ("inclusion_column", asked.inclusion_column)]
        complete = load_pool(config.task, known, own, _n_demonstrations(config))
        gathered = gather(complete, known, asked)
    refusals.finish()
    return gathered


def _annotated(
    tracker: Tracker, session: AnnotationSession, pool: Pool, config: ExperimentConfig
) -> pd.DataFrame:
    """The LLM's labels of the pool; the annotator is closed, so that others use its memory."""
    tables = annotate_split(tracker, session, pool.task, split="train", n_draws=1, config=config)
    session.close()
    return tables[0]


def _encoder(
    pool: Pool,
    asked: AuditConfig,
    sample: AuditSample,
    config: ExperimentConfig,
    cluster: TrainingCluster | None,
) -> Encoder | None:
    """The encoder that is to be trained, found and checked; None for the cheap classifier."""
    if config.finetune.ordinal_targets != "none":
        raise AssayError(
            f"ordinal_targets must be none in an audit, whose trainings read the labels alone; got "
            f"{config.finetune.ordinal_targets}. Leave it out."
        )
    if config.finetune.encoder == LINEAR:
        return None
    if config.finetune.batching == STACKED:
        raise AssayError(
            "batching=stacked is for experiments: an audit trains every seed on texts of its own. "
            "Leave batching out."
        )
    check_encoder(sample, documents_of(pool, asked), asked)
    return find_encoder(config.finetune, cluster)


def _resolved(config: ExperimentConfig, pool: Pool, encoder: Encoder | None) -> ExperimentConfig:
    """The configuration with what the pool and the encoder fill in."""
    config = with_recorded_file(config.resolved(pool.task.defaults), pool)
    if encoder is None:
        return config
    return with_recipe_for(config, encoder, pool.task, trains_on_parts=True)


def _trainings(
    tracker: Tracker, encoder: Encoder | None, work: AuditWork
) -> EncoderTrainings | None:
    """The trainings of an encoder on the pool, each logged as a run; None without an encoder."""
    if encoder is None:
        return None
    return EncoderTrainings(
        encoder,
        work.config.finetune,
        work.pool.examples,
        work.pool.task.label_set,
        Path(work.config.host.workspace),
        after_training=functools.partial(log_training, tracker, encoder, work.pool.task.name),
        cluster=work.cluster.training,
    )


def _n_demonstrations(config: ExperimentConfig) -> int:
    """Demonstrations in a prompt; 0 for annotators without prompts."""
    has_prompt = engine_facts(config.annotate.annotator).has_prompt
    return config.prompt.n_demonstrations if has_prompt else 0


def _log_next(
    tracker: Tracker, pool: Pool, result: Mapping[str, Any], config: ExperimentConfig
) -> None:
    """Write the texts to label next; the files are logged unless the run is private."""
    ids = [entry["example_id"] for entry in result["next"]["texts"]]
    folder = Path(config.host.workspace) / "questions" / tracker.run_id
    files = write_next(pool, ids, folder, private=config.store.private)
    if not config.store.private:
        tracker.log_files({f"questions/{name}": path for name, path in files.items()})


def _log(tracker: Tracker, result: Mapping[str, Any]) -> None:
    """Log ``audit.json`` and its main numbers as metrics of the root run."""
    metrics = {"audit.n": result["n_audit"], "audit.n_pool": result["n_pool"]}
    for name in ("llm", "classifier", "gold_trained", "loss"):
        for metric in ("accuracy", "macro_f1"):
            value = result.get(name, {}).get(metric, {}).get("estimate")
            if value is not None:
                metrics[f"audit.{name}.{metric}"] = value
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / AUDIT_FILE
        text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        tracker.log_files({AUDIT_FILE: path})
    tracker.log_metrics(metrics, 0)
