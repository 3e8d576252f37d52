"""An audit from its parameters to its results in the tracking store."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.store.audits import AUDIT_FILE
from entrypoints.wiring.annotation_runs import annotate_split
from entrypoints.wiring.annotation_session import open_session
from entrypoints.wiring.audit_labels import (
    audit_sample,
    documents_of,
    gather,
    people_result,
    samples_of_raters,
    simulated,
)
from entrypoints.wiring.audit_plan import linear_classifier, planned
from entrypoints.wiring.audit_pool import audit_config, with_recorded_file
from entrypoints.wiring.dry_run import dry_run
from entrypoints.wiring.experiment import publish_after
from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.setup import check_store, log_setup
from entrypoints.wiring.terminal import Progress, print_line
from project.annotation.engines.factory import check_engine
from project.audit.as_json import as_json
from project.audit.findings import Question, examine, n_steps
from project.audit.judgements import Judgements
from project.audit.sample import AuditSample
from project.audit.truth import N_STEPS, true_scores
from project.config.audit import AuditConfig, PoolConfig
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig
from project.config.fields import parse
from project.data.pool import Pool, load_pool
from project.data.tables import codes
from project.stats.types import Codes
from project.support.errors import AssayError
from project.tracking import Tracker, root_run
from project.training.linear import MAX_TRAIN, LinearClassifier

MIN_ANSWERED = 50
"""Least number of texts with a label of the LLM; with fewer, the column is probably wrong."""


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
    check_engine(config.annotate.annotator)
    check_store(config.host.workspace)
    known = parse(PoolConfig, params)
    own = [("by", column) for column in asked.by_columns]
    own += [("group", asked.group), ("inclusion_column", asked.inclusion_column)]
    complete = load_pool(config.task, known, own, _n_demonstrations(config))
    complete, judgements = gather(complete, known, asked)
    pool, asked = simulated(complete, asked)
    # Refuses wrong probabilities before annotation is paid for.
    _report_audited(audit_sample(pool, asked), pool)
    config = with_recorded_file(config.resolved(pool.task.defaults), pool)
    workspace = config.host.workspace
    with contextlib.closing(open_session(pool.task, config)) as session:
        config = session.resolved(config)
        kind = "audit plan" if asked.plan else "audit"
        kind = "dry run" if config.spend.dry_run else kind
        name = f"{pool.task.name} audit"
        with root_run(kind, name, params, workspace) as tracker:
            invocation = Invocation("audit", params)
            log_setup(tracker, invocation, pool.task, config, annotator=session.annotator)
            if config.spend.dry_run:
                dry_run(tracker, session, pool.task, splits={"train": 1}, config=config)
                return
            (table,) = annotate_split(
                tracker, session, pool.task, split="train", n_draws=1, config=config
            )
            session.close()
            llm = _llm_codes(pool, table)
            if asked.plan:
                result = planned(pool, asked, config, llm)
            else:
                result = _examined(pool, judgements, asked, config, llm, complete=complete)
            result["annotator"] = session.annotator.name
            with publish_after(tracker, lambda: publish(tracker.run_id, workspace)):
                _log(tracker, result)


def _report_audited(sample: AuditSample, pool: Pool) -> None:
    """Print how many human labels are no part of the audit."""
    n_others = int(pool.examples["gold_label"].notna().sum()) - sample.n
    if n_others:
        print_line(
            f"note: {n_others} texts have a human label but were not drawn by audit_design; they "
            "are left out of the audit."
        )


def _n_demonstrations(config: ExperimentConfig) -> int:
    """Demonstrations in a prompt; 0 for annotators without prompts."""
    has_prompt = engine_facts(config.annotate.annotator).has_prompt
    return config.prompt.n_demonstrations if has_prompt else 0


def _llm_codes(pool: Pool, table: pd.DataFrame) -> Codes:
    """The LLM's labels of the pool as class codes ``(n_pool,)``; -1 where it gave none."""
    llm = codes(table["label"], pool.task.label_set)
    n_answered = int((llm >= 0).sum())
    if n_answered < MIN_ANSWERED:
        raise AssayError(
            f"the LLM must have labelled at least {MIN_ANSWERED} texts; {n_answered} of {len(llm)} "
            f"have one of the classes {', '.join(pool.task.label_set)}. Name the right column in "
            "recorded_columns, or every class in labels."
        )
    return llm


def _examined(
    pool: Pool,
    judgements: Judgements | None,
    asked: AuditConfig,
    config: ExperimentConfig,
    llm: Codes,
    *,
    complete: Pool,
) -> dict[str, Any]:
    """Everything that the audit finds out, as values that JSON has.

    Parameters
    ----------
    pool, judgements
        The pool with the labels of the audit, and what people said one by one.
    asked, config
        The parameters of the entry point.
    llm
        The LLM's labels of the pool ``(n_pool,)``, -1 for none.
    complete
        The pool with all human labels, for what is true where the audit is simulated.
    """
    texts = list(pool.examples["text"])
    ids = list(pool.examples["example_id"])
    sample = audit_sample(pool, asked)
    alone = samples_of_raters(pool, judgements, asked)
    classifier = linear_classifier(pool, Path(config.host.workspace))
    question = Question(
        label_set=pool.task.label_set,
        tolerance=config.verdict.tolerance / 100,
        at_least=None if asked.at_least is None else asked.at_least / 100,
        by={name: _values(pool.columns[name]) for name in asked.by_columns},
        texts=texts,
        n_next=asked.n_next,
        seed=asked.audit_seed,
        documents=documents_of(pool, asked),
    )
    with Progress("examine", n_steps(sample, len(alone)), "trainings") as progress:
        findings = examine(
            sample, llm, question, classifier=classifier, progress=progress, by_rater=alone
        )
    result = as_json(findings, pool.task.label_set, ids)
    result["people"] = people_result(pool, judgements, llm)
    if asked.simulate is not None:
        result["truth"] = _truth(complete, llm, classifier, question)
    result["classifier_name"] = classifier.name
    result["label_set"] = list(pool.task.label_set)
    result["audit_design"] = asked.audit_design
    result["tolerance"] = question.tolerance
    result["at_least"] = question.at_least
    result["n_unanswered"] = int((llm < 0).sum())
    result["notes"] = [*pool.notes, *_note_of_large_pools(result["n_pool"])]
    if not config.store.private:
        _add_texts(result, pool, llm)
    return result


def _note_of_large_pools(n_pool: int) -> list[str]:
    """A note where a training does not take all texts."""
    if n_pool <= MAX_TRAIN:
        return []
    return [f"Each training takes at most {MAX_TRAIN} texts of the pool, drawn at random."]


def _values(column: pd.Series) -> list[str]:
    """The values of a column of the user's as text."""
    return [
        "(empty)" if is_empty else str(value)
        for value, is_empty in zip(column, column.isna(), strict=True)
    ]


def _truth(
    complete: Pool, llm: Codes, classifier: LinearClassifier, question: Question
) -> dict[str, Any]:
    """What is true, by the human labels of all texts."""
    label_set = complete.task.label_set
    gold = codes(complete.examples["gold_label"], label_set)
    with Progress("truth", N_STEPS, "trainings") as progress:
        found = true_scores(
            gold,
            llm,
            n_classes=len(label_set),
            learner=classifier,
            seed=question.seed,
            progress=progress,
            documents=question.documents,
        )
    scores = {"llm": found.llm, "classifier": found.classifier, "gold_trained": found.gold_trained}
    scores["loss"] = found.gold_trained - found.classifier
    result: dict[str, Any] = {
        name: dict(zip(("accuracy", "macro_f1"), values.tolist(), strict=True))
        for name, values in scores.items()
    }
    result["shares"] = dict(zip(label_set, found.shares.tolist(), strict=True))
    return result


def _add_texts(result: dict[str, Any], pool: Pool, llm: Codes) -> None:
    """Put text and LLM label beside the ids of the texts to label next."""
    row_of = {name: row for row, name in enumerate(pool.examples["example_id"])}
    for entry in result["next"]["texts"]:
        row = row_of[entry["example_id"]]
        entry["text"] = pool.examples["text"].iloc[row]
        entry["llm"] = pool.task.label_set[llm[row]] if llm[row] >= 0 else None


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
