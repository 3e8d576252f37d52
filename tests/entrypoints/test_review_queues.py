"""Questions in MLflow's review queues, and the labels that people give there."""

from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.entities import AssessmentSource, NoOpSpan
from mlflow.genai import review_queues
from mlflow.genai.label_schemas import (
    InputCategorical,
    create_label_schema,
    delete_label_schema,
    get_label_schema,
    list_label_schemas,
    update_label_schema,
)

from entrypoints import ask
from entrypoints.wiring.command import _with_review_answers
from entrypoints.wiring.review_answers import as_given
from project.config.loading import defaults
from project.data.task import load_task
from project.labels.human import answer_rows, read_human_labels
from project.support.errors import AssayError, Incomplete
from project.tracking import newest_runs, review
from project.tracking.names import EXAMPLE
from project.tracking.reviewed import queues_of
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
        return record, {queue.name: queue.queue_id for queue in queues_of(record.run_id)}

    return run


def label(queue_id, which, value, *, person="default", status="complete"):
    """Label some texts of a queue as the UI does; their ids."""
    schema = get_label_schema(schema_id=review_queues.get_review_queue(queue_id).schema_ids[0])
    ids = []
    for item in sorted(items(queue_id), key=lambda item: item.item_id)[which]:
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
    dogs = label(queue_id, slice(3), "dog")
    (declined,) = label(queue_id, slice(3, 4), None, status="declined")
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
    assert "3 of 6 texts are labelled, declined: 1" in capsys.readouterr().err


def test_a_text_is_shown_as_it_is_with_its_context_above(asked, pets):
    text = "# no heading\n<b>{0}</b> 漢字"
    pets(lambda table: table.assign(text=[f"{text} {n}" for n in range(60)], year=1999))
    _, queues = asked(context_columns="year")
    (queue_id,) = queues.values()
    trace = mlflow.get_trace(items(queue_id)[0].item_id)

    (message,) = trace.data.spans[0].inputs["messages"]
    assert message["content"] == trace.info.request_preview  # what the page of a queue shows
    assert message["content"].startswith(f"year: 1999\n\n{text}")


def test_every_person_has_a_queue_and_a_file_of_their_own(asked, capsys):
    record, queues = asked(raters="2", overlap="2", reviewers="ann,bob")
    for name, queue_id in queues.items():
        person = name.rpartition(" ")[2]
        label(queue_id, slice(4), PEOPLE[person], person=person)
    paths = files(f"mlflow:{record.run_id}")

    users = {name: review_queues.get_review_queue(each).users for name, each in queues.items()}
    assert users == {
        f"pets {record.run_id[:8]} {number} {person}": [person]
        for number, person in enumerate(PEOPLE, start=1)
    }
    assert [len(items(queue_id)) for queue_id in queues.values()] == [4, 4]
    assert [path.stem for path in paths] == ["ann", "bob"]
    assert [set(answer_rows(path)["label"]) for path in paths] == [{"dog"}, {"cat"}]
    assert f"human=mlflow:{record.run_id} " in capsys.readouterr().err


def test_people_who_share_a_queue_are_told_apart(asked, pets):
    _, queues = asked(reviewers="ann,bob")
    (queue_id,) = queues.values()
    for person, value in PEOPLE.items():
        ids = label(queue_id, slice(2), value, person=person)
    (file,) = files("mlflow")
    rows = answer_rows(file)

    assert set(zip(rows["rater"], rows["label"], strict=True)) == set(PEOPLE.items())
    assert read_human_labels(file, load_task(pets(card=ALL))).contradictory == tuple(sorted(ids))


def test_what_one_of_several_people_declined_is_said(asked, pets):
    _, queues = asked(reviewers="ann,bob")
    (queue_id,) = queues.values()
    for number, person in enumerate(PEOPLE):
        label(queue_id, slice(number, number + 1), "dog", person=person)
    (declined,) = label(queue_id, slice(2, 3), None, person="ann", status="declined")
    (file,) = files("mlflow")
    answers = read_human_labels(file, load_task(pets(card=ALL)))

    assert answers.unanswered_because("are declined in MLflow") == [declined]
    assert set(answers.labels) == {"dog"}


def test_the_longest_queue_fits_into_a_tag_of_mlflow():
    labels = tuple(str(n) + "x" * (review.MAX_LABEL_LENGTH - 1) for n in range(review.MAX_LABELS))
    queue = review.ReviewQueue("n" * 250, "p" * 250, "q" * 40, labels, 10**6)

    assert all(len(value) < 8000 for value in review.tags_of_queue(100, queue).values())


def test_an_answer_that_was_changed_counts_once(asked):
    _, queues = asked()
    (queue_id,) = queues.values()
    label(queue_id, slice(1), "dog")
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
    label(queue_id, slice(6), "dog")
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


def test_labels_are_found_whatever_becomes_of_queue_and_question(asked, capsys):
    record, queues = asked()
    (queue_id,) = queues.values()
    label(queue_id, slice(2), "dog")
    schema_id = review_queues.get_review_queue(queue_id).schema_ids[0]
    update_label_schema(schema_id=schema_id, name="Which pet?")
    label(queue_id, slice(2, 3), "dog")
    traces = sorted(item.item_id for item in items(queue_id))
    review_queues.remove_items_from_review_queue(queue_id, item_ids=traces[:1])
    renamed = answer_rows(*files("mlflow"))
    review_queues.delete_review_queue(queue_id)
    delete_label_schema(schema_id=schema_id)
    mlflow.MlflowClient().delete_traces(record.experiment_id, trace_ids=traces[-1:])
    capsys.readouterr()
    left = answer_rows(*files("mlflow"))

    assert sorted(renamed["label"]) == ["", "", "", "dog", "dog", "dog"]
    assert sorted(left["label"]) == ["", "", "dog", "dog", "dog"]
    assert "3 of 6 texts are labelled, no longer in the store: 1" in capsys.readouterr().err


def test_a_text_that_is_declined_after_it_was_labelled_is_declined(asked):
    _, queues = asked()
    (queue_id,) = queues.values()
    label(queue_id, slice(3), "dog")
    label(queue_id, slice(1), None, status="declined")
    rows = answer_rows(*files("mlflow"))

    assert sorted(rows["label"]) == ["", "", "", "", "dog", "dog"]
    assert sorted(rows["no_label_because"])[-2:] == ["", "are declined in MLflow"]


def test_a_question_of_the_same_name_that_asks_otherwise_is_left_alone(asked):
    record, _ = asked()
    (schema,) = (one for one in list_label_schemas(record.experiment_id) if not one.is_default)
    for queue in review_queues.list_review_queues(experiment_id=record.experiment_id):
        review_queues.delete_review_queue(queue.queue_id)
    delete_label_schema(schema_id=schema.schema_id)
    create_label_schema(
        schema.name,
        type="feedback",
        input=schema.input,
        instruction=schema.instruction,
        enable_comment=True,
        experiment_id=record.experiment_id,
    )
    record, _ = asked(ask_seed="1")

    names = {one.name for one in list_label_schemas(record.experiment_id)}
    assert names >= {schema.name, f"{schema.name} (2)"}


@pytest.mark.parametrize("name", ["feedback", "F" * 200])
def test_a_task_may_have_any_name(asked, pets, name):
    pets(card=ALL.replace("name: pets", f"name: {name}"))
    record, queues = asked(reviewers="p" * 240)
    (queue_id,) = queues.values()
    label(queue_id, slice(6), "dog")

    assert set(answer_rows(*files(f"mlflow:{record.run_id}"))["label"]) == {"dog"}


def test_texts_that_mlflow_shows_in_part_are_counted(asked, pets, capsys):
    pets(lambda table: table.assign(text=[f"{n} {'w' * (990 + n)}" for n in range(60)]), ALL)
    asked(n="60")

    assert "note: 51 of 60 texts have more than 1,000 characters." in capsys.readouterr().err


def test_without_traces_no_queue_is_made(asked, monkeypatch):
    with monkeypatch.context() as changed:
        changed.setattr("mlflow.start_span_no_context", lambda *args, **kwargs: NoOpSpan())
        with pytest.raises(AssayError, match="^to=mlflow needs MLflow's traces"):
            asked()

    assert list(review_queues.list_review_queues(experiment_id="1")) == []


def test_texts_that_do_not_reach_the_store_are_counted_and_no_queue_is_made(asked, monkeypatch):
    real = review.stored_traces
    monkeypatch.setattr(review, "stored_traces", lambda *args: real(*args)[2:])

    with pytest.raises(Incomplete, match="^2 of 6 texts did not reach the tracking store"):
        asked()

    assert list(review_queues.list_review_queues(experiment_id="1")) == []


def test_the_next_command_names_the_queue_and_not_what_was_read_from_it(asked):
    record, _ = asked()
    (file,) = files("mlflow")

    assert as_given(f"a.csv,{file},b.csv") == f"a.csv,mlflow:{record.run_id},b.csv"


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
        ({"raters": "2", "reviewers": "Ann,ann"}, "reviewers must be different people"),
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
