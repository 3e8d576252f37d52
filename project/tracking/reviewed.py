"""The labels that people gave in MLflow's review queues.

They are read from the traces of the run that asked, so that they are found whatever becomes of
queue and question in the UI.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Expectation, TraceInfo
from mlflow.entities.assessment_source import AssessmentSourceType
from mlflow.exceptions import MlflowException
from mlflow.genai import review_queues
from mlflow.genai.review_queues import ReviewStatus

from project.support.errors import AssayError, UnusableRun
from project.tracking.failures import address, store_errors
from project.tracking.names import EXAMPLE, REVIEW_QUEUES
from project.tracking.read import newest_runs, read_run
from project.tracking.review import PAGE, ReviewQueue, all_pages, stored_traces


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


def runs_with_queues() -> list[str]:
    """The ids of the runs in any experiment that made review queues, newest first."""
    pages = newest_runs("questions", page_size=PAGE)
    return [run.run_id for page in pages for run in page if REVIEW_QUEUES in run.tags]


def queues_of(run_id: str) -> list[ReviewQueue]:
    """The queues that a run made.

    Raises AssayError for a run that made none.
    """
    rule = "human must name a run of the entry point ask as mlflow:RUN"
    try:
        tags = read_run(run_id).tags
    except UnusableRun as error:
        raise AssayError(f"{rule}; {error}") from None
    if REVIEW_QUEUES not in tags:
        raise AssayError(
            f"{rule}; {run_id} in the tracking store {address()} made no review queue. Run ask "
            "with to=mlflow."
        )
    numbers = range(1, int(tags[REVIEW_QUEUES]) + 1)
    stored = [json.loads(tags[f"{REVIEW_QUEUES}.{number}"]) for number in numbers]
    return [ReviewQueue(**{**one, "labels": tuple(one["labels"])}) for one in stored]


def reviewed_texts(run_id: str, number: int, queue: ReviewQueue) -> list[ReviewedText]:
    """The answers to the texts of a queue: one for each label and each text without one.

    A label counts whether or not the text is still in the queue, and whatever its question is
    called; of several by one person the last one counts. A text that was declined after it was
    labelled is declined.

    Parameters
    ----------
    run_id, number, queue
        The run, and the queue with its number among those of the run, from 1.
    """
    with store_errors():
        items = {item.item_id: item for item in _items(queue.queue_id)}
        return [
            answer
            for trace in stored_traces(run_id, number)
            for answer in _answers(trace, queue.labels, items.get(trace.trace_id))
        ]


def _answers(trace: TraceInfo, labels: Sequence[str], item: Any) -> Iterator[ReviewedText]:
    """The answers to a text; ``item`` is what its queue holds of it, None for nothing."""
    example_id = trace.tags[EXAMPLE]
    given = [
        each
        for each in trace.assessments
        if isinstance(each, Expectation)
        and each.value in labels
        and each.valid is not False
        and each.source.source_type == AssessmentSourceType.HUMAN
    ]
    declined = item is not None and item.status == ReviewStatus.DECLINED
    if declined:
        given = [one for one in given if _time(one) > item.completed_time_ms]
    of_person = {_person(one.source.source_id): one for one in sorted(given, key=_time)}
    for person, each in of_person.items():
        yield ReviewedText(example_id, each.value, person, each.rationale, is_declined=False)
    if not given:
        by_whom = _person(item.completed_by) if declined else None
        yield ReviewedText(example_id, None, by_whom, None, declined)


def _person(name: str | None) -> str:
    """A person as MLflow compares them: without regard to case."""
    return (name or "default").strip().lower()


def _time(assessment: Expectation) -> int:
    return assessment.last_update_time_ms or 0


def _items(queue_id: str) -> list[Any]:
    """What a queue holds; nothing if it was deleted."""
    try:
        return all_pages(
            lambda token: review_queues.list_review_queue_items(
                queue_id, max_results=PAGE, page_token=token
            )
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return []
