"""The tasks of a suite: named, in a folder, or listed in a file with parameters of their own."""

import pytest

from project.data.suite import read_suite
from project.support.errors import AssayError

CARD = """
name: {name}
description: Cat or dog?
source: {{file: pets.csv}}
columns: {{text: text, label: label}}
labels: [cat, dog]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two cards and the labels of an LLM, away from the working folder."""
    place = tmp_path / "cards"
    place.mkdir()
    for name in ("cats", "dogs"):
        (place / f"{name}.yaml").write_text(CARD.format(name=name))
    (place / "pets.csv").write_text("text,label\n")
    (place / "llm.csv").write_text("text,label\n")
    (place / "notes.yaml").write_text("seeds: 3\n")
    monkeypatch.chdir(tmp_path)
    return place


def listed(folder, text):
    """The path of a file that lists tasks."""
    path = folder / "suite.yml"
    path.write_text(text)
    return str(path)


def test_cards_are_named_one_by_one_or_by_their_folder(folder):
    named = read_suite("imdb,cards/dogs.yaml", {"seeds": "3"})
    of_folder = read_suite("cards", {})

    assert [task.name for task in named] == ["imdb", "dogs"]
    assert {task.params["seeds"] for task in named} == {"3"}
    assert [task.params["task"] for task in of_folder] == ["cards/cats.yaml", "cards/dogs.yaml"]


def test_parameters_of_a_task_come_before_the_command_and_those_of_all_tasks_after_it(folder):
    path = listed(
        folder,
        """
parameters: {alpha: [5, 10], seeds: 2, max_train: 30}
tasks:
  - cats.yaml
  - {task: cats.yaml, name: cats again, group: GPT-4, replace_share: 25, recorded: llm.csv}
  - {task: imdb, seeds: 7, recorded: elsewhere.csv}
""",
    )

    cats, again, imdb = read_suite(path, {"max_test": "50", "seeds": "4"})

    assert (cats.name, again.name, imdb.name) == ("cats", "cats again", "imdb")
    assert (cats.group, again.group) == ("", "GPT-4")
    assert cats.params["task"] == "cards/cats.yaml".replace("cards", str(folder))
    assert again.params["recorded"] == f"{folder}/llm.csv"
    assert imdb.params["recorded"] == "elsewhere.csv"
    assert [task.params["replace_share"] for task in (cats, again)] == ["5,10", "25"]
    assert [task.params["seeds"] for task in (cats, again, imdb)] == ["4", "4", "7"]
    assert {task.params["max_train"] for task in (cats, again, imdb)} == {"30"}
    assert {task.params["max_test"] for task in (cats, again, imdb)} == {"50"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks: cats.yaml", "'tasks' in .* must be a list of tasks; got 'cats.yaml'"),
        ("tasks: []", "must be a list of tasks"),
        ("tasks: [{seeds: 3}]", "entry 1 is"),
        ("tasks: [cats.yaml, dogs.yaml]\nparameters: 3", "'parameters' in .* must hold names"),
        ("seeds: 3", "keys 'tasks' and 'parameters' alone; got 'seeds'"),
        ("tasks: [cats.yaml, cats.yaml]", "names that differ; 'cats' stands several times"),
        ("tasks: [cats.yaml]", "at least two tasks"),
        ("tasks: [cats.yaml, {task: dogs.yaml, sedes: 3}]", "task .*dogs.yaml: .*'sedes'.*'seeds'"),
        ("tasks: [cats.yaml, {task: dogs.yaml, seeds: 0}]", "task .*dogs.yaml: seeds must be"),
        ("tasks: [cats.yaml, {task: dogs.yaml, reuse: none}]", "reuse holds for the whole suite"),
        ("tasks: [cats.yaml, {task: dogs.yaml, 1: 2}]", "parameters must have names; got 1"),
        ("tasks: [cats.yaml, {task: dogs.yaml, name: 0}]", "'name' of entry 2 .* must be text"),
        ("a: [", "cannot be read"),
        ("- a", "holds no names and values"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_entry_at_fault(folder, text, message):
    with pytest.raises(AssayError, match=message):
        read_suite(listed(folder, text), {})


def test_everything_that_is_wrong_with_the_tasks_is_said_together(folder):
    path = listed(folder, "tasks: [birds.yaml, {task: dogs.yaml, seeds: 0, max_test: 0}, imdbb]")

    with pytest.raises(AssayError) as refused:
        read_suite(path, {})

    texts = [str(error) for error in (refused.value, *refused.value.others)]
    assert len(texts) == 4
    assert "birds.yaml does not exist" in texts[0]
    assert all("dogs.yaml: " in text for text in texts[1:3])
    assert "imdb" in texts[3]


def test_names_without_a_card_and_folders_without_cards_are_refused(folder, tmp_path):
    (tmp_path / "empty").mkdir()

    with pytest.raises(AssayError, match="tasks must be names .*; got ''"):
        read_suite("", {})
    with pytest.raises(AssayError, match="use the entry point main"):
        read_suite("imdb", {})
    with pytest.raises(AssayError, match="empty has none"):
        read_suite("empty", {})
    with pytest.raises(AssayError, match="cannot be read: .*missing.yaml"):
        read_suite("missing.yaml", {})
