"""Lists of labels out of the replies that models give."""

import pytest

from project.taxonomy.labels import Label
from project.taxonomy.reading import read_labels

EXPECTED = (
    Label("Billing", "Charges and invoices."),
    Label("Delivery", "Parcels that are late or lost."),
)


@pytest.mark.parametrize(
    "reply",
    [
        "Billing: Charges and invoices.\nDelivery: Parcels that are late or lost.",
        "1. Billing: Charges and invoices.\n2. Delivery: Parcels that are late or lost.",
        "Here are the labels:\n\n- **Billing**: Charges and invoices.\n"
        "- **Delivery**: Parcels that are late or lost.\n\nLet me know if you need more.",
        "* Billing - Charges and invoices.\n* Delivery – Parcels that are late or lost.",
        "1) **Billing:** Charges and invoices.\n2) **Delivery:** Parcels that are late or lost.",
        "Label 1: Billing: Charges and invoices.\n"
        "Label 2: Delivery: Parcels that are late or lost.",
        "| id | name | description |\n|---|---|---|\n| 1 | Billing | Charges and invoices. |\n"
        "| 2 | Delivery | Parcels that are late or lost. |",
        "| Name | Definition |\n|:--|:--|\n| Billing | Charges and invoices. |\n"
        "| Delivery | Parcels that are late or lost. |",
        '[{"name": "Billing", "definition": "Charges and invoices."}, '
        '{"name": "Delivery", "description": "Parcels that are late or lost."}]',
        'Sure!\n```json\n{"labels": [{"label": "Billing", "definition": "Charges and invoices."}, '
        '{"label": "Delivery", "definition": "Parcels that are late or lost."}]}\n```',
        '{"Billing": "Charges and invoices.", "Delivery": "Parcels that are late or lost."}',
        "1. 1. Billing: Charges and invoices.\n- 2. Delivery: Parcels that are late or lost.",
        "### Billing: Charges and invoices.\n### Delivery: Parcels that are late or lost.",
        "Name: Billing\nDefinition: Charges and invoices.\n\nName: Delivery\n"
        "Definition: Parcels that are late or lost.",
        "1. **Billing**\n   - **Definition:** Charges and invoices.\n2. **Delivery**:\n"
        "   - **Definition:** Parcels that are late or lost.",
        '{"Billing": {"definition": "Charges and invoices."}, '
        '"Delivery": {"definition": "Parcels that are late or lost."}}',
        'Here you are: [\n{"name": "Billing", "definition": "Charges and invoices."},\n'
        '{"name": "Delivery", "definition": "Parcels that are late or lost."}]',
        "Billing：Charges and invoices.\nDelivery：Parcels that are late or lost.",
        "Billing: Charges and invoices.\nDelivery: Parcels that are late or lost.\n\n"
        "Note: These cover all texts.",
    ],
)
def test_every_usual_form_of_a_list_is_read(reply):
    assert read_labels(reply, "Other") == EXPECTED


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "I cannot help with that.",
        "The texts are about many things. It is hard to sort them, since they overlap a lot.",
        "[1, 2, 3]",
        "{",
        "| a |",
        "---\n***",
        "Sure, here are the labels:",
    ],
)
def test_a_reply_without_a_list_has_no_labels(reply):
    assert read_labels(reply, "Other") == ()


def test_names_without_definitions_are_labels_in_a_list_alone():
    assert read_labels("- Billing\n- Delivery", "Other") == (Label("Billing"), Label("Delivery"))
    assert read_labels("Billing\nDelivery", "Other") == ()


def test_a_name_counts_once_and_the_label_for_other_texts_is_left_out():
    reply = "- Billing: a\n- billing: b\n- OTHER: rest\n- Delivery: c"

    assert read_labels(reply, "Other") == (Label("Billing", "a"), Label("Delivery", "c"))


def test_a_sentence_is_no_name():
    long = "a text that goes on and on about the parcel and never ends: yes"

    assert read_labels(f"- {long}\n- Delivery: c\n- Billing: d", "Other") == (
        Label("Delivery", "c"),
        Label("Billing", "d"),
    )


def test_brackets_within_a_definition_are_no_list():
    reply = '**Fees**: such as ["refund", "invoice"]\n**Parcels**: as in {"a": "b"}'

    assert [label.name for label in read_labels(reply, "Other")] == ["Fees", "Parcels"]


@pytest.mark.parametrize("name", ["late_payment", "Name-calling", "Topic-free talk", "C++"])
def test_names_stay_as_they_are_written(name):
    assert read_labels(f"- {name}: x\n- __B__: y", "Other") == (Label(name, "x"), Label("B", "y"))


def test_control_characters_do_not_get_into_names():
    assert read_labels("- Bil\x1b[31mling\u2028x: a\n- B: b", "Other")[0].name.isprintable()


@pytest.mark.parametrize("name", ["Zustellung", "配送", "доставка", "Égalité des chances"])
def test_names_of_other_languages_are_read(name):
    assert read_labels(f"- {name}: x\n- B: y", "Other")[0] == Label(name, "x")
