"""The entry point init on files with several labels a text: its card and its commands work."""

from pathlib import Path

import pandas as pd
import pytest

from analysis.questions.suite_scored import read_scored
from analysis.questions.suite_sets import sets_section
from entrypoints import init
from entrypoints.wiring import suite_processes
from project.config.entry_points import ENTRY_POINTS
from project.config.loading import defaults, effective
from project.config.task import TaskConfig
from project.data.card import load_card
from project.data.suite import read_suite
from project.data.task import load_task
from project.tracking import latest_root, read_json, read_run
from tests.helpers import forked, topics
from tests.helpers.init_pages import commands, start, support

pytestmark = pytest.mark.xdist_group("label-sets")
SETS: tuple[list[str], ...] = (["Billing"], ["Delivery"], ["Billing", "Delivery"], [])
WORDS = {"Billing": "invoice", "Delivery": "parcel"}


@pytest.fixture
def propose(store, monkeypatch, capsys):
    """A function that looks at a table; returns what is printed."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(table, **given):
        table.to_csv("letters.csv", index=False)
        init.init({**defaults("init"), "data": "letters.csv", **given})
        return capsys.readouterr().err

    return run


def sets(n):
    """The labels of each text."""
    return [SETS[number % len(SETS)] for number in range(n)]


def letters(n, **columns):
    """Texts that name their labels' words, and further columns."""
    words = [" and ".join(WORDS[name] for name in one) or "weather" for one in sets(n)]
    texts = [f"letter {number} about the {word}" for number, word in enumerate(words)]
    return pd.DataFrame({"text": texts, **columns})


def with_columns(n=96):
    """Texts with a column for each label: one usual, one rare, one that no text has.

    Two cells are missing. The LLM leaves out Delivery where a text has Billing, too.
    """
    own: dict[str, list[object]] = {
        "is_Delivery": [int("Delivery" in one) for one in sets(n)],
        "is_Rare": [int(number in (5, 50)) for number in range(n)],
        "is_Unused": [0] * n,
    }
    own["is_Delivery"][0], own["is_Rare"][1] = None, "NA"
    return letters(n, **own, gpt_Delivery=[int(one == ["Delivery"]) for one in sets(n)], gpt_Rare=0)


@pytest.fixture
def finished(propose, store, once, monkeypatch):
    """What init prints, in the store after the suite that it prints, with logistic regressions."""
    file = Path("printed.txt")

    def make():
        file.write_text(propose(with_columns()))
        forked.forkserver()
        monkeypatch.setattr(suite_processes, "Popen", forked.Popen)
        found = commands(file.read_text())["suite"]
        assert found == ["config=run.yaml", "recorded=letters_ready.csv"]
        quick = {"encoder": "linear", "arms": "gold,llm", "seeds": "1"}
        # The processes of the test run in another folder than those of a command line.
        paths = {
            "tasks": str(store / "letters.yaml"),
            "recorded": str(store / "letters_ready.csv"),
            "workspace": str(store / "work"),
        }
        start("suite", found, **quick, **paths)

    once(make)
    return file.read_text()


def test_the_printed_suite_judges_every_label_that_has_two_answers(finished):
    scored = read_scored()
    section = sets_section(scored)
    assert section is not None
    table = section.tables[0].frame.set_index("source")

    assert list(commands(finished)) == ["ask", "audit", "suite"]
    assert [entry.judged.name for entry in scored.entries] == [
        "letters Delivery",
        "letters Rare",
    ]
    assert table.loc["the LLM itself", "exact"] < 1
    assert table.loc["gold", "micro_f1"] > 0.9


def test_the_printed_audit_is_of_one_label_and_people_see_all_labels_at_once(finished):
    found = commands(finished)
    start("audit", found["audit"], workspace="work", n_next="5")
    result = read_json(latest_root("audit").run_id, "audit.json")
    start("ask", found["ask"], workspace="work", n="20")
    sheet = pd.read_csv(f"work/questions/{latest_root('questions').run_id}/questions.csv")

    assert "label=Delivery" in found["audit"]
    assert (result["n_pool"], result["n_audit"]) == (96, 95)
    assert set(sheet["allowed_labels"]) == {"Delivery | Rare"}


def test_an_llm_that_answers_with_sets_is_asked_by_the_printed_command(propose):
    topics.register()
    printed = propose(letters(60, topics=[";".join(one) or "none" for one in sets(60)]))
    found = commands(printed)
    start("annotate", found["annotate"], annotator="topics", workspace="work")

    assert found["annotate"] == [
        "config=run.yaml",
        "splits=train,test",
        "annotator=openai",
        "annotator_model=NAME",
    ]
    assert read_run(latest_root("annotation set").run_id).metrics["sets.exact"] == 1


def test_texts_without_labels_and_with_several_to_come_are_for_people(propose):
    printed = propose(letters(300), labels="Billing,Delivery", label_type="multi")
    start("ask", commands(printed)["ask"], workspace="work")
    (sheet,) = Path("work").rglob("questions.csv")

    assert list(commands(printed)) == ["ask"]
    assert "needs 200 texts with human labels" in support(printed, "suite")
    assert len(pd.read_csv(sheet)) == 250


def test_labels_with_few_texts_are_named_and_the_others_are_ready(propose):
    own = {f"is_{name}": [int(name in one) for one in sets(400)] for name in WORDS}
    own["is_Rare"] = [int(number in (5, 50, 70)) for number in range(400)]
    printed = propose(letters(400, **own))

    assert support(printed, "suite") == (
        "suite ready: 3 labels, each a task over the same texts: 257 train, 26 validation, 105 "
        "test. No verdict on labels that fewer than 10 test texts have, or lack: Rare (1). Label "
        "more of them."
    )
    assert "by itself (label=NAME): Billing, Delivery." in support(printed, "audit")
    assert "Not yet Rare: class 'yes' has 3 audited texts" in support(printed, "audit")
    # Each split of the loader has one of the three texts.
    rare = load_task(TaskConfig(task="letters.yaml", label="Rare")).examples
    assert set(rare["split"][rare["gold_label"] == "yes"]) == {"train", "validation", "test"}


def test_a_suite_takes_the_parameters_of_init_also_from_another_folder(propose, store):
    (store / "own").mkdir()
    topic = [";".join(one) or "none" for one in sets(400)]
    printed = propose(letters(400, topics=topic), folder="own")
    given = effective(ENTRY_POINTS["suite"], {"config": "own/run.yaml"})
    tasks = read_suite(given.texts["tasks"], {})
    counts = load_task(TaskConfig(task=tasks[0].params["task"], label="Billing")).counts

    assert "task" in given.ignored
    assert "own/letters.csv: a copy of the data (beside the card" in printed
    assert [task.name for task in tasks] == ["letters Billing", "letters Delivery"]
    assert counts["test"] == 105


def test_columns_of_labels_without_a_common_beginning_are_offered(propose):
    own = {name: [int(name in one) for one in sets(60)] for name in WORDS}
    printed = propose(letters(60, **own))

    assert "python -m entrypoints.init letters.csv --label_column Billing,Delivery" in printed
    propose(letters(60, **own), label_column="Billing,Delivery")
    assert load_card("letters.yaml").columns.label == "{label}"
