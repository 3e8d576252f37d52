"""A note on texts that hold headings of the prompt template, for terminal, run and report."""

from __future__ import annotations

import dataclasses

import pandas as pd

from project.annotation.headings import heading_note
from project.annotation.template import load_template
from project.config.arms import arm_facts
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig
from project.data.task import Task


def with_heading_note(task: Task, config: ExperimentConfig, *, reads_llm: bool = True) -> Task:
    """``task`` with a note on its texts that hold headings of the prompt template."""
    note = note_on_headings(task.examples, config) if reads_llm else ""
    return dataclasses.replace(task, notes=(*task.notes, note)) if note else task


def with_note_for_arms(task: Task, config: ExperimentConfig) -> Task:
    """:func:`with_heading_note` where an arm of the configuration reads the LLM."""
    reads_llm = any(arm_facts(kind).reads_llm for kind in config.label.arms)
    return with_heading_note(task, config, reads_llm=reads_llm)


def note_on_headings(examples: pd.DataFrame, config: ExperimentConfig) -> str:
    """The note on an examples table; empty for annotators without headings."""
    facts = engine_facts(config.annotate.annotator)
    if not facts.has_prompt or facts.scores_pairs:
        return ""
    pairs = zip(examples["example_id"].astype(str), examples["text"], strict=True)
    return heading_note(pairs, load_template(config.prompt.template))
