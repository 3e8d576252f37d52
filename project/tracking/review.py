"""Questions for people in MLflow's review queues.

MLflow reviews traces, so every text becomes a trace of the run that asks about it. A queue holds
the traces that one person, or several together, label.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import mlflow
from mlflow.entities import TraceInfo
from mlflow.genai import review_queues
from mlflow.genai.label_schemas import (
    InputCategorical,
    LabelSchema,
    LabelSchemaType,
    create_label_schema,
    list_label_schemas,
)
from mlflow.genai.label_schemas import validation as limits
from mlflow.genai.review_queues import validation as queue_limits
from mlflow.tracing.constant import TRACE_REQUEST_RESPONSE_PREVIEW_MAX_LENGTH_OSS
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError, Incomplete
from project.tracking.failures import address, store_errors
from project.tracking.names import EXAMPLE, QUEUE, REVIEW_QUEUES, RUN_OF_TRACE
from project.tracking.read import read_run
from project.tracking.views import ui_address

MAX_LABELS = limits.CATEGORICAL_OPTIONS_MAX_COUNT
MAX_LABEL_LENGTH = limits.CATEGORICAL_OPTION_MAX_LENGTH
MAX_PEOPLE = queue_limits.MAX_ASSIGNED_USERS
MAX_SHOWN = TRACE_REQUEST_RESPONSE_PREVIEW_MAX_LENGTH_OSS
"""Characters of a text that the page of a queue shows; the rest is in the full trace."""
_MAX_INSTRUCTION = limits.INSTRUCTION_MAX_LENGTH
_MAX_TITLE = 200  # of the 250 that MLflow allows: a number may follow
_MAX_NAME = 100  # of a task and of a person, in the name of a queue
PAGE = 200
_AT_ONCE = 100  # traces; MLflow drops those that do not fit its queue of 1,000 parts
_CUT = " [...]"


@dataclass(frozen=True)
class ReviewText:
    """A text to label: its id, and what is shown of it."""

    example_id: str
    shown: str


@dataclass(frozen=True)
class ReviewQuestion:
    """What is asked about every text: a title, the labels to choose from, and the rules."""

    title: str
    labels: tuple[str, ...]
    rules: str


@dataclass(frozen=True)
class ReviewQueue:
    """A queue as it was made.

    Attributes
    ----------
    name
        Its name, unique within the experiment.
    person
        The user who alone is asked; "" for none.
    queue_id
        Its id.
    labels
        The labels to choose from.
    n
        Number of texts.
    """

    name: str
    person: str
    queue_id: str
    labels: tuple[str, ...]
    n: int


def fill_queue(
    run_id: str,
    number: int,
    task: str,
    texts: Sequence[ReviewText],
    question: ReviewQuestion,
    *,
    people: Sequence[str],
    progress: Callable[[int], None],
) -> ReviewQueue:
    """Make a queue with texts to label.

    Parameters
    ----------
    run_id
        The run that asks. The queue belongs to its experiment.
    number
        Number of the queue among those of the run, from 1.
    task
        Name of the task, for the name of the queue.
    texts
        The texts, in any order: MLflow shows them in an order of its own.
    question
        What is asked about each; :func:`check_labels` accepts its labels.
    people
        Users to whom the queue is assigned, ten at most; none for everybody.
    progress
        Is told of the texts that have reached the store.

    Raises
    ------
    AssayError
        If the environment switches MLflow's traces off.
    Incomplete
        If the store fails or lacks a text. The queue is then not made.
    """
    experiment_id = read_run(run_id).experiment_id
    person = people[0] if len(people) == 1 else ""
    name = f"{task[:_MAX_NAME]} {run_id[:8]} {number} {person[:_MAX_NAME]}".strip()
    with store_errors():
        schema = _schema(experiment_id, question)
        sent: list[str] = []
        for start in range(0, len(texts), _AT_ONCE):
            part = texts[start : start + _AT_ONCE]
            sent += [_trace(run_id, experiment_id, number, text) for text in part]
            mlflow.flush_trace_async_logging()
            progress(len(part))
        stored = {trace.trace_id for trace in stored_traces(run_id, number)}
        if missing := len(set(sent) - stored):
            raise Incomplete(
                f"{missing} of {len(texts)} texts did not reach the tracking store {address()}, so "
                "that no review queue was made. Run again, or label on the page."
            )
        queue = review_queues.create_review_queue(
            name,
            queue_type="custom",
            users=list(people),
            schema_ids=[schema.schema_id],
            experiment_id=experiment_id,
        )
        review_queues.add_items_to_review_queue(queue.queue_id, item_ids=sent)
    return ReviewQueue(name, person, queue.queue_id, question.labels, len(texts))


def check_labels(labels: Sequence[str]) -> None:
    """Raise AssayError for labels that MLflow cannot offer."""
    rule = f"to=mlflow needs at most {MAX_LABELS} labels of at most {MAX_LABEL_LENGTH} characters"
    way_out = "Leave to out, and label on the page or in Label Studio."
    if len(labels) > MAX_LABELS:
        raise AssayError(f"{rule}, by a rule of MLflow; this task has {len(labels)}. {way_out}")
    longest = max(labels, key=len)
    if len(longest) > MAX_LABEL_LENGTH:
        raise AssayError(f"{rule}, by a rule of MLflow; got {longest!r}. {way_out}")


def review_page(run_id: str, queue_id: str) -> str:
    """The address of a queue of a run in the UI."""
    experiment_id = read_run(run_id).experiment_id
    return f"{ui_address()}/#/experiments/{experiment_id}/review-queue?selectedQueueId={queue_id}"


def tags_of_queue(number: int, queue: ReviewQueue) -> dict[str, str]:
    """The tags by which a run keeps its queue with this number, from 1.

    Each has a tag of its own, since MLflow cuts tags at 8,000 characters.
    """
    return {
        REVIEW_QUEUES: str(number),
        f"{REVIEW_QUEUES}.{number}": json.dumps(asdict(queue), ensure_ascii=False),
    }


def _trace(run_id: str, experiment_id: str, number: int, text: ReviewText) -> str:
    """The id of a new trace that shows a text.

    A message of a chat is shown as it is; any other input is shown as JSON.
    """
    span = mlflow.start_span_no_context(
        text.example_id,
        inputs={"messages": [{"role": "user", "content": text.shown}]},
        tags={EXAMPLE: text.example_id, QUEUE: str(number)},
        metadata={RUN_OF_TRACE: run_id},
        experiment_id=experiment_id,
    )
    span.end()
    if not str(span.trace_id).startswith("tr-"):
        raise AssayError(
            "to=mlflow needs MLflow's traces, which the environment switches off or samples. Unset "
            "MLFLOW_TRACE_SAMPLING_RATIO, OTEL_SDK_DISABLED and OTEL_EXPORTER_OTLP_ENDPOINT, or "
            "leave to out and label on the page."
        )
    return str(span.trace_id)


def _schema(experiment_id: str, question: ReviewQuestion) -> LabelSchema:
    """The question in MLflow: that of an earlier queue if it is the same, else a new one."""
    rules = question.rules
    if len(rules) > _MAX_INSTRUCTION:
        rules = rules[: _MAX_INSTRUCTION - len(_CUT)] + _CUT
    offered = InputCategorical(options=list(question.labels))
    known = {
        schema.name: schema
        for schema in all_pages(lambda token: list_label_schemas(experiment_id, page_token=token))
    }
    taken = {name.lower() for name in (*known, limits.DEFAULT_LABEL_SCHEMA_NAME)}
    title = question.title[:_MAX_TITLE]
    number = 1
    while True:
        name = title if number == 1 else f"{title} ({number})"
        schema = known.get(name)
        if schema is not None and (
            schema.type == LabelSchemaType.EXPECTATION
            and schema.input == offered
            and schema.instruction == rules
            and schema.enable_comment
        ):
            return schema
        if name.lower() not in taken:
            return create_label_schema(
                name,
                type="expectation",
                input=offered,
                instruction=rules,
                enable_comment=True,
                experiment_id=experiment_id,
            )
        number += 1


def stored_traces(run_id: str, number: int) -> list[TraceInfo]:
    """The traces of one queue of a run that the store holds, without their spans."""
    client = MlflowClient()
    experiment_id = read_run(run_id).experiment_id
    found = all_pages(
        lambda token: client.search_traces(
            locations=[experiment_id],
            run_id=run_id,
            include_spans=False,
            max_results=PAGE,
            page_token=token,
        )
    )
    infos = [trace.info for trace in found]
    return [info for info in infos if info.tags.get(QUEUE) == str(number) and EXAMPLE in info.tags]


def all_pages(page_of: Callable[[str | None], Any]) -> list[Any]:
    """The entries of all pages."""
    page = page_of(None)
    entries = list(page)
    while page.token:
        page = page_of(page.token)
        entries += page
    return entries
