"""A first look at a file whose texts may have several labels, and the card that comes of it."""

import json
import random

import pandas as pd
import pytest

from project.config.config_file import safe_yaml
from project.config.init import InitConfig
from project.config.task import TaskConfig
from project.data.card import load_card
from project.data.inspection.card_text import card_text, run_text
from project.data.inspection.proposal import Limits, inspect_file
from project.data.task import load_task
from project.support.errors import AssayError

LIMITS = Limits(max_characters=400, min_of_class=10, min_test=100)
SETS: tuple[list[str], ...] = ([], ["app"], ["bill"], ["app", "bill"], ["bill", "post"], ["post"])
ALL = ("app", "bill", "post")


def letters(n=120, **columns):
    """A table with texts of different words, and further columns."""
    words = ("box", "late", "broken", "seller", "price", "good", "again", "never")
    texts = [f"{' '.join(random.Random(i).choices(words, k=8))} {i}" for i in range(n)]
    return pd.DataFrame({"text": texts, **columns})


def cells(write, n=120):
    """The sets of the texts, each as ``write`` writes it."""
    return [write(SETS[number % len(SETS)]) for number in range(n)]


def columns(prefix, names=ALL, n=120):
    """A column with 1 and 0 for each label."""
    return {f"{prefix}{name}": cells(lambda one, name=name: int(name in one), n) for name in names}


@pytest.fixture
def look(tmp_path):
    """A function that looks at a table in a file with this ending; returns the proposal."""

    def run(table, ending="csv", **given):
        path = tmp_path / f"letters.{ending}"
        if ending == "jsonl":
            path.write_text("\n".join(map(json.dumps, table.to_dict("records"))))
        elif ending == "parquet":
            table.to_parquet(path)
        else:
            table.to_csv(path, index=False)
        return inspect_file(InitConfig(data=str(path), **given), LIMITS)

    return run


@pytest.fixture
def card(tmp_path):
    """A function that writes the card of a proposal, and the copy of its data if there is one."""

    def write(proposal):
        path = tmp_path / "letters.yaml"
        path.write_text(card_text(proposal))
        if proposal.copy is not None:
            (tmp_path / proposal.copy_name).write_bytes(proposal.copy)
        return load_card(str(path))

    return write


def labelled(card, label, **given):
    """The texts that have a label, as the commands read the card."""
    task = load_task(TaskConfig(task=str(card.path), label=label, **given))
    return set(task.examples["text"][task.examples["gold_label"] == "yes"])


def trap(proposal, words):
    """The one trap that holds these words."""
    (found,) = (text for text in proposal.traps if words in text)
    return found


@pytest.mark.parametrize(
    ("write", "ending", "separator"),
    [
        (lambda one: ";".join(one) or "none", "csv", ";"),
        (lambda one: " | ".join(one) or "none", "csv", "|"),
        (lambda one: ", ".join(one) or "none", "csv", ","),
        (json.dumps, "csv", ""),
        (str, "csv", ""),
        (list, "jsonl", ""),
        (list, "parquet", ""),
        (lambda one: json.dumps({name: int(name in one) for name in ALL}), "csv", ""),
        (lambda one: {name: 0.9 if name in one else 0.2 for name in ALL}, "jsonl", ""),
    ],
)
def test_every_form_of_a_set_becomes_a_card_by_which_the_texts_have_their_labels(
    look, card, write, ending, separator
):
    table = letters(topics=cells(write))
    proposal = look(table, ending)
    written = card(proposal)

    assert (written.label_type, written.labels) == ("multi", ALL)
    assert written.separator == (separator or ";")
    assert ("separator:" in card_text(proposal)) == bool(separator)
    assert proposal.labels.counts == {"app": 40, "bill": 60, "post": 40}
    assert proposal.is_complete
    way_out = trap(proposal, "topics is taken for sets of labels")
    assert (f"with {separator!r}" if separator else "written as lists") in way_out
    assert "cells with several are 40" in way_out
    assert "label_type=nominal" in way_out
    given = set(table["text"][cells(lambda one: "post" in one)])
    used = load_task(TaskConfig(task=str(written.path), label="post")).examples["text"]
    assert labelled(written, "post") == given & set(used)


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        (["Shoes, men", "Shoes, women", "Hats, men", "Hats, women"], "'Shoes' never stands alone"),
        (["Shoes|men", "Shoes|women", "Shoes", "Hats|men", "Hats|women"], "never stands alone"),
        (["Paris", "Texas", "Paris, Texas", "London"], "names may have commas, too"),
        (["yes;no", "no", "yes", "maybe;no", "maybe"], "is no name of a label"),
    ],
)
def test_in_doubt_a_cell_is_one_class_and_the_lines_to_change_are_named(look, card, values, doubt):
    table = letters(label=(values * 60)[:120])
    proposal = look(table)

    assert card(proposal).label_type == "nominal"
    assert proposal.labels.labels == tuple(sorted(values))
    found = trap(proposal, "may hold several labels")
    assert "but " in found
    assert doubt in found
    assert "set label_type=multi here" in found
    assert "label_type: multi and separator: " in found


@pytest.mark.parametrize(
    "values",
    [
        ["Food; drink", "Post", "Post"],
        ["Paris, Texas", "Austin, Texas", "Paris, France", "London"],
        ["yes, it is", "no, never", "maybe"],
        [0, 1, 1],
    ],
)
def test_a_separator_in_the_name_of_one_class_makes_no_sets(look, values):
    proposal = look(letters(label=(values * 60)[:120]))

    assert not proposal.has_several
    assert not [text for text in proposal.traps if "several labels" in text]


def test_a_few_cells_with_several_are_taken_for_mistakes_unless_the_user_says_otherwise(look, card):
    table = letters(topics=["app;bill", *(["app", "bill", "post"] * 40)[1:]])

    assert "but only 1 of 120 cells do" in trap(look(table), "may hold several labels")
    assert card(look(table, label_type="multi")).labels == ALL
    lists = letters(topics=[["app", "bill"], *([["app"], ["bill"], ["post"]] * 40)[1:]])
    assert trap(look(lists, "jsonl"), "several labels").startswith("1 cells of topics hold several")


def test_what_the_user_says_decides(look, card):
    table = letters(topics=cells(lambda one: "/".join(one) or "none"))

    assert not look(table).has_several
    assert card(look(table, separator="/")).labels == ALL
    assert "cells with several are 40, such as 'app/bill'" in trap(
        look(table, separator="/"), "with '/' between them"
    )
    sets = letters(topics=cells(lambda one: ";".join(one) or "none"))
    assert not look(sets, label_type="nominal").has_several
    assert not look(sets, labels="app,bill,post,none,app;bill,bill;post").has_several
    assert card(look(sets, labels="post,bill,app")).labels == ("post", "bill", "app")


def test_spellings_rare_labels_and_words_for_nothing_are_read_as_the_commands_do(look, card):
    topics = cells(lambda one: ";".join(one) or "none")
    topics[1], topics[3], topics[5] = "APP", "app; Bill", "post;rare"
    topics[7], topics[13] = "NA", None
    proposal = look(letters(topics=topics))
    written = card(proposal)

    assert written.labels == (*ALL, "rare")
    assert proposal.labels.counts["rare"] == 1
    assert "topics has 'NA' (1), taken for no label" in trap(proposal, "taken for no label")
    assert (proposal.n_labelled, proposal.n_open) == (118, 2)
    assert "bad_rows: drop  # an experiment leaves out 2 rows" in run_text(
        proposal, InitConfig(), task="letters.yaml"
    )
    assert len(labelled(written, "rare", bad_rows="drop")) == 1


def test_empty_cells_that_may_say_that_no_label_fits_are_asked_about(look):
    empty = look(letters(topics=cells(lambda one: ";".join(one) or None)))

    assert "20 cells without a label" in trap(empty, "If they say that no label fits, write none")


def test_more_combinations_than_a_label_column_has_classes_are_still_sets(look, card):
    names = [f"topic {number}" for number in range(12)]
    chosen = [random.Random(i).sample(names, 1 + i % 5) for i in range(300)]
    proposal = look(letters(n=300, topics=[";".join(one) for one in chosen]))

    assert proposal.facts["topics"].n_distinct > 200
    assert sorted(card(proposal).labels) == sorted(names)


def test_lists_of_labels_with_the_usual_separator_in_a_name_get_another_one(look, card):
    topics = cells(lambda one: json.dumps([name.replace("bill", "bill; pay") for name in one]))

    assert card(look(letters(topics=topics))).separator == "|"


@pytest.mark.parametrize("words", [(0, 1), ("no", "yes"), ("false", "true"), ("False", "True")])
def test_columns_that_begin_alike_are_the_labels_where_there_is_no_label_column(look, card, words):
    own = pd.DataFrame(columns("is_")).replace({0: words[0], 1: words[1]})
    table = letters(**own)
    proposal = look(table)
    written = card(proposal)

    assert (written.columns.label, written.labels) == ("is_{label}", ALL)
    assert proposal.labels.counts == {"app": 40, "bill": 60, "post": 40}
    found = trap(proposal, "hold 1 and 0, or yes and no")
    assert "is_app, is_bill, is_post" in found
    assert "(label_column=is_{label})" in found
    assert "or none" in found
    used = load_task(TaskConfig(task=str(written.path), label="app")).examples["text"]
    given = set(table["text"][cells(lambda one: "app" in one)])
    assert labelled(written, "app") == given & set(used)


def test_constant_columns_are_left_out_and_missing_cells_are_not_known(look, card):
    own = {**columns("is_"), "is_new": 0, "is_old": "1", "is_bill": columns("")["bill"]}
    own["is_app"][0], own["is_post"][1] = "NA", None
    proposal = look(letters(**own))
    written = card(proposal)

    assert written.labels == ALL
    assert "# - new  # no text has it" in card_text(proposal)
    assert "# - old  # every text has it" in card_text(proposal)
    assert "no labelled text has the label new" in trap(proposal, "the label new,")
    assert (proposal.n_labelled, proposal.n_open) == (120, 2)
    assert written.source.file == "letters_ready.csv"
    assert labelled(written, "app", bad_rows="drop")
    # The user may want it all the same, for texts that people label later.
    kept = look(letters(**own), labels="app,bill,post,new")
    assert card(kept).labels == (*ALL, "new")
    assert "no labelled text has the label new" in trap(kept, "its task in a suite fails")


def test_columns_can_be_named_one_by_one_or_by_what_they_share(look, card):
    table = letters(**columns(""), **columns("x_"), reply=0)

    named = card(look(table, label_column="app,bill,post"))
    assert (named.columns.label, named.labels) == ("{label}", ALL)
    shared = card(look(table, label_column="x_app,x_post"))
    assert (shared.columns.label, shared.labels) == ("x_{label}", ("app", "post"))
    assert card(look(table, label_column="x_{label}")).labels == ALL
    assert card(look(table, label_column="x_{label}", labels="post,app")).labels == ("post", "app")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {},
            r"which columns hold .* is_\{label\} \(.*has_\{label\} .* or set label_column=none",
        ),
        ({"label_column": "is_app,text"}, r"'text' must hold 1 and 0.*of the kind text"),
        ({"label_column": "is_app,stars"}, r"'stars' must hold 1 and 0.*it has '3'"),
        ({"label_column": "is_app,is_ap"}, r"label_column must be one of .*'is_ap'"),
        ({"label_column": "no_{label}"}, r"at least two labels; 'no_\{label\}' names none"),
        ({"label_column": "is_{label}", "labels": "app,new"}, r"'is_new'.*Correct label_column or"),
        ({"label_column": "is_{label}", "label_type": "nominal"}, "one column with label_type=nom"),
        ({"label_type": "nominal", "separator": ";"}, "separator must be empty with label_type"),
        ({"separator": "......"}, "separator must have at most 5 characters"),
        ({"label_column": "is_app,is_bill", "recorded_columns": "gpt"}, "'gpt' holds yes and no"),
    ],
)
def test_what_cannot_be_meant_gets_one_error_with_the_way_out(look, given, message):
    own = {**columns("is_"), **columns("has_", ("image", "link")), "stars": 3}
    table = letters(**own, gpt=[0, 1] * 60)
    table["has_link"] = [0, 1] * 60

    with pytest.raises(AssayError, match=message):
        look(table, **given)


def test_a_name_that_speaks_of_labels_decides_between_groups(look):
    table = letters(**columns("topic_"), **columns("has_"))

    assert look(table).roles.label == "topic_{label}"
    assert not look(table, labels="new,old").roles.label


@pytest.mark.parametrize(
    "names", [("coder_a", "coder_b"), ("label_1", "label_2"), ("label_gold", "label_old")]
)
def test_columns_of_several_people_or_rounds_are_no_labels_of_a_text(look, names):
    table = letters(**{name: [0, 1] * 60 for name in names})

    assert not look(table, labels="0,1").has_several


def test_a_label_column_comes_before_columns_with_1_and_0_which_are_offered(look):
    proposal = look(letters(label=["good", "bad"] * 60, **columns("is_")))

    assert (proposal.roles.label, proposal.has_several) == ("label", False)
    assert "set label_column=is_{label}" in trap(proposal, "They are not used")


@pytest.mark.parametrize(
    ("llm", "recorded"),
    [
        ({"gpt": cells(lambda one: ";".join(one[:1]) or "none")}, "gpt"),
        (columns("gpt_"), "gpt_{label}"),
        ({f"gpt.{name}": [0.25, 0.75] * 60 for name in ALL}, "gpt"),
        ({"gpt_score": [1, 0] * 60, "gpt_tone": ["rude", "kind"] * 60}, None),
    ],
)
@pytest.mark.parametrize("human", ["sets", "columns"])
def test_labels_of_an_llm_are_recorded_where_they_are_sets_of_the_same_labels(
    look, human, llm, recorded
):
    own = columns("is_") if human == "columns" else {"topics": cells("|".join)}
    if human == "sets" and "gpt" in llm:
        llm = {"gpt": [cell.replace(";", "|") for cell in llm["gpt"]]}
    proposal = look(letters(**own, **llm))
    found = safe_yaml(run_text(proposal, InitConfig(), task="letters.yaml"))

    assert found.get("recorded", {}).get("recorded_columns") == recorded
    assert found["pool"]["human_column"] == ("is_{label}" if human == "columns" else "topics")
    assert found["suite"] == {"tasks": "letters.yaml"}


def test_every_text_with_exactly_one_column_may_have_one_label(look):
    own = {
        f"is_{name}": [int(i % 3 == number) for i in range(120)] for number, name in enumerate(ALL)
    }

    assert trap(look(letters(**own)), "exactly one of").endswith("with the names of the classes.")


def test_labels_without_any_human_label_can_be_several(look, card):
    proposal = look(letters(), labels="app,bill", label_type="multi")

    assert card(proposal).label_type == "multi"
    assert (proposal.n_labelled, proposal.is_complete) == (0, False)
