"""Questions for people in MLflow's review queues, and the labels that come back.

MLflow reviews traces, so every text becomes a trace of the run that asks about it. A queue holds
the traces that one person, or several together, label.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow.entities import Expectation, TraceInfo
from mlflow.entities.assessment_source import AssessmentSourceType
from mlflow.genai import review_queues
from mlflow.genai.label_schemas import (
    InputCategorical,
    LabelSchema,
    create_label_schema,
    get_label_schema,
    list_label_schemas,
)
from mlflow.genai.label_schemas import validation as limits
from mlflow.genai.review_queues import ReviewStatus
from mlflow.genai.review_queues import validation as queue_limits
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError, UnusableRun
from project.tracking.failures import address, store_errors
from project.tracking.names import EXAMPLE, REVIEW_QUEUES, RUN_OF_TRACE
from project.tracking.read import newest_runs, read_run
from project.tracking.views import ui_address

MAX_LABELS = limits.CATEGORICAL_OPTIONS_MAX_COUNT
MAX_LABEL_LENGTH = limits.CATEGORICAL_OPTION_MAX_LENGTH
MAX_PEOPLE = queue_limits.MAX_ASSIGNED_USERS
_MAX_INSTRUCTION = limits.INSTRUCTION_MAX_LENGTH
_PAGE = 200
_CUT = " [...]"


@dataclass(frozen=True)
class ReviewText:
    """A text to label: its id, itself, and lines to show above it."""

    example_id: str
    text: str
    context: str = ""


@dataclass(frozen=True)
class ReviewQuestion:
    """What is asked about every text: a title, the labels to choose from, and the rules."""

    title: str
    labels: tuple[str, ...]
    rules: str


@dataclass(frozen=True)
class ReviewedText:
    """An answer, or that there is none.

    Attributes
    ----------
    example_id
        The text.
    label
        The label that was chosen; None for none.
    person
        Who chose it, ``default`` on a server without users; None for nobody.
    comment
        What the person wrote beside the label.
    is_declined
        Whether somebody declined to label the text.
    """

    example_id: str
    label: str | None
    person: str | None
    comment: str | None
    is_declined: bool


def fill_queue(
    run_id: str,
    name: str,
    texts: Sequence[ReviewText],
    question: ReviewQuestion,
    *,
    people: Sequence[str],
    progress: Callable[[int], None],
) -> str:
    """Make a queue with texts to label; its id.

    Parameters
    ----------
    run_id
        The run that asks. The queue belongs to its experiment.
    name
        The queue's name. No other queue of the experiment may have it.
    texts
        The texts, in any order: MLflow shows them in an order of its own.
    question
        What is asked about each; :func:`check_labels` accepts its labels.
    people
        Users to whom the queue is assigned, ten at most; none for everybody.
    progress
        Is told of every text that has become a trace.

    Raises
    ------
    StoreUnavailable
        If the store fails. The queue is then not made.
    """
    experiment_id = read_run(run_id).experiment_id
    with store_errors():
        schema = _schema(experiment_id, question)
        traces = [_trace(run_id, experiment_id, text, progress) for text in texts]
        mlflow.flush_trace_async_logging()
        queue = review_queues.create_review_queue(
            name,
            queue_type="custom",
            users=list(people),
            schema_ids=[schema.schema_id],
            experiment_id=experiment_id,
        )
        review_queues.add_items_to_review_queue(queue.queue_id, item_ids=traces)
        return str(queue.queue_id)


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


def runs_with_queues() -> list[str]:
    """The ids of the runs in any experiment that made review queues, newest first."""
    pages = newest_runs("questions", page_size=_PAGE)
    return [run.run_id for page in pages for run in page if REVIEW_QUEUES in run.tags]


def queues_of(run_id: str) -> Mapping[str, str]:
    """The ids of the queues that a run made, by their names.

    Raises AssayError for a run that made none.
    """
    rule = "human must name a run of the entry point ask as mlflow:RUN"
    try:
        queues = read_run(run_id).tags.get(REVIEW_QUEUES)
    except UnusableRun as error:
        raise AssayError(f"{rule}; {error}") from None
    if queues is None:
        raise AssayError(
            f"{rule}; {run_id} in the tracking store {address()} made no review queue. Run ask "
            "with to=mlflow."
        )
    return dict(json.loads(queues))


def reviewed_texts(run_id: str, queue_id: str) -> list[ReviewedText]:
    """The answers in a queue of a run: one for each label of a person and each text without one.

    An answer that was replaced by another is left out.
    """
    with store_errors():
        queue = review_queues.get_review_queue(queue_id)
        title = get_label_schema(schema_id=queue.schema_ids[0]).name
        status = {item.item_id: item.status for item in _items(queue_id)}
        return [
            answer
            for trace in _traces(queue.experiment_id, run_id)
            if trace.trace_id in status
            for answer in _answers(trace, title, status[trace.trace_id])
        ]


def _trace(
    run_id: str, experiment_id: str, text: ReviewText, progress: Callable[[int], None]
) -> str:
    """The id of a new trace that shows a text.

    A message of a chat is shown as it is; any other input is shown as JSON.
    """
    shown = [("system", text.context), ("user", text.text)]
    messages = [{"role": role, "content": content} for role, content in shown if content]
    span = mlflow.start_span_no_context(
        text.example_id,
        inputs={"messages": messages},
        tags={EXAMPLE: text.example_id},
        metadata={RUN_OF_TRACE: run_id},
        experiment_id=experiment_id,
    )
    span.end()
    progress(1)
    return str(span.trace_id)


def _schema(experiment_id: str, question: ReviewQuestion) -> LabelSchema:
    """The question in MLflow: that of an earlier queue if it is the same, else a new one."""
    rules = question.rules
    if len(rules) > _MAX_INSTRUCTION:
        rules = rules[: _MAX_INSTRUCTION - len(_CUT)] + _CUT
    known = {schema.name: schema for schema in _schemas(experiment_id)}
    number = 1
    while True:
        name = question.title if number == 1 else f"{question.title} ({number})"
        schema = known.get(name)
        if schema is None:
            return create_label_schema(
                name,
                type="expectation",
                input=InputCategorical(options=list(question.labels)),
                instruction=rules,
                enable_comment=True,
                experiment_id=experiment_id,
            )
        offered = getattr(schema.input, "options", None)
        if offered == list(question.labels) and schema.instruction == rules:
            return schema
        number += 1


def _answers(trace: TraceInfo, title: str, status: ReviewStatus) -> Iterator[ReviewedText]:
    """The answers to the question ``title`` about a text."""
    example_id = trace.tags[EXAMPLE]
    labels = [
        each
        for each in trace.assessments
        if isinstance(each, Expectation)
        and each.name == title
        and each.valid is not False
        and each.source.source_type == AssessmentSourceType.HUMAN
    ]
    for each in labels:
        person = each.source.source_id
        yield ReviewedText(example_id, each.value, person, each.rationale, is_declined=False)
    if not labels:
        is_declined = status == ReviewStatus.DECLINED
        yield ReviewedText(example_id, None, None, None, is_declined)


def _schemas(experiment_id: str) -> list[LabelSchema]:
    return _all(lambda token: list_label_schemas(experiment_id, page_token=token))


def _items(queue_id: str) -> list[Any]:
    return _all(
        lambda token: review_queues.list_review_queue_items(
            queue_id, max_results=_PAGE, page_token=token
        )
    )


def _traces(experiment_id: str, run_id: str) -> list[TraceInfo]:
    """The traces of a run, without their spans."""
    client = MlflowClient()
    found = _all(
        lambda token: client.search_traces(
            locations=[experiment_id],
            run_id=run_id,
            include_spans=False,
            max_results=_PAGE,
            page_token=token,
        )
    )
    return [trace.info for trace in found]


def _all(page_of: Callable[[str | None], Any]) -> list[Any]:
    """The entries of all pages."""
    page = page_of(None)
    entries = list(page)
    while page.token:
        page = page_of(page.token)
        entries += page
    return entries
