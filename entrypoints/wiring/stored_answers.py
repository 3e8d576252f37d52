"""Answers that finished runs of the tracking store hold, for annotation to reuse."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import pandas as pd

from entrypoints.wiring.annotation_session import AnnotationSession
from entrypoints.wiring.terminal import print_line
from project.annotation.answers import checked_answers, raw_answers
from project.annotation.cache import Fetch
from project.annotation.question import earlier_questions, question_digest
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig
from project.data.tables import SourceRun, check
from project.data.task import Task
from project.support.errors import AssayError
from project.support.files import digest
from project.support.parquet import parquet
from project.tracking import (
    QUESTION,
    SERVER,
    USER,
    Record,
    StoreUnavailable,
    Tracker,
    current_user,
)

PROMPT = "prompt.sha256"
"""Tag with the hash of a run's prompt, a placeholder in the place of the text."""
CONTENT_FREE = "content_free.parquet"
"""Artifact with the answers to content-free inputs, which contextual calibration needs."""


def server_tag(config: ExperimentConfig) -> dict[str, str]:
    """A tag with the hash of the server's address; empty for engines without a server."""
    if not engine_facts(config.annotate.annotator).server:
        return {}
    return {SERVER: digest(config.server.annotator_url.rstrip("/"))}


def fetch_answers(
    tracker: Tracker, task: Task, session: AnnotationSession, config: ExperimentConfig
) -> Fetch:
    """A function that yields answers to a question from finished runs, newest run first.

    Answers to content-free inputs are among them. A run whose artifacts are damaged is left out,
    and a line names it.

    Parameters
    ----------
    tracker
        The tracker of the root run.
    task
        The task, for its label set.
    session
        The annotator and its prompts: what older versions asked under them is found as well.
    config
        Engine, server, and whose runs may be reused.
    """

    def fetch(question: str) -> Iterator[tuple[SourceRun, pd.DataFrame]]:
        if not engine_facts(config.annotate.annotator).has_prompt:
            return
        for run in _runs(tracker, session, question, config):
            if _is_of_another_server(run, config):
                continue
            try:
                tables = _answer_tables(tracker, run, task.label_set)
            except StoreUnavailable:  # the tracker has reported it
                return
            except AssayError as error:  # a damaged run of a colleague must not stop this one
                print_line(f"annotate: {error} Its answers are not used.")
                continue
            source = SourceRun(run.run_id, run.tags.get(USER, "unknown user"))
            yield from ((source, table) for table in tables)

    return fetch


def _runs(
    tracker: Tracker, session: AnnotationSession, question: str, config: ExperimentConfig
) -> Iterator[Record]:
    """Finished runs with answers to ``question``, then those that asked it in an older version."""
    reuse = config.store.reuse
    yield from tracker.reusable_runs("annotation", QUESTION, question, reuse)
    annotator = session.annotator
    if not getattr(annotator, "earlier_identities", ()):
        return
    for prompt in session.prompts:
        if question_digest(annotator, prompt) != question:
            continue
        sha256 = hashlib.sha256(prompt.for_people("{input_text}").encode()).hexdigest()
        for run in tracker.reusable_runs("annotation", PROMPT, sha256, reuse):
            asked = run.tags.get(QUESTION)
            if asked != question and asked in earlier_questions(annotator, prompt):
                yield run
        return


def _is_of_another_server(run: Record, config: ExperimentConfig) -> bool:
    """Whether a colleague's run used another server, whose models may have the same names."""
    if SERVER not in run.tags or run.tags.get(USER) == current_user():
        return False
    return run.tags[SERVER] != server_tag(config).get(SERVER)


def _answer_tables(tracker: Tracker, run: Record, label_set: Sequence[str]) -> list[pd.DataFrame]:
    """The answers of a run, and those to content-free inputs where it has some."""
    has_content_free = run.params.get("calibration") == "contextual"
    names = [CONTENT_FREE] if has_content_free else []
    files = tracker.verified_artifacts(run, ["annotations.parquet", *names])
    annotations = check("annotations", parquet(files["annotations.parquet"]), label_set)
    content_free = [checked_answers(parquet(files[name]), label_set) for name in names]
    return [raw_answers(annotations, label_set), *content_free]
