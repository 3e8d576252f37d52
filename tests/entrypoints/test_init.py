"""The entry point init: its files and commands work as they are printed; it replaces nothing."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from entrypoints import init
from entrypoints.wiring.arguments import with_named
from entrypoints.wiring.init_costs import duration
from entrypoints.wiring.init_page import command_lines
from project.audit.verdict import MIN_OF_CLASS, NEW_AUDIT
from project.config.loading import defaults
from project.config.results import MIN_TEST
from project.support.errors import AssayError
from project.tracking import latest_root, read_json
from tests.helpers.audit_runs import LABELLED, N, catalogue
from tests.helpers.init_pages import commands, start, support

ROOT = Path(__file__).parents[2]
# One worker for tests with a finished audit, which embeds texts for all of them.
with_audit = pytest.mark.xdist_group("audit")


def rows(n, **columns):
    """A table with texts of different words, and further columns."""
    return pd.DataFrame({"text": [f"letter number {i} on a day" for i in range(n)], **columns})


@pytest.fixture
def propose(tmp_path, monkeypatch, capsys):
    """A function that looks at a table or at a file; returns what is printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(table=None, file="reviews.csv", **given):
        if table is not None:
            table.to_csv(file, index=False)
        init.init({**defaults("init"), "data": file, **given})
        return capsys.readouterr().err

    return run


@with_audit
def test_the_printed_commands_run_as_they_stand(propose, store, workspace, no_model, tiny_encoder):
    printed = propose(catalogue(), "codes.csv")
    found = commands(printed)

    assert list(found) == ["audit", "ask", "main"]
    start("ask", found["ask"], workspace=str(workspace))
    (folder,) = (workspace / "questions").iterdir()
    assert len(pd.read_csv(folder / "questions.csv")) == NEW_AUDIT
    start("audit", found["audit"], workspace=str(workspace), n_next="5")
    result = read_json(latest_root("audit").run_id, "audit.json")
    assert (result["n_pool"], result["n_audit"]) == (N, LABELLED)
    small = {"encoder": str(tiny_encoder), "seeds": "1", "epochs": "1", "workers": "1"}
    start("main", found["main"], workspace=str(workspace), **small)
    root = latest_root()
    config = read_json(root.run_id, "config.json")
    assert config["sections"]["annotate"]["annotator"] == "recorded"
    assert (
        sum(count for name, count in config["task"]["counts"].items() if name in ("train", "test"))
        > LABELLED / 2
    )


@with_audit
def test_a_file_of_windows_with_few_labels_is_ready_after_one_command(propose, store, workspace):
    table = catalogue().drop(columns="llm").rename(columns={"text": "Kommentar", "human": "Code"})
    table["Kommentar"] += " für Müller"
    Path("excel.csv").write_bytes(table.to_csv(sep=";").encode("cp1252", "replace"))
    printed = propose(file="excel.csv")

    assert "CSV with semicolons, Windows-1252" in printed
    assert Path("excel_ready.csv").read_text(encoding="utf-8").startswith(";Kommentar;Code")
    start("ask", commands(printed)["ask"], workspace=str(workspace), n="20")
    (folder,) = (workspace / "questions").iterdir()
    assert pd.read_csv(folder / "questions.csv")["text"].str.endswith("für Müller").all()


@with_audit
def test_tickets_without_labels_need_the_names_of_the_classes_and_then_people(
    propose, store, workspace, capsys
):
    tickets = [
        {
            "id": f"T{i}",
            "status": "open" if i % 3 else "shut",
            "ticket": {"body": f"my bill {i} is wrong"},
        }
        for i in range(300)
    ]
    Path("tickets.jsonl").write_text("\n".join(map(json.dumps, tickets)))
    printed = propose(file="tickets.jsonl")

    assert "Nothing is written yet: no column shows the classes." in printed
    assert "python -m entrypoints.init tickets.jsonl --labels FIRST,SECOND,THIRD" in printed
    assert "python -m entrypoints.init tickets.jsonl --label_column status" in printed
    assert not Path("run.yaml").exists()

    printed = propose(file="tickets.jsonl", labels="billing,technical help")
    assert list(commands(printed)) == ["ask"]
    assert f"blocked: needs human labels of random texts, {NEW_AUDIT}" in support(printed, "audit")
    assert f"needs {2 * MIN_TEST} texts with human labels" in support(printed, "main")
    start("ask", commands(printed)["ask"], workspace=str(workspace))
    assert "config=run.yaml" in (then := capsys.readouterr().err.partition("Then run:")[2])
    assert "COLUMN" not in then  # the file names the annotator
    (folder,) = (workspace / "questions").iterdir()
    questions = pd.read_csv(folder / "questions.csv")
    assert questions["text"].str.startswith("my bill").all()
    assert set(questions["allowed_labels"]) == {"billing | technical help"}


def test_how_many_labels_would_unblock_comes_from_the_limits_of_the_audit(propose):
    label = ["yea", "nay"] * 6 + ["yea"] * 8 + [None] * 380
    printed = propose(rows(400, label=label))

    # 6 of 20 labels are of the class nay: 10 - 6 of them need about 4 / 0.3 more texts.
    assert MIN_OF_CLASS == 10
    assert "class 'nay' has 6 audited texts, and each class needs 10. Label 14 more, at random" in (
        support(printed, "audit")
    )
    assert commands(printed)["ask"] == ["config=run.yaml", "design=audit", "n=14"]
    assert "Label 180 more texts" in support(printed, "main")


def test_labels_for_everything_put_the_experiment_first_and_ask_for_nobody(propose):
    printed = propose(rows(400, label=["yea", "nay"] * 200))

    assert list(commands(printed)) == ["main", "audit"]
    assert support(printed, "main") == (
        "main ready: texts with gold labels: 257 train, 26 validation, 105 test."
    )
    assert "not needed" in support(printed, "ask")


def test_a_class_with_too_few_test_texts_is_named_with_the_labels_that_it_lacks(propose):
    printed = propose(rows(400, label=["yea", "nay"] * 195 + ["may"] * 10))

    assert "1 class has fewer than 10 test texts; may has" in support(printed, "main")
    assert "no verdict" in support(printed, "main")


def test_what_the_loaders_refuse_is_blocked_with_their_reason(propose):
    printed = propose(rows(400, label=["5", "1"] * 200), labels="praise,complaint")

    assert "has the numbers 1, 5, and which class each stands for" in support(printed, "main")
    assert commands(printed) == {"check": ["config=run.yaml"]}
    assert '#   "5": CLASS' in Path("reviews.yaml").read_text()


def test_no_file_of_the_users_is_replaced_unless_asked(propose):
    table = rows(60, label=["yea", "nay"] * 30)
    propose(table)
    propose(table, price_label="1")  # replaces its own files
    card = Path("reviews.yaml")
    mine = card.read_text().replace("Sort the text", "Say what was voted")
    card.write_text(mine)
    before = Path("run.yaml").read_bytes()

    with pytest.raises(AssayError, match=r"reviews\.yaml exists already.*overwrite=true"):
        propose(table, price_label="2")
    assert (card.read_text(), Path("run.yaml").read_bytes()) == (mine, before)
    propose(table, name="votes")
    assert card.read_text() == mine
    assert "task: votes.yaml" in Path("votes_run.yaml").read_text()
    propose(table, overwrite="true")
    assert "Sort the text" in card.read_text()


def test_parameters_of_another_file_and_a_copy_are_not_replaced_either(propose):
    propose(rows(60, label=["yea", "nay"] * 30))
    with pytest.raises(AssayError, match=r"^run\.yaml exists already"):
        propose(rows(60, label=["yea", "nay"] * 30), "others.csv")
    assert not Path("others.yaml").exists()

    Path("mine_ready.csv").write_text("notes")
    with pytest.raises(AssayError, match="mine_ready.csv"):
        propose(rows(60, label=["yea", "NA"] * 20 + ["nay"] * 20), "mine.csv", name="mine")
    assert Path("mine_ready.csv").read_text() == "notes"
    with pytest.raises(AssayError, match="name must be a file's name without a folder"):
        propose(name="../elsewhere")


def test_a_file_called_run_gets_a_card_and_parameters_too(propose):
    printed = propose(rows(60, label=["yea", "nay"] * 30), "run.csv")

    assert "config=run_run.yaml" in commands(printed)["main"]
    assert Path("run.yaml").read_text().startswith("# Task card of run.csv")


def test_files_can_be_written_into_another_folder(propose, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "own").mkdir()
    table = rows(400, label=["yea", "nay"] * 200)
    printed = propose(table, "data/reviews.csv", folder="own")

    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["reviews.csv"]
    assert "  data: data/reviews.csv\n" in Path("own/run.yaml").read_text()
    assert commands(printed)["main"] == ["config=own/run.yaml"]
    assert "ready" in support(printed, "main")


def test_prices_are_shown_and_kept(propose):
    label = ["yea", "nay"] * 20 + [None] * 360
    printed = propose(rows(400, label=label), price_label="0.5", price_input="2")

    text = " ".join(printed.split())
    assert re.search(r"250 human labels, about \d+ minutes of one person, price 125\.00", text)
    assert re.search(r"400 answers of the LLM, about 0\.\d million tokens, price about 0\.0", text)
    assert "price_label: 0.5" in Path("run.yaml").read_text()


@pytest.mark.parametrize("width", [80, 100])
def test_no_line_is_longer_than_the_terminal(propose, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    authors = [f"author with a long name {i % 120}" for i in range(400)]
    label = ["yea", "nay"] * 20 + ["NA"] * 360
    printed = propose(rows(400, label=label, author=authors, gpt=["yea", "nay"] * 200))

    assert max(map(len, printed.splitlines())) <= width
    assert "author: 120 different" in printed


def test_a_command_on_several_lines_is_one_command_for_a_shell():
    command = "mlflow run . --env-manager local -e ask -P 'config=my folder/run.yaml' -P n=5"
    lines = list(command_lines(command, 60))

    assert len(lines) == 2
    joined = "\n".join(lines).replace("\\\n", " ")
    assert shlex.split(joined) == shlex.split(command)


def test_the_file_may_stand_without_the_name_of_its_parameter():
    assert with_named("data", ["a.csv"]) == ["--data", "a.csv"]
    assert with_named("data", ["--labels", "x", "a.csv"]) == ["--labels", "x", "--data", "a.csv"]
    assert with_named("data", ["--labels=x", "a.csv"]) == ["--labels=x", "--data", "a.csv"]
    assert with_named("data", ["--data", "a.csv"]) == ["--data", "a.csv"]
    assert with_named("data", ["--help", "all"]) == ["--help", "all"]


def test_init_needs_no_model_no_network_and_no_tracking_store(tmp_path):
    table = rows(60, label=["yea", "nay"] * 30)
    table.to_csv(tmp_path / "reviews.csv", index=False)
    script = (
        "import runpy, sys; sys.argv[1:] = ['reviews.csv'];"
        "runpy.run_module('entrypoints.init', run_name='__main__');"
        "print([name for name in ('torch', 'mlflow', 'transformers') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "reviews.csv",
        "reviews.yaml",
        "run.yaml",
    ]


def test_init_logs_nothing(propose, store):
    propose(rows(60, label=["yea", "nay"] * 30))

    assert not MlflowClient().search_runs(["0", "1"])


def test_durations_are_rough():
    assert duration(20) == "about a minute"
    assert duration(600) == "about 10 minutes"
    assert duration(2.4 * 3600) == "about 2.4 hours"
    assert duration(40 * 3600) == "about 40 hours"
