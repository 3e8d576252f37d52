"""What a run says about the answers of people that it does not use, and about open questions."""

import pandas as pd

from entrypoints.wiring.conditions import Condition
from entrypoints.wiring.human_answers import note_on_answers
from project.config.arms import Arm
from project.config.finetune import FinetuneConfig
from project.labels.human import HumanLabels


def condition_of(arm, task, used, unanswered):
    """An arm that uses these answers and has these open questions."""
    labels = pd.DataFrame({"example_id": used, "label": "books", "source": "human"})
    return Condition(
        arm=arm,
        name=arm.name,
        examples=task.split("train"),
        labels=labels,
        validation=task.split("validation"),
        config=FinetuneConfig(),
        seeds=range(1),
        n_questions=len(used) + len(unanswered),
        unanswered=tuple(unanswered),
    )


def answers_of(ids, **more):
    empty = {"unanswered": (), "contradictory": (), "unknown": ()}
    return HumanLabels(pd.Series("books", index=ids), **{**empty, **more})


def test_every_reason_is_named_with_its_count(small_task):
    train, test = (list(small_task.split(name)["example_id"]) for name in ("train", "test"))
    several = "have several labels"
    answers = answers_of(
        [*train[:3], *test[:2]],
        unanswered=tuple(train[3:6]),
        contradictory=(train[6],),
        reasons={train[3]: several, train[4]: several},
    )
    condition = condition_of(Arm("random", 25.0), small_task, train[:2], train[3:9])

    assert note_on_answers([condition], answers, small_task) == (
        "human: 3 of 5 answers are unused (2 of test texts, 1 of training texts that no label "
        "source asks about); questions without an answer: random_25 6 of 8 (2 have several "
        "labels, 2 not in the files, 1 have no label in them, 1 are labelled in two ways). These "
        "texts keep the LLM's label, or are left out where the arm does not read it."
    )


def test_an_arm_with_an_audit_asks_for_the_answers_of_all_rounds(small_task):
    train = list(small_task.split("train")["example_id"])
    condition = condition_of(Arm("learned", 25.0), small_task, train[:2], train[2:4])

    note = note_on_answers([condition], answers_of(train[:2]), small_task)

    assert note.startswith("human: all 2 answers are used; questions without an answer: learned_25")
    assert note.endswith("Name the answers of all rounds together: human=FIRST,SECOND.")


def test_nothing_is_said_where_every_answer_is_used_and_every_question_answered(small_task):
    train = list(small_task.split("train")["example_id"])
    condition = condition_of(Arm("random", 25.0), small_task, train[:2], [])

    assert note_on_answers([condition], answers_of(train[:2]), small_task) == ""
    assert note_on_answers([condition], None, small_task) == ""
