"""The answers of people in the files ``human``: which are used, and why others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from entrypoints.wiring.conditions import Condition
from entrypoints.wiring.terminal import print_line
from project.config.experiment import ExperimentConfig
from project.data.task import Task
from project.labels.human import CONTRADICTORY, HumanLabels, read_human_labels

_NOT_IN_FILES = "not in the files"


def human_answers(task: Task, config: ExperimentConfig) -> HumanLabels | None:
    """Human labels from the files ``human``; None without a file.

    Prints what in the files cannot be used.
    """
    files = config.label.human_files
    if not files:
        return None
    answers = read_human_labels([Path(name).expanduser() for name in files], task)
    for note in answers.notes():
        print_line(note)
    return answers


def note_on_answers(
    conditions: Sequence[Condition], answers: HumanLabels | None, task: Task
) -> str:
    """How many answers no condition uses, and which questions have none, each with the reasons.

    Empty where every answer is used and every question is answered.

    Parameters
    ----------
    conditions
        Everything that is trained.
    answers
        The answers of people; None without files.
    task
        The task, for the splits of its examples.
    """
    if answers is None:
        return ""
    used: set[str] = set()
    for condition in conditions:
        for table in (condition.labels, condition.validation):
            if "source" in table:  # validation by gold labels has none
                used.update(table.loc[table["source"] == "human", "example_id"])
    unused = unused_answers(answers, used, task)
    open_questions = [
        f"{condition.name} {len(condition.unanswered)} of {condition.n_questions} "
        f"({_counts(_why_open(condition.unanswered, answers))})"
        for condition in conditions
        if condition.unanswered
    ]
    if not open_questions:
        return f"{unused}." if unused else ""
    unused = unused or f"human: all {len(answers.labels)} answers are used"
    learns = any(condition.arm.facts.audit and condition.unanswered for condition in conditions)
    rounds = " Name the answers of all rounds together: human=FIRST,SECOND." if learns else ""
    return (
        f"{unused}; questions without an answer: {', '.join(open_questions)}. These texts keep the "
        f"LLM's label, or are left out where the arm does not read it.{rounds}"
    )


def unused_answers(answers: HumanLabels, used: Collection[str], task: Task) -> str:
    """How many answers are not used, and why; "" where all are.

    Parameters
    ----------
    answers
        The answers of people.
    used
        Ids of the examples whose answer is used.
    task
        The task, for the splits of its examples.
    """
    split_of = task.examples.set_index("example_id")["split"]
    unused = [name for name in answers.labels.index if name not in used]
    if not unused:
        return ""
    reasons = [
        "of training texts that no label source asks about"
        if split_of[name] == "train"
        else f"of {split_of[name]} texts"
        for name in unused
    ]
    return f"human: {len(unused)} of {len(answers.labels)} answers are unused ({_counts(reasons)})"


def _why_open(ids: Iterable[str], answers: HumanLabels) -> list[str]:
    """Why each of these questions has no answer."""
    contradictory = set(answers.contradictory)
    empty = set(answers.unanswered)
    reasons = []
    for name in ids:
        if name in contradictory:
            reasons.append(CONTRADICTORY)
        elif name in empty:
            reasons.append(answers.reasons.get(name, "have no label in them"))
        else:
            reasons.append(_NOT_IN_FILES)
    return reasons


def _counts(reasons: Iterable[str]) -> str:
    """The reasons with their counts, the commonest first."""
    return ", ".join(f"{n} {reason}" for reason, n in Counter(reasons).most_common())
