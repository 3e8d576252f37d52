"""Questions in MLflow's review queues, and the labels that people give there."""

import json
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.entities import AssessmentSource
from mlflow.genai import review_queues
from mlflow.genai.label_schemas import InputCategorical, get_label_schema

from entrypoints import ask
from entrypoints.wiring.command import _with_review_answers
from project.config.loading import defaults
from project.data.task import load_task
from project.labels.human import answer_rows, read_human_labels
from project.support.errors import AssayError
from project.tracking import newest_runs
from project.tracking.names import EXAMPLE, REVIEW_QUEUES
from tests.helpers.pets import CARD

PEOPLE = {"ann": "dog", "bob": "cat"}
ALL = CARD.replace("train: 20", "train: 40")
"""A card in which every text is an example."""


@pytest.fixture
def asked(store, pets):
    """A function that asks in MLflow; it returns the run and its queues by name."""
    task = pets(card=ALL).task

    def run(**params):
        given = {"task": task, "design": "audit", "n": "6", "to": "mlflow", "workspace": "work"}
        ask.ask({**defaults("ask"), **given, **params})
        (record, *_) = next(newest_runs("questions", page_size=1))
        return record, json.loads(record.tags[REVIEW_QUEUES])

    return run


def label(queue_id, n, value, *, person="default", status="complete"):
    """Label the first ``n`` texts of a queue as the UI does; their ids."""
    schema = get_label_schema(schema_id=review_queues.get_review_queue(queue_id).schema_ids[0])
    ids = []
    for item in sorted(items(queue_id), key=lambda item: item.item_id)[:n]:
        if value is not None:
            mlflow.log_expectation(
                trace_id=item.item_id,
                name=schema.name,
                value=value,
                source=AssessmentSource("HUMAN", person),
            )
        review_queues.set_review_queue_item_status(
            queue_id, item_id=item.item_id, status=status, completed_by=person
        )
        ids.append(mlflow.get_trace(item.item_id).info.tags[EXAMPLE])
    return ids


def items(queue_id):
    return list(review_queues.list_review_queue_items(queue_id))


def files(human):
    """The files that stand for ``human``."""
    params = _with_review_answers({"human": human, "workspace": "work"})
    return [Path(name) for name in params["human"].split(",")]


def test_people_label_in_mlflow_and_human_reads_what_they_chose(asked, pets, capsys):
    record, queues = asked()
    (queue_id,) = queues.values()
    printed = capsys.readouterr().err
    dogs = label(queue_id, 3, "dog")
    (declined,) = set(label(queue_id, 4, None, status="declined")) - set(dogs)
    (file,) = files(f"mlflow:{record.run_id}")
    answers = read_human_labels(file, load_task(pets(card=ALL)))

    questions = pd.read_csv(f"work/questions/{record.run_id}/questions.csv", dtype=str)
    assert {mlflow.get_trace(each.item_id).info.tags[EXAMPLE] for each in items(queue_id)} == set(
        questions["example_id"]
    )
    assert answers.labels.to_dict() == dict.fromkeys(dogs, "dog")
    assert answers.unanswered_because("are declined in MLflow") == [declined]
    assert len(answers.unanswered) == 3
    assert f"human=mlflow:{record.run_id}" in printed
    assert f"review-queue?selectedQueueId={queue_id}" in printed
    assert "3 of 6 texts are labelled, 1 declined" in capsys.readouterr().err


def test_a_text_is_shown_as_it_is_with_its_context_above(asked, pets):
    text = "# no heading\n<b>{0}</b> 漢字"
    pets(lambda table: table.assign(text=[f"{text} {n}" for n in range(60)], year=1999))
    _, queues = asked(context_columns="year")
    (queue_id,) = queues.values()
    trace = mlflow.get_trace(items(queue_id)[0].item_id)

    context, message = trace.data.spans[0].inputs["messages"]
    assert context == {"role": "system", "content": "year: 1999"}
    assert message["role"] == "user"
    assert message["content"].startswith(text)
    assert trace.info.request_preview.startswith(text)


def test_every_person_has_a_queue_and_a_file_of_their_own(asked, capsys):
    record, queues = asked(raters="2", overlap="2", reviewers="ann,bob")
    for name, queue_id in queues.items():
        person = name.rpartition(" ")[2]
        label(queue_id, 4, PEOPLE[person], person=person)
    paths = files(f"mlflow:{record.run_id}")

    users = {name: review_queues.get_review_queue(each).users for name, each in queues.items()}
    assert users == {f"pets {record.run_id[:8]} {person}": [person] for person in PEOPLE}
    assert [len(items(queue_id)) for queue_id in queues.values()] == [4, 4]
    assert [path.stem.rpartition("-")[2] for path in paths] == ["ann", "bob"]
    assert [set(answer_rows(path)["label"]) for path in paths] == [{"dog"}, {"cat"}]
    assert f"human=mlflow:{record.run_id} " in capsys.readouterr().err


def test_people_who_share_a_queue_are_told_apart(asked, pets):
    _, queues = asked(reviewers="ann,bob")
    (queue_id,) = queues.values()
    for person, value in PEOPLE.items():
        ids = label(queue_id, 2, value, person=person)
    (file,) = files("mlflow")
    rows = answer_rows(file)

    assert set(zip(rows["rater"], rows["label"], strict=True)) == set(PEOPLE.items())
    assert read_human_labels(file, load_task(pets(card=ALL))).contradictory == tuple(sorted(ids))


def test_an_answer_that_was_changed_counts_once(asked):
    _, queues = asked()
    (queue_id,) = queues.values()
    label(queue_id, 1, "dog")
    trace = min(item.item_id for item in items(queue_id))
    (first,) = mlflow.get_trace(trace).info.assessments
    mlflow.update_assessment(
        trace, first.assessment_id, mlflow.entities.Expectation(name=first.name, value="cat")
    )
    (file,) = files("mlflow")

    assert sorted(answer_rows(file)["label"]) == ["", "", "", "", "", "cat"]


def test_answers_that_come_later_are_another_file(asked):
    _, queues = asked()
    (queue_id,) = queues.values()
    (early,) = files("mlflow")
    label(queue_id, 6, "dog")
    (late,) = files("mlflow")

    assert set(answer_rows(early)["label"]) == {""}
    assert set(answer_rows(late)["label"]) == {"dog"}


def test_the_same_question_is_asked_again_and_another_one_has_a_title_of_its_own(asked, pets):
    schemas = []
    for animal in ("dog", "dog", "bird"):
        pets(lambda table, to=animal: table.replace("dog", to), CARD.replace("dog", animal))
        _, queues = asked(n="2")
        (queue_id,) = queues.values()
        schemas.append(review_queues.get_review_queue(queue_id).schema_ids[0])
    first, again, other = (get_label_schema(schema_id=each) for each in schemas)

    assert first.schema_id == again.schema_id
    assert other.name == f"{first.name} (2)"
    assert isinstance(other.input, InputCategorical)
    assert set(other.input.options) == {"bird", "cat"}


def test_mlflow_alone_must_be_one_review_queue(asked):
    with pytest.raises(AssayError, match="the tracking store has none"):
        files("mlflow")
    first, _ = asked()
    second, _ = asked(ask_seed="1")

    with pytest.raises(AssayError, match=f"mlflow:{second.run_id}, mlflow:{first.run_id}"):
        files("mlflow")


def test_a_run_without_a_queue_is_no_source_of_labels(asked):
    record, _ = asked()
    run_id = mlflow.MlflowClient().create_run(record.experiment_id).info.run_id

    with pytest.raises(AssayError, match="^human must name a run .* made no review queue"):
        files(f"mlflow:{run_id}")
    with pytest.raises(AssayError, match="^human must name a run .* is not in the tracking store"):
        files("mlflow:12ab")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"private": "true"}, "to=mlflow needs private=false"),
        ({"show_llm": "true"}, "to=mlflow needs show_llm=false"),
        ({"to": "files", "reviewers": "ann"}, "reviewers needs to=mlflow"),
        ({"raters": "3", "reviewers": "ann,bob"}, "reviewers must name raters=3 people"),
        ({"reviewers": ",".join("abcdefghijk")}, "reviewers must name at most 10 people"),
    ],
)
def test_what_a_queue_cannot_do_is_refused_and_leaves_no_run(asked, params, message):
    with pytest.raises(AssayError, match=message):
        asked(**params)

    assert next(newest_runs("questions", page_size=1)) == []


@pytest.mark.parametrize("labels", [["cat", "x" * 65], [f"kind {n}" for n in range(11)]])
def test_labels_that_mlflow_cannot_offer_are_refused(asked, pets, labels):
    card = CARD.replace("[cat, dog]", f"[{', '.join(labels)}]")
    pets(lambda table: table.assign(label=[labels[n % len(labels)] for n in range(60)]), card)

    with pytest.raises(AssayError, match="to=mlflow needs at most 10 labels of at most 64 char"):
        asked()
