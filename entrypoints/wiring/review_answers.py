"""The labels that people gave in MLflow's review queues, as files like those of any program."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from entrypoints.wiring.review_questions import IN_MLFLOW
from entrypoints.wiring.terminal import print_line
from project.config.lists import split_list
from project.labels.clients.rows import REASON
from project.support.errors import AssayError
from project.support.files import write_atomically
from project.tracking.review import ReviewQueue
from project.tracking.reviewed import ReviewedText, queues_of, reviewed_texts, runs_with_queues

_HUMAN = "human"
_DECLINED = "are declined in MLflow"
_NOT_IN_A_NAME = re.compile(r"[^\w.-]+")
_MOST_SHOWN = 5
_MAX_NAME = 60
_FOLDER = "mlflow-"
_FETCHED = re.compile(rf"/questions/([0-9a-f]{{32}})/{_FOLDER}[0-9a-f]{{8}}/")


def with_review_answers(params: Mapping[str, str]) -> Mapping[str, str]:
    """The parameters with files in place of ``mlflow:RUN`` and ``mlflow`` in ``human``.

    The answers that the queues hold now are written below the workspace first, one file for each
    queue, and said in a line.

    Raises
    ------
    AssayError
        If a run made no queue, or ``mlflow`` alone does not say which run is meant.
    StoreUnavailable
        If the store fails.
    """
    sources = split_list(params.get(_HUMAN, ""))
    if not any(_is_in_mlflow(source) for source in sources):
        return params
    folder = Path(params["workspace"]) / "questions"
    files: list[str] = []
    for source in sources:
        if _is_in_mlflow(source):
            run_id = source.partition(":")[2] or _only_run()
            files += map(str, _fetched(run_id, folder / run_id))
        else:
            files.append(source)
    return {**params, _HUMAN: ",".join(files)}


def _is_in_mlflow(source: str) -> bool:
    return source == IN_MLFLOW or source.startswith(f"{IN_MLFLOW}:")


def _only_run() -> str:
    """The one run of the store that made review queues."""
    runs = runs_with_queues()
    if len(runs) == 1:
        return runs[0]
    if not runs:
        raise AssayError(
            "human=mlflow needs a review queue; the tracking store has none. Make one first: "
            "mlflow run . --env-manager local -e ask -P to=mlflow ..."
        )
    shown = ", ".join(f"mlflow:{run_id}" for run_id in runs[:_MOST_SHOWN])
    raise AssayError(
        f"human=mlflow must be one review queue; the tracking store has those of {len(runs)} runs. "
        f"Name them, the newest first: {shown}{', ...' if len(runs) > _MOST_SHOWN else ''}"
    )


def as_given(human: str) -> str:
    """``human`` with ``mlflow:RUN`` in place of the files that were written for it.

    So a command for later reads what the queue holds then.
    """
    sources = []
    for source in split_list(human):
        fetched = _FETCHED.search(source)
        sources.append(f"{IN_MLFLOW}:{fetched[1]}" if fetched else source)
    return ",".join(dict.fromkeys(sources))


def _fetched(run_id: str, folder: Path) -> list[Path]:
    """Files with the answers in the queues of a run.

    A file's folder is named by the content, so that another command may still read older answers.
    """
    files: list[Path] = []
    names: set[str] = set()
    for number, queue in enumerate(queues_of(run_id), start=1):
        answers = reviewed_texts(run_id, number, queue)
        print_line(f"human: {_summary(answers, queue)}")
        content = "".join(f"{json.dumps(row)}\n" for row in _rows(answers)).encode()
        digest = hashlib.sha256(content).hexdigest()[:8]
        # An audit calls people by the names of their files.
        name = _NOT_IN_A_NAME.sub("-", queue.person[:_MAX_NAME]) or f"person_{number}"
        name = f"{name}_{number}" if name in names else name
        names.add(name)
        file = folder / f"{_FOLDER}{digest}" / f"{name}.jsonl"
        write_atomically(file, content)
        files.append(file.resolve())
    return files


def _rows(answers: Sequence[ReviewedText]) -> list[dict[str, str]]:
    """Rows in the house's form.

    Several people are named, and texts that none of them labelled are left out. One person alone
    is named by the file, as in the exports of other programs.
    """
    people = {answer.person for answer in answers if answer.label is not None}
    rows = [
        {
            "example_id": answer.example_id,
            "label": answer.label or "",
            REASON: _DECLINED if answer.is_declined else "",
            "comment": answer.comment or "",
            "rater": answer.person or "",
        }
        for answer in sorted(answers, key=lambda one: (one.example_id, one.person or ""))
        if answer.person or len(people) < 2
    ]
    if len(people) < 2:
        for row in rows:
            del row["rater"]
    return rows


def _summary(answers: Sequence[ReviewedText], queue: ReviewQueue) -> str:
    """How many of the texts that were asked about are labelled, in a sentence."""
    texts = {answer.example_id for answer in answers}
    labelled = {answer.example_id for answer in answers if answer.label is not None}
    n_declined = len({answer.example_id for answer in answers if answer.is_declined})
    n_gone = queue.n - len(texts)
    parts = [
        f"{len(labelled)} of {queue.n} texts are labelled",
        *([f"declined: {n_declined}"] if n_declined else []),
        *([f"no longer in the store: {n_gone}"] if n_gone else []),
    ]
    return f"{', '.join(parts)} in the review queue {queue.name!r} of MLflow."
