"""All labels of a text in one reply: how it is read."""

import pytest

from project.annotation.writing.sets import read_set, set_prompt

LABELS = ("billing", "delivery, late", "app")


@pytest.mark.parametrize(
    ("reply", "labels"),
    [
        ("billing", ["billing"]),
        ("app; billing", ["billing", "app"]),
        ("Billing; APP.", ["billing", "app"]),
        ("- billing\n- app", ["billing", "app"]),
        ("billing, app", ["billing", "app"]),
        ("delivery, late", ["delivery, late"]),
        ("delivery, late; app", ["delivery, late", "app"]),
        ('["app", "billing"]', ["billing", "app"]),
        ("none", []),
        ("None.", []),
        ("[]", []),
        ("billing; billing", ["billing"]),
        ("billing; weather", ["billing", "weather"]),
        ("I would say app", ["I would say app"]),
        ("", None),
        ("  ", None),
    ],
)
def test_a_reply_is_read_as_the_labels_that_it_names(reply, labels):
    assert read_set(reply, LABELS, ";") == labels


def test_a_label_called_none_is_a_label():
    assert read_set("none", ("none", "app"), ";") == ["none"]


def test_the_request_lists_all_labels():
    prompt = set_prompt("My parcel is late.", "What is it about?", LABELS, ";")

    assert all(f"- {label}" in prompt for label in LABELS)
    assert "My parcel is late." in prompt
