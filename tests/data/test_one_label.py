"""Cards with several labels a text: one label is a question of its own, yes or no."""

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from project.annotation.engines.recorded import RecordedAnnotator
from project.config.annotation import RecordedConfig
from project.config.audit import PoolConfig
from project.config.task import TaskConfig
from project.data.pool import load_pool
from project.data.suite import read_suite
from project.data.task import load_task
from project.labels.human import read_human_labels
from project.support.errors import AssayError

CARD = """
name: letters
description: What is the letter about?
source: {file: letters.csv}
columns: {text: text, label: topics}
labels: [billing, delivery, app]
label_type: multi
split: {demonstration: 6, train: 36, validation: 10, test: 20}
"""
SETS = ["billing", "billing;delivery", "app", "delivery ; app", "Billing", "delivery"]


@pytest.fixture
def task(tmp_path, monkeypatch):
    """A function that writes the card and its 72 rows, and loads one label."""
    monkeypatch.chdir(tmp_path)

    def load(label="billing", sets=SETS, card=CARD, **changes):
        cells = [sets[number % len(sets)] for number in range(72)]
        table = pd.DataFrame({"text": [f"letter {n}" for n in range(72)], "topics": cells})
        for name in ("billing", "delivery", "app"):
            table[f"is_{name}"] = [int(name in str(cell).lower()) for cell in cells]
        table.to_csv("letters.csv", index=False)
        (tmp_path / "letters.yaml").write_text(card)
        return load_task(TaskConfig(task="letters.yaml", label=label, **changes))

    return load


def gold(task):
    return task.examples.set_index("text")["gold_label"]


def test_a_label_is_a_task_of_two_classes(task):
    found = task("billing")

    assert found.label_set == ("no", "yes")
    assert found.name == "letters billing"
    assert "Does the label billing fit the text?" in found.description
    labels = gold(found)
    assert labels["letter 0"] == "yes"  # billing
    assert labels["letter 1"] == "yes"  # billing;delivery
    assert labels["letter 3"] == "no"  # delivery ; app
    assert labels["letter 4"] == "yes"  # Billing


def test_all_labels_of_a_card_share_their_splits(task):
    splits = [task(label).examples.set_index("text")["split"] for label in ("billing", "app")]

    assert splits[0].equals(splits[1].reindex(splits[0].index))


def test_a_column_for_each_label_reads_the_same(task):
    of_sets = gold(task("delivery"))
    of_columns = gold(task("delivery", label_column="is_{label}"))

    assert of_sets.equals(of_columns)


@pytest.mark.parametrize(
    "cell", [json.dumps(["billing", "app"]), "billing;app", "{'billing': 1, 'app': 1}"]
)
def test_lists_mappings_and_separators_are_read(task, cell):
    found = task("app", sets=[cell, "delivery", "[]"])

    assert gold(found)["letter 0"] == "yes"
    assert gold(found)["letter 1"] == "no"
    assert gold(found)["letter 2"] == "no"  # an empty list names no label


def test_another_separator(task):
    found = task("app", sets=["billing|app", "delivery"], card=f"{CARD}separator: '|'\n")

    assert gold(found)["letter 0"] == "yes"


@pytest.mark.parametrize(
    ("cell", "answer"),
    [
        ('{"app": "1"}', "yes"),
        ('{"app": "0.4", "billing": "true"}', "no"),
        ('{"app": null, "billing": 1}', "no"),
        ('["none"]', "no"),
    ],
)
def test_shares_as_texts_and_the_word_none_in_a_list_are_read(task, cell, answer):
    assert gold(task("app", sets=[cell, "app", "delivery"]))["letter 0"] == answer


def test_what_is_no_share_of_a_label_is_refused(task):
    with pytest.raises(AssayError, match=r"36 cells name 'app: 3'"):
        task("app", sets=['{"app": 3, "billing": 1}', "app"])


def test_none_is_a_label_where_the_card_says_so(task):
    mapped = task("app", sets=["None", "billing"], card=f"{CARD}values: {{none: app}}\n")

    assert gold(mapped)["letter 0"] == "yes"


@pytest.mark.parametrize(
    ("label", "rule"), [("a;b", "has the separator ';' in it"), ("No", "must not be called 'No'")]
)
def test_labels_that_cells_cannot_tell_apart_are_refused(task, label, rule):
    with pytest.raises(AssayError, match=rule):
        task("billing", card=CARD.replace("app]", f"'{label}']"))


def test_an_unknown_label_in_the_data_is_refused_with_its_number(task):
    with pytest.raises(AssayError, match=r"36 cells name 'bills'\. Map it to a label under"):
        task("app", sets=["bills", "app"])


def test_a_null_is_not_known_and_no_empty_set(task):
    with pytest.raises(AssayError, match="null label"):
        task("app", sets=[None, "app", "delivery"])


def test_a_label_that_nobody_uses_is_named(task):
    with pytest.raises(AssayError, match=r"topics must hold at least two classes; found 'no'"):
        task("app", sets=["billing", "delivery"])


def test_without_a_label_the_card_is_refused_with_the_way_out(task):
    with pytest.raises(AssayError, match=r"billing, delivery, app\. Set label=NAME, or judge all"):
        task("")
    with pytest.raises(AssayError, match=r"label must be one of app, billing, delivery"):
        task("apps")


def test_a_label_of_another_card_is_refused():
    with pytest.raises(AssayError, match="label must be empty for the task catalogue"):
        load_task(TaskConfig(label="book"))


def test_a_suite_takes_every_label_as_a_task(task):
    task("app")
    found = read_suite("letters.yaml", {"seeds": "2"})

    assert [one.name for one in found] == ["letters billing", "letters delivery", "letters app"]
    assert [one.params["label"] for one in found] == ["billing", "delivery", "app"]


def test_a_label_in_a_suite_stands_in_an_entry(task, tmp_path):
    task("app")
    entries = "[{task: letters.yaml, label: app}, {task: letters.yaml, label: billing}]"
    Path("suite.yaml").write_text(f"tasks: {entries}")
    assert [one.params["label"] for one in read_suite("suite.yaml", {})] == ["app", "billing"]

    Path("suite.yaml").write_text(f"parameters: {{label: app}}\ntasks: {entries}")
    with pytest.raises(AssayError, match="label belongs to one task of a suite"):
        read_suite("suite.yaml", {})


def recorded(loaded, columns):
    """The answers of the first draw by text."""
    annotator = RecordedAnnotator(
        RecordedConfig(recorded="llm.csv", recorded_columns=columns), loaded
    )
    texts = [f"letter {number}" for number in range(6)]
    (prompt, *_) = annotator.prompts(1)
    return annotator, annotator.read(prompt, texts)


def test_recorded_sets_are_read_for_the_label(task):
    loaded = task("app")
    cells = ["app", "billing", "billing;app", "[]", "apps;billing", None]
    pd.DataFrame({"text": [f"letter {n}" for n in range(6)], "gpt": cells}).to_csv("llm.csv")
    annotator, answers = recorded(loaded, "gpt")

    assert answers.label.tolist() == [1, 0, 1, 0, -1, -1]
    assert "1 cells of 'gpt' name a label that the task lacks" in annotator.notes[0]


def test_recorded_answers_to_the_question_of_one_label_are_read(task):
    loaded = task("app")
    cells = ["yes", "no", "Yes", "no", "app", None]
    pd.DataFrame({"text": [f"letter {n}" for n in range(6)], "gpt": cells}).to_csv("llm.csv")
    annotator, answers = recorded(loaded, "gpt")

    assert answers.label.tolist() == [1, 0, 1, 0, 1, -1]
    assert annotator.notes == []


def test_a_pattern_names_sets_and_groups_of_probabilities(task):
    loaded = task("app")
    table = pd.DataFrame({"text": [f"letter {n}" for n in range(6)], "gpt_a": "app"})
    shares = {f"gpt_p.{label}": 0.1 for label in ("billing", "delivery", "app")}
    table.assign(**shares).to_csv("llm.csv", index=False)
    annotator, answers = recorded(loaded, "gpt_*")

    assert annotator.draws == ["gpt_a", "gpt_p"]
    assert answers.label.tolist() == [1] * 6
    assert annotator.read(annotator.prompts(2)[1], ["letter 0"]).label.tolist() == [0]


def test_one_llm_has_one_name_for_all_labels(task):
    table = pd.DataFrame({"text": [f"letter {n}" for n in range(6)], "g_app": 1, "g_billing": 0})
    names = set()
    for label in ("app", "billing"):
        loaded = task(label)
        table.to_csv("llm.csv", index=False)
        names.add(recorded(loaded, "g_{label}")[0].name)

    assert names == {"llm.csv (g_{label})"}


def test_a_label_that_would_be_a_pattern_needs_no_column_of_its_own(task):
    loaded = task("*", sets=["*", "app"], card=CARD.replace("delivery", "'*'"))
    pd.DataFrame({"text": ["letter 0"], "g_app": [1], "g_*": [0]}).to_csv("llm.csv", index=False)

    with pytest.raises(AssayError, match="a label has a comma or an asterisk"):
        recorded(loaded, "g_{label}")


def test_recorded_columns_of_each_label_and_their_probabilities(task):
    loaded = task("app")
    table = pd.DataFrame(
        {
            "text": [f"letter {n}" for n in range(6)],
            "gpt_app": [1, 0, 1, 0, 0, 1],
            "p.app": [0.9, 0.2, 0.6, 0.1, 0.4, 1.0],
            "p.billing": 0.5,
            "p.delivery": 0.5,
        }
    )
    table.to_csv("llm.csv", index=False)

    assert recorded(loaded, "gpt_{label}")[1].label.tolist() == [1, 0, 1, 0, 0, 1]
    _, answers = recorded(loaded, "p")
    assert answers.label.tolist() == [1, 0, 1, 0, 0, 1]
    assert answers.log_probabilities[0, 1] == pytest.approx(-0.1053605)


def test_a_pool_reads_human_sets_for_the_label(task):
    task("app")
    config = TaskConfig(task="letters.yaml", label="app", data="letters.csv")
    found = load_pool(config, PoolConfig(human_column="topics"))

    labels = found.examples.set_index("text")["gold_label"]
    assert labels["letter 2"] == "yes"
    assert labels["letter 0"] == "no"


def answers(loaded, rows):
    """What people's answers say of the one label, by the number of the letter."""
    ids = loaded.examples.set_index("text")["example_id"]
    lines = [json.dumps({"example_id": ids[f"letter {n}"], **row}) for n, row in rows.items()]
    Path("people.jsonl").write_text("\n".join(lines))
    found = read_human_labels(Path("people.jsonl"), loaded)
    numbers = {value: key for key, value in ids.items()}
    return {int(numbers[name].split()[1]): label for name, label in found.labels.items()}, found


def test_people_name_all_labels_of_a_text_at_once(task):
    rows = {
        0: {"label": ["app", "billing"]},
        1: {"label": ["billing"]},
        2: {"label": []},
        3: {"label": "delivery; app"},
        4: {"label": "none"},
        5: {"label": ""},
        6: {"label": "", "unsure": True},
    }
    labels, found = answers(task("app"), rows)

    assert labels == {0: "yes", 1: "no", 2: "no", 3: "yes", 4: "no"}
    assert len(found.unanswered) == 2


def test_answers_to_the_question_of_one_label_are_read_too(task):
    labels, _ = answers(task("app"), {0: {"label": "yes"}, 1: {"label": "no"}, 2: {"label": "1"}})

    assert labels == {0: "yes", 1: "no", 2: "yes"}


def test_an_answer_of_people_that_may_be_a_label_too_is_refused(task):
    loaded = task("app", card=f"{CARD}values: {{1: billing, 2: app}}\n")

    with pytest.raises(AssayError, match=r"'1' may say yes to the label app or name the label bil"):
        answers(loaded, {0: {"label": "1"}})
    assert answers(loaded, {0: {"label": "2"}, 1: {"label": ["1"]}})[0] == {0: "yes", 1: "no"}


def test_a_label_of_people_that_the_card_lacks_is_refused(task):
    with pytest.raises(AssayError, match="1 cells name 'apps'"):
        answers(task("app"), {0: {"label": ["apps"]}})


def label_studio(loaded, choices):
    """An export of Label Studio in which one person ticked these choices."""
    ids = loaded.examples.set_index("text")["example_id"]
    tasks = []
    for number, ticked in choices.items():
        result = {
            "from_name": "label",
            "to_name": "text",
            "type": "choices",
            "value": {"choices": ticked},
        }
        annotation = {"completed_by": 1, "result": [result] if ticked else []}
        data = {"example_id": ids[f"letter {number}"], "text": f"letter {number}"}
        tasks.append({"data": data, "annotations": [annotation]})
    Path("export.json").write_text(json.dumps(tasks))
    return read_human_labels(Path("export.json"), loaded).labels


def test_label_studio_with_several_choices_is_read(task):
    loaded = task("app")
    labels = label_studio(loaded, {0: ["app", "billing"], 1: ["billing"], 2: []})

    assert sorted(labels) == ["no", "no", "yes"]


def test_an_export_that_hides_texts_with_several_labels_is_refused(task):
    loaded = task("app")
    ids = loaded.examples.set_index("text")["example_id"]
    rows = [
        {"text": "letter 0", "example_id": ids["letter 0"], "accept": ["app", "billing"]},
        {"text": "letter 1", "example_id": ids["letter 1"], "accept": ["app"]},
    ]
    lines = [
        json.dumps({**row, "answer": "accept", "options": [{"id": "app", "text": "app"}]})
        for row in rows
    ]
    Path("prodigy.jsonl").write_text("\n".join(lines))

    with pytest.raises(AssayError, match="must hold all labels of a text"):
        read_human_labels(Path("prodigy.jsonl"), loaded)


def splits_by_label(task, sets, **changes):
    """The split of each text by label."""
    found = {}
    for label in ("billing", "delivery", "app"):
        loaded = task(label, sets=sets, **changes)
        found[label] = loaded.examples.set_index("text")[["split", "gold_label"]]
    return found


def test_a_label_of_three_texts_is_in_every_split_that_is_trained_or_scored(task):
    sets = ["app" if n in (5, 30, 51) else "billing" if n % 2 else "delivery" for n in range(72)]
    found = splits_by_label(task, sets)["app"]

    where = found["split"][found["gold_label"] == "yes"]
    assert sorted(where) == ["test", "train", "validation"]


def test_all_labels_share_their_splits_where_one_is_not_known_everywhere(task, tmp_path):
    task("app")
    table = pd.read_csv("letters.csv", dtype=str)
    table.loc[::5, "is_app"] = None
    table.to_csv("partly.csv", index=False)
    config = TaskConfig(
        task="letters.yaml", data="partly.csv", label_column="is_{label}", bad_rows="drop"
    )
    tables = [
        load_task(dataclasses.replace(config, label=label)).examples for label in ("billing", "app")
    ]
    billing, app = (table.set_index("text")["split"] for table in tables)

    assert len(app) < len(billing)
    assert app.equals(billing.reindex(app.index))


def test_texts_without_known_labels_are_trained_on_alone(task):
    sets = ["billing", "delivery", "app", "billing;app", None, None]
    found = splits_by_label(task, sets, unlabelled=True)

    for table in found.values():
        assert set(table["split"][table["gold_label"].isna()]) == {"train"}
    assert found["app"]["split"].equals(found["billing"]["split"].reindex(found["app"].index))


def test_the_test_split_does_not_depend_on_the_size_of_training(task):
    found = [task("app", max_train=size).split("test")["text"] for size in (10, 30)]

    assert set(found[0]) == set(found[1])


def test_a_pool_has_the_demonstrations_of_the_other_entry_points(task):
    loaded = task("app")
    config = TaskConfig(task="letters.yaml", label="app", data="letters.csv")
    pool = load_pool(config, PoolConfig(human_column="topics"), n_demonstrations=2)

    shown = [set(one.split("demonstration")["text"]) for one in (loaded, pool.task)]
    assert shown[0] == shown[1]
