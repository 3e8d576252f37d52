"""A first look at a file: encodings, columns, classes, traps, and the card that comes of it."""

import json
import random

import pandas as pd
import pytest

from project.config.config_file import safe_yaml
from project.config.init import InitConfig
from project.data.card import load_card
from project.data.inspection.card_text import card_text, run_text, scalar
from project.data.inspection.column_names import words_of
from project.data.inspection.proposal import Limits, inspect_file
from project.support.errors import AssayError

LIMITS = Limits(max_characters=400, min_of_class=10, min_test=100)
WORDS = ("box", "late", "broken", "seller", "friendly", "price", "good", "again", "never")


def sentence(number, n_words=8):
    """A text of its own for every number."""
    chosen = random.Random(number).choices(WORDS, k=n_words)
    return f"{' '.join(chosen)} {number}"


def reviews(n=60, **columns):
    """A table with a text and two classes; further columns replace or extend it."""
    table = {"text": [sentence(i) for i in range(n)], "label": ["good", "bad", "bad"] * (n // 3)}
    return pd.DataFrame({**table, **columns})


@pytest.fixture
def look(tmp_path):
    """A function that looks at a table, or at the bytes of a file; returns the proposal."""

    def run(content, name="reviews.csv", **given):
        path = tmp_path / name
        if isinstance(content, pd.DataFrame):
            content.to_csv(path, index=False)
        else:
            path.write_bytes(content)
        return inspect_file(InitConfig(data=str(path), **given), LIMITS)

    return run


def trap(proposal, words):
    """The one trap that holds these words."""
    (found,) = (text for text in proposal.traps if words in text)
    return found


def as_csv(table, separator=";"):
    return table.to_csv(index=False, sep=separator)


def test_whole_numbers_in_a_row_get_a_commented_line_on_their_order(look):
    stars = look(reviews(label=["1", "2", "3", "4", "5", "3"] * 10))
    years = look(reviews(label=["1990", "2001", "2010"] * 20))

    assert "# If 1 to 5 are steps of a scale" in card_text(stars)
    assert "\n# label_type: ordinal\n" in card_text(stars)
    assert "label_type" not in card_text(years)
    assert "label_type" not in card_text(look(reviews()))


def test_a_clean_file_has_no_traps_and_no_copy(look):
    proposal = look(reviews())

    assert (proposal.roles.text, proposal.roles.label) == ("text", "label")
    assert proposal.labels.counts == {"bad": 40, "good": 20}
    assert (proposal.traps, proposal.copy, proposal.is_complete) == ((), None, True)


@pytest.mark.parametrize(
    ("encoding", "form", "is_copied"),
    [
        ("utf-8", "CSV with semicolons, UTF-8", False),
        ("utf-8-sig", "CSV with semicolons, UTF-8 with a byte order mark", False),
        ("utf-16", "CSV with semicolons, UTF-16", False),
        ("utf-16-le", "CSV with semicolons, UTF-16 without a byte order mark", True),
        ("cp1252", "CSV with semicolons, Windows-1252", True),
    ],
)
def test_the_encoding_is_named_and_copied_only_where_other_commands_cannot_read_it(
    look, encoding, form, is_copied
):
    table = reviews(text=[f"schöne Ware für {i} Euro" for i in range(60)])
    proposal = look(as_csv(table).encode(encoding))

    assert proposal.source.form == form
    assert list(proposal.source.table["text"]) == list(table["text"])
    assert proposal.changes == (("UTF-8",) if is_copied else ())
    if is_copied:
        assert proposal.copy == as_csv(table).encode()
        assert proposal.file_name == "reviews_ready.csv"
    if encoding == "cp1252":
        assert "'schöne Ware für 0 Euro;good'" in trap(proposal, "looks like Windows-1252")


def test_lines_in_two_encodings_are_counted_and_all_read_right(look):
    lines = as_csv(reviews(text=[f"schöne Ware {i} hier" for i in range(60)])).splitlines(True)
    mixed = b"".join(
        line.encode("cp1252" if number % 20 == 7 else "utf-8") for number, line in enumerate(lines)
    )
    proposal = look(mixed)

    assert "3 of 61 lines are in Windows-1252, the others in UTF-8; line 8" in proposal.traps[0]
    assert proposal.source.table["text"].str.startswith("schöne").all()


def test_an_encoding_that_cannot_be_guessed_is_refused_and_can_be_named(look):
    content = as_csv(reviews(text=[f"привет мир {i}" for i in range(60)])).encode("cp1251")

    with pytest.raises(AssayError, match=r"cannot be guessed\. Set encoding .* cp1251"):
        look(content)
    assert look(content, encoding="cp1251").source.table["text"][5] == "привет мир 5"
    with pytest.raises(AssayError, match="encoding must be a codec of Python.*'klingon'"):
        look(content, encoding="klingon")
    with pytest.raises(AssayError, match="encoding must fit the file; reviews.csv is not in utf-8"):
        look(content, encoding="utf-8")


def test_fields_inside_of_others_become_columns_of_a_copy(look, tmp_path):
    rows = [
        {"id": f"T{i}", "ticket": {"body": sentence(i), "by": {"user": f"u{i % 40}"}}}
        for i in range(80)
    ]
    content = "\n".join(map(json.dumps, rows)).encode()
    proposal = look(content, "tickets.jsonl", labels="bug,wish")

    assert (proposal.roles.text, proposal.roles.group) == ("ticket.body", "ticket.by.user")
    copy = [json.loads(line) for line in proposal.copy.decode().splitlines()]
    assert copy[3] == {"id": "T3", "ticket.body": sentence(3), "ticket.by.user": "u3"}
    assert proposal.file_name == "tickets_ready.jsonl"


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"page": 1, "items": rows}])
def test_a_json_document_is_read_and_copied_as_json_lines(look, wrap):
    rows = reviews().to_dict("records")
    proposal = look(json.dumps(wrap(rows)).encode(), "api.json")

    assert proposal.labels.counts == {"bad": 40, "good": 20}
    assert [json.loads(line) for line in proposal.copy.decode().splitlines()] == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"PK", "is a spreadsheet. Save the sheet"),
        ("a.docx", b"PK", "data file must end in .csv"),
        ("a.csv", b"", "it is empty"),
        ("a.csv", b"text,label\n", "only a header"),
        ("a.csv", b"text,label\na,b,c\n", "row 1 has 3 fields"),
        ("a.csv", bytes(range(256)) * 40, "holds NUL bytes"),
        ("a.csv.gz", b"text", "cannot be unpacked"),
        ("a.json", b'{"error": "no"}', "must hold a list of objects"),
        ("a.jsonl", b'{"text": "a"\n', "line 1"),
        ("a.csv", b"a,b\n1,2\n3,4\n", r"no column .* a \(number\), b \(number\). Set text_column"),
    ],
)
def test_a_file_that_cannot_be_used_gets_one_clear_error(look, name, content, message):
    with pytest.raises(AssayError, match=message):
        look(content, name)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text_column": "blank"}, "text_column 'blank' is empty in every row"),
        ({"label_column": "blank"}, "label_column 'blank' is empty in every row"),
        ({"text_column": "label", "label_column": "label"}, "both are 'label'"),
        ({"group": "autor"}, "group must be one of .* Set group to the name of a column"),
    ],
)
def test_a_named_column_that_cannot_serve_is_refused(look, given, message):
    with pytest.raises(AssayError, match=message):
        look(reviews(blank=" "), **given)


def test_cells_of_several_lines_are_no_classes(look):
    proposal = look(reviews(gold=["one\nline", "two\nlines", "two\nlines"] * 20))

    assert proposal.roles.label == "label"


def test_a_file_without_a_header_gets_names_of_columns(look, tmp_path):
    proposal = look(reviews().to_csv(index=False, header=False).encode(), label_column="column_2")

    assert len(proposal.source.table) == 60
    assert "columns are called column_1 to column_2" in proposal.traps[0]
    (tmp_path / "card.yaml").write_text(card_text(proposal))
    assert load_card(str(tmp_path / "card.yaml")).source.header == ("column_1", "column_2")


def test_two_columns_of_text_are_both_named_and_the_parameter_decides(look):
    table = reviews(answer=[sentence(i + 500) for i in range(60)])
    table = table.rename(columns={"text": "question_text"})

    proposal = look(table)
    assert (proposal.roles.text, proposal.roles.others["text"]) == ("question_text", ("answer",))
    assert "text: question_text  # also possible: answer" in card_text(proposal)
    assert look(table, text_column="answer").roles.text == "answer"
    with pytest.raises(AssayError, match=r"text_column must be one of .*'bdy'"):
        look(table, text_column="bdy")


def test_a_short_title_is_no_rival_of_the_body(look):
    table = reviews(title=[f"title {i}" for i in range(60)]).rename(columns={"text": "body"})

    assert look(table).roles.text == "body"


@pytest.mark.parametrize(
    ("name", "is_label"),
    [
        *((name, True) for name in ("gold", "Kategorie", "human_code", "coder_a", "sentiment")),
        *((name, False) for name in ("coder", "status", "author")),
    ],
)
def test_a_column_is_taken_for_labels_by_its_name_and_else_only_offered(look, name, is_label):
    proposal = look(reviews().rename(columns={"label": name}), labels="good,bad")

    assert proposal.roles.label == (name if is_label else "")
    if not is_label and name != "author":
        assert proposal.roles.others["label"] == (name,)


def test_many_classes_are_found_where_each_has_rows_enough(look):
    table = reviews(n=900, intent=[f"topic {i % 77}" for i in range(900)])

    assert len(look(table.drop(columns="label")).labels.labels) == 77
    with pytest.raises(AssayError, match=r"label_column 'text' must hold classes; it has 900"):
        look(table, label_column="text", text_column="intent")


def test_the_reason_of_an_llm_is_not_the_text(look):
    reason = [f"I chose this because {sentence(i + 100, 30)}" for i in range(60)]

    assert look(reviews(gpt_comment=reason)).roles.text == "text"


def test_values_of_an_llm_tell_the_label_column_whatever_its_name(look):
    table = reviews(judgement=["good", "bad", None] * 20, gpt_4o=["bad", "good", "bad"] * 20)
    proposal = look(table.drop(columns="label"))

    assert (proposal.roles.recorded, proposal.roles.label) == (("gpt_4o",), "judgement")
    assert (proposal.n_labelled, proposal.is_complete) == (40, False)


def test_every_llm_is_found_and_named_in_the_parameters(look):
    labels = reviews()["label"]
    table = reviews(llm_label__gpt4o=labels, llm_label__llama3=labels, gpt_confidence=0.25)
    proposal = look(table)

    assert proposal.roles.recorded == ("llm_label__gpt4o", "llm_label__llama3")
    sections = safe_yaml(run_text(proposal, InitConfig(), task="reviews.yaml"))
    assert sections["recorded"] == {"recorded_columns": "llm_label__gpt4o,llm_label__llama3"}
    assert sections["annotate"] == {"annotator": "recorded"}
    assert look(table, recorded_columns="none").roles.recorded == ()


def test_what_is_no_answer_of_an_llm_is_no_class_unless_it_is_named(look):
    table = reviews(llm=["good", "unclear", "mixed"] * 20, label=["good", "bad", None] * 20)
    proposal = look(table)

    assert proposal.labels.labels == ("bad", "good", "mixed")
    assert "no human label is mixed" in trap(proposal, "which the LLM gives often")
    assert "llm has 20 of 60 answers that are no class: 'unclear' (20)" in trap(
        proposal, "no class:"
    )
    assert look(table, labels="bad,good,mixed,unclear").labels.foreign == {"llm": {}}


def test_spellings_count_as_one_class_and_nearly_equal_names_are_asked_about(look, tmp_path):
    label = ["pos", "Pos", "pos ", "not bad", "not_bad", "positive"] * 10
    proposal = look(reviews(label=label))

    assert proposal.labels.counts == {"not bad": 20, "pos": 30, "positive": 10}
    assert "'Pos' as 'pos', 'not_bad' as 'not bad'" in trap(proposal, "several spellings")
    assert trap(proposal, "nearly equal").startswith("the classes 'positive' and 'pos' have")
    (tmp_path / "card.yaml").write_text(card_text(proposal))
    assert load_card(str(tmp_path / "card.yaml")).values == {"not_bad": "not bad"}


def test_a_negation_is_no_spelling(look):
    proposal = look(reviews(label=["relevant", "irrelevant", "not relevant"] * 20))

    assert proposal.labels.similar == ()


def test_words_for_no_label_become_empty_cells_of_a_copy(look):
    proposal = look(reviews(label=["good", "bad", "NA"] * 20))

    assert proposal.labels.labels == ("bad", "good")
    assert "label has 'NA' (20), taken for no label" in trap(proposal, "no label")
    assert proposal.n_labelled == 40
    assert b'"' + sentence(2).encode() + b'",""\n' in proposal.copy
    assert look(reviews(label=["good", "bad", "NA"] * 20), labels="good,bad,NA").copy is None


def test_rare_classes_numbers_and_lists_are_named(look):
    proposal = look(reviews(label=["1", "5", "5"] * 17 + ["2"] * 9))
    assert "fewer than 10 human labels: 2 (9)" in trap(proposal, "rare classes")
    assert "the classes are numbers (1, 2, 5)" in trap(proposal, "numbers")

    proposal = look(reviews(label=['["a"]', '["b"]', '["a", "b"]'] * 20), label_type="nominal")
    assert proposal.labels.counts == {"a": 20, "b": 20}
    assert trap(proposal, "several labels").startswith("20 cells of label hold several")


def test_repeated_empty_and_long_texts_are_counted(look):
    texts = [sentence(i) for i in range(60)]
    texts[1] = texts[0]
    texts[3] = texts[0].upper() + " "
    texts[5] = "  "
    texts[7] = "NA"
    texts[9] = "word " * 90
    proposal = look(reviews(text=texts))

    assert "1 of 58 rows (1.7 %) repeat" in trap(proposal, "repeat the text")
    assert trap(proposal, "different labels").startswith("3 labelled rows have the same text")
    assert trap(proposal, "no text").startswith("2 of 60 rows have no text")
    assert trap(proposal, "characters").startswith("1 texts have more than 400 characters")
    assert proposal.n_texts == 58


def test_html_addresses_garbled_letters_and_personal_data_are_counted(look):
    texts = [sentence(i) for i in range(60)]
    texts[0] = "<b>bold</b> see https://example.com/x &amp; more"
    texts[1] = "<br/> and www.example.org too, line two"
    texts[2] = "schÃ¶ne Ware, mail to ann@example.com please"
    texts[3] = "call +49 171 2345678 in the evening, thanks"
    proposal = look(reviews(text=texts))

    assert trap(proposal, "HTML").startswith("2 of 60 texts hold HTML")
    assert trap(proposal, "web addresses").startswith("2 of 60 texts")
    assert trap(proposal, "wrong encoding").startswith("1 of 60 texts")
    assert "e-mail addresses (1) and telephone numbers (1)" in trap(proposal, "private=true")


@pytest.mark.parametrize(
    ("cells", "held"),
    [
        (["12", "7,5"], "numbers"),
        (["2025-01-31", "1.2.2024"], "dates"),
        (["T-1", "T-22"], "tokens"),
    ],
)
def test_a_named_text_column_without_texts_is_pointed_out(look, cells, held):
    proposal = look(reviews(price=cells * 30), text_column="price")

    assert proposal.traps[0].startswith(f"the text column price mostly holds {held}")


def test_ids_that_repeat_or_count_the_rows_are_named(look):
    unique = look(reviews(id=[f"r{7 * i}" for i in range(60)]))
    assert (unique.roles.id, unique.traps) == ("id", ())

    counted = look(reviews(id=range(1, 61)))
    assert counted.roles.id == "id"
    assert "run from 1 to 60 like row numbers. A file that counts from 0" in counted.traps[0]

    repeated = look(reviews(id=[i // 2 for i in range(60)]))
    assert repeated.roles.id == ""
    assert "id is no unique id: 30 of 60 cells repeat another" in repeated.traps[0]

    index = look(("," + as_csv(reviews(), ",").replace("\n", "\n0,")).encode()[:-2])
    assert index.roles.id == ""
    numbered = look(reviews().reset_index())
    assert (numbered.roles.id, numbered.roles.row_numbers) == ("", ("index",))
    assert "index only counts the rows" in numbered.traps[0]


def test_a_group_is_proposed_where_there_are_enough_to_resample(look):
    proposal = look(reviews(n=90, author=[f"a{i % 40}" for i in range(90)]))
    assert proposal.roles.group == "author"
    assert "90 rows share their author with another row (40 in all)" in proposal.traps[0]
    assert safe_yaml(run_text(proposal, InitConfig(), task="t"))["audit"]["group"] == "author"

    few = reviews(n=90, author=[f"a{i % 8}" for i in range(90)])
    assert look(few).roles.group == ""
    assert look(few, group="author").roles.group == "author"


def test_a_column_and_a_text_that_give_the_label_away_are_named(look):
    labels = ["praise", "blame", "blame"] * 20
    texts = [f"{label.upper()}: {sentence(i)}" for i, label in enumerate(labels)]
    number = [int(label == "praise") for label in labels]
    proposal = look(reviews(text=texts, label=labels, number=number))

    assert "number gives the label away" in trap(proposal, "away")
    assert "100 % of the labelled texts name their own label, and 0 %" in trap(
        proposal, "own label"
    )
    harmless = look(reviews(year=[2020 + i % 4 for i in range(60)]))
    assert harmless.traps == ()


def test_labels_of_the_first_rows_alone_and_an_llm_that_copies_them_are_named(look):
    label = ["good", "bad"] * 15 + [None] * 30
    proposal = look(reviews(label=label, gpt=["good", "bad"] * 30))

    assert trap(proposal, "shuffled").startswith("the 30 labelled rows are the first ones")
    assert "gpt is label in every labelled row" in trap(proposal, "copy of the other")


@pytest.mark.parametrize(
    ("name", "values", "in_card"),
    [
        ("fold", ["train", "test", "dev"], "fold"),
        ("split", ["A", "B", "A"], "none"),
        ("split", ["train", "test", "test"], ""),
    ],
)
def test_a_column_of_splits_stands_in_the_card_where_the_loader_would_not_take_it(
    look, tmp_path, name, values, in_card
):
    (tmp_path / "card.yaml").write_text(card_text(look(reviews(**{name: values * 20}))))

    assert load_card(str(tmp_path / "card.yaml")).columns.split == in_card


def test_few_labels_get_sizes_with_enough_test_texts(look):
    assert look(reviews(n=390)).sizes == {}
    sizes = look(reviews(n=240)).sizes
    assert (sizes["test"], sum(sizes.values())) == (110, 240)
    assert look(reviews(n=180)).sizes == {}  # too few whatever the sizes


@pytest.mark.parametrize(
    "text", ["plain name", "yes", "Null", "1", "a: b", "x #y", "é", '"q"', "-"]
)
def test_a_name_is_read_back_from_yaml_as_it_was(text):
    assert safe_yaml(f"- {scalar(text)}  # comment") == [text]


def test_names_of_columns_fall_apart_into_words():
    assert words_of("llmLabel__GPT-4o x") == ["llm", "label", "gpt", "4o", "x"]
