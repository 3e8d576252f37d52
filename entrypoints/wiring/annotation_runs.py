"""Annotation of a split; every draw is logged as a run when it is complete."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from entrypoints.wiring.annotation_notes import notes_on, print_summary, stored_notes
from entrypoints.wiring.annotation_session import AnnotationSession
from entrypoints.wiring.setup import reuse_sentence, reuse_tags, shared_params
from entrypoints.wiring.stored_answers import CONTENT_FREE, PROMPT, fetch_answers, server_tag
from entrypoints.wiring.terminal import Progress
from project.annotation.annotate import Annotations, annotate
from project.annotation.answers import ANSWER_KEY, RAW_LABEL
from project.annotation.prompt import Prompt
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig
from project.config.metrics import annotation_metrics, score_metrics
from project.data.tables import class_columns, is_asked
from project.data.task import Task
from project.stats.information import entropy_bounds_bits
from project.support.parquet import content_hash, write_table
from project.support.privacy import table_for_store
from project.tracking import QUESTION, Child, Tracker
from project.training.evaluate import evaluate

SAMPLE_ROWS = 100
"""Rows of an annotations table that the MLflow UI shows."""


def annotate_split(
    tracker: Tracker,
    session: AnnotationSession,
    task: Task,
    *,
    split: str,
    n_draws: int,
    config: ExperimentConfig,
) -> list[pd.DataFrame]:
    """Annotate a split and log every draw; returns the annotations tables, one for each draw.

    Parameters
    ----------
    tracker
        The tracker of the root run.
    session
        The annotator and its prompts.
    task, split
        The task, and the name of one of its splits.
    n_draws
        Number of prompts to use, the first ones.
    config
        The experiment's configuration.
    """
    examples = task.split(split)
    prompts = session.prompts[:n_draws]
    complete: list[Annotations] = []
    with Progress(f"annotate {split}", len(prompts) * len(examples), "texts") as progress:
        draws = annotate(
            session.annotators,
            prompts,
            examples,
            task.label_set,
            config=config.annotate,
            folder=Path(config.host.workspace) / "annotations",
            progress=progress,
            meter=session.meter,
            seed=config.prompt.demonstration_seed,
            fetch=fetch_answers(tracker, task, session, config),
            say=progress.print_line,
        )
        # Closed also where logging a draw is interrupted: requests under way are waited for.
        with contextlib.closing(draws):
            for draw in draws:
                _log_annotations(tracker, session, task, split=split, draw=draw, config=config)
                complete.append(draw)
    session.print_notes()
    private = config.store.private
    print_summary(split, complete, session.annotator.name, private=private)
    return [draw.table for draw in complete]


def _metrics(
    draw: Annotations, examples: pd.DataFrame, label_set: Sequence[str], *, ordered: bool = False
) -> dict[str, float]:
    """Metrics of a draw: scores against gold where known, certainty, completeness, cost."""
    table = draw.table
    has_label = table["label"].notna()
    was_asked = is_asked(table)
    metrics = scores(table, examples, label_set, ordered=ordered)
    bounds = entropy_bounds_bits(
        class_columns(table, label_set),
        table["label_mass"].to_numpy(dtype=np.float64),
        table["log_bound"].to_numpy(dtype=np.float64),
    )
    # Pandas leaves nan out of means: examples without probabilities do not count.
    lower, upper = (pd.Series(values).mean() for values in bounds)
    metrics |= {
        "label_mass": table["label_mass"].mean(),
        "entropy_bits": lower,
        "entropy_bits_upper": upper,
        "truncated": table["truncated"].sum(),
        "missing": (~has_label[was_asked]).sum(),
        "censored": table["log_bound"].notna().sum(),
        "prompt_tokens": table["prompt_tokens"].sum(),
        "annotation_seconds": draw.seconds,
        "asked_texts": draw.n_asked,
        "reused_texts": draw.n_reused,
        "fetched_texts": draw.n_fetched,
    }
    if not was_asked.all():
        metrics["no_row"] = (~was_asked).sum()
    if "consistency" in table:
        metrics["consistency"] = table["consistency"].mean()
    if draw.n_asked and draw.seconds:
        metrics["texts_per_second"] = draw.n_asked / draw.seconds
    return {name: float(value) for name, value in metrics.items() if not np.isnan(value)}


def scores(
    table: pd.DataFrame, examples: pd.DataFrame, label_set: Sequence[str], *, ordered: bool = False
) -> dict[str, float]:
    """Scores of one draw over the texts with gold labels; empty if there are none.

    Parameters
    ----------
    table
        The annotations table of the draw.
    examples
        The examples, in the same order.
    label_set
        The classes.
    ordered
        Whether they are steps of a scale.
    """
    is_scored = examples["gold_label"].notna().to_numpy() & is_asked(table)
    if not (table["label"].notna().any() and is_scored.any()):
        return {}
    return evaluate(table[is_scored], examples[is_scored], label_set, ordered=ordered)


def _log_annotations(
    tracker: Tracker,
    session: AnnotationSession,
    task: Task,
    *,
    split: str,
    draw: Annotations,
    config: ExperimentConfig,
) -> None:
    """Log one draw as a run: prompt, demonstrations, annotations, metrics."""
    examples = task.split(split)
    annotator = session.annotator
    private = config.store.private
    metrics = _metrics(draw, examples, task.label_set, ordered=task.ordered)
    prompt_text = draw.prompt.for_people("{input_text}")
    # A prompt quotes texts in its demonstrations, so a private run logs its hash alone.
    sha256 = hashlib.sha256(prompt_text.encode()).hexdigest()
    prompt_tags = _register_prompt(tracker, task, draw.prompt, sha256=sha256, config=config)
    tags = {PROMPT: sha256, QUESTION: draw.question}
    tags |= {**prompt_tags, **server_tag(config), **reuse_tags(draw.sources)}
    description = (
        f"{annotator.name} labels {len(examples)} texts of the {split} split, draw "
        f"{draw.prompt.draw}: {_scores_in_words(metrics)}."
    ) + reuse_sentence(f"{draw.n_fetched} answers are taken", draw.sources)
    description += notes_on(draw.table, annotator.name, private=private)
    params = {"split": split, "draw": draw.prompt.draw, "n_examples": len(examples)}
    with tempfile.TemporaryDirectory() as name:
        files = _files(
            Path(name),
            draw,
            task,
            identity=annotator.identity,
            prompt_text=f"sha256:{sha256}" if private else prompt_text,
            notes=stored_notes(annotator, private=private),
            private=private,
        )
        tracker.log_child(
            Child(
                f"annotate {split} draw {draw.prompt.draw:02d}",
                "annotation",
                draw.digest,
                {**shared_params(task, config), **params},
                metrics=metrics,
                files=files,
                description=description,
                tags=tags,
                inputs=[(f"{task.name}/{split}", content_hash(examples), "annotation")],
                sample=table_for_store(_sample(draw.table, examples), private=private),
                seconds=draw.seconds if draw.n_asked else 0.0,
            )
        )


def _scores_in_words(metrics: Mapping[str, float]) -> str:
    """The scores and annotation metrics of a draw as text."""
    return ", ".join(
        f"{metric.title} {metrics[metric.key]:.3f}"
        for metric in (*score_metrics(ordered=True), *annotation_metrics())
        if metric.key in metrics
    )


def _files(
    folder: Path,
    draw: Annotations,
    task: Task,
    *,
    identity: Mapping[str, str],
    prompt_text: str,
    notes: Sequence[str],
    private: bool,
) -> dict[str, Path]:
    """Write a draw's artifacts below ``folder``; artifact path -> file."""
    prompt = draw.prompt
    facts = {
        "answers": list(prompt.answers),
        "demonstration_ids": list(prompt.demonstration_ids),
        "annotator": dict(identity),
        "notes": list(notes),
    }
    by_id = task.examples.set_index("example_id")
    demonstrations = by_id.loc[list(prompt.demonstration_ids)].reset_index()
    tables = {
        "prompt/demonstrations.parquet": demonstrations,
        "annotations.parquet": draw.table,
    }
    if draw.content_free is not None:
        tables[CONTENT_FREE] = draw.content_free
    files = {path: folder / path.rpartition("/")[2] for path in tables}
    for path, table in tables.items():
        write_table(files[path], table_for_store(table, private=private))
    texts = {
        "prompt/prompt.txt": prompt_text,
        "prompt/prompt.json": json.dumps(facts, indent=1, ensure_ascii=False),
    }
    for path, text in texts.items():
        files[path] = folder / path.rpartition("/")[2]
        files[path].write_text(text, encoding="utf-8")
    return files


def _register_prompt(
    tracker: Tracker, task: Task, prompt: Prompt, *, sha256: str, config: ExperimentConfig
) -> Mapping[str, str]:
    """Tags that link a run to its prompt in MLflow's registry; empty where that is not wanted."""
    if not (config.store.register_prompt and engine_facts(config.annotate.annotator).has_prompt):
        return {}
    style = str(config.prompt.label_style)
    placeholder = "{{input_text}}"  # MLflow's syntax
    return tracker.register_prompt(
        ("assay", task.name, style),
        prompt.messages(placeholder) if prompt.chat else prompt.render(placeholder),
        sha256,
        f"Task {task.name}, labels written by {style}, {len(prompt.demonstration_ids)} "
        "demonstrations.",
    )


def _sample(table: pd.DataFrame, examples: pd.DataFrame) -> pd.DataFrame:
    """The first answers with their texts, for the MLflow UI."""
    texts = examples[["example_id", "text", "gold_label"]].head(SAMPLE_ROWS)
    joined = texts.merge(table, on="example_id")
    # The answer beside the gold label: the UI shows the first columns.
    first = [*texts.columns, "label"]
    joined = joined[[*first, *(name for name in joined.columns if name not in first)]]
    unused = ["draw", ANSWER_KEY, RAW_LABEL, "repeats"]
    return joined.drop(columns=unused, errors="ignore").dropna(axis="columns", how="all").round(4)
