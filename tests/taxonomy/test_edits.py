"""What an edit of a taxonomy means for texts that are labelled already."""

import numpy as np
import pytest

from project.support.errors import AssayError
from project.taxonomy.edits import asked_again, carried_over, edit_of
from project.taxonomy.file import as_yaml, read_edited
from project.taxonomy.labels import Label, Taxonomy

BEFORE = Taxonomy("sort", (Label("A", "a"), Label("B", "b"), Label("C", "c")), "Other")
CODES = np.array([0, 1, 2, 3, -1, 0])
PROBABILITIES = np.array(
    [
        [0.7, 0.2, 0.1, 0.0],
        [0.05, 0.9, 0.05, 0.0],
        [0.0, 0.15, 0.8, 0.05],
        [0.1, 0.1, 0.1, 0.7],
        [np.nan] * 4,
        [0.98, 0.01, 0.01, 0.0],
    ]
)


@pytest.fixture
def edited(tmp_path):
    """A function from the labels of a file to the file as it is read."""

    def read(labels, other="Other"):
        path = tmp_path / "taxonomy.yaml"
        path.write_text(f"use_case: sort\nother: {other}\nlabels:\n{labels}")
        return read_edited(path)

    return read


def test_a_file_that_nobody_edited_asks_about_texts_without_a_label_alone(tmp_path):
    path = tmp_path / "taxonomy.yaml"
    path.write_text(as_yaml(BEFORE))
    edit = edit_of(BEFORE, read_edited(path))

    assert [edit.dropped, edit.added, edit.redefined] == [(), (), ()]
    assert np.flatnonzero(asked_again(edit, BEFORE, CODES, PROBABILITIES)).tolist() == [4]


def test_renamed_and_merged_labels_are_carried_over_without_asking(edited):
    file = edited(
        "- {name: AB, definition: both, was: [A, B]}\n- {name: See, definition: c, was: [C]}\n"
    )
    edit = edit_of(BEFORE, file)
    codes, probabilities = carried_over(edit, BEFORE, file.taxonomy, CODES, PROBABILITIES)

    assert np.flatnonzero(asked_again(edit, BEFORE, CODES, PROBABILITIES)).tolist() == [4]
    assert codes.tolist() == [0, 0, 1, 2, -1, 0]
    assert probabilities[0] == pytest.approx([0.9, 0.1, 0.0])


def test_merged_labels_take_over_texts_that_fit_them_better_together(edited):
    file = edited("- {name: AB, definition: both, was: [A, B]}\n- {name: C, definition: c}\n")
    edit = edit_of(BEFORE, file)
    shared = np.array([[0.3, 0.25, 0.4, 0.05], [0.1, 0.1, 0.6, 0.2]])
    codes, probabilities = carried_over(edit, BEFORE, file.taxonomy, np.array([2, 2]), shared)

    assert probabilities[0] == pytest.approx([0.55, 0.4, 0.05])
    assert codes.tolist() == [0, 1]


def test_the_texts_of_a_dropped_label_are_asked_again(edited):
    file = edited("- {name: A, definition: a}\n- {name: B, definition: b}\n")
    edit = edit_of(BEFORE, file)

    assert edit.dropped == ("C",)
    assert np.flatnonzero(asked_again(edit, BEFORE, CODES, PROBABILITIES)).tolist() == [2, 4]
    codes, probabilities = carried_over(edit, BEFORE, file.taxonomy, CODES, PROBABILITIES)
    assert codes.tolist() == [0, 1, -1, 2, -1, 0]
    assert probabilities[0] == pytest.approx([0.7 / 0.9, 0.2 / 0.9, 0.0])


def test_a_new_definition_asks_about_texts_that_the_label_may_fit(edited):
    file = edited(
        "- {name: A, definition: a}\n- {name: B, definition: new}\n- {name: C, definition: c}\n"
    )
    edit = edit_of(BEFORE, file)

    assert edit.redefined == ("B",)
    # Its own text, those with a probability of 0.1 and more, other texts, and one without a label.
    again = asked_again(edit, BEFORE, CODES, PROBABILITIES)
    assert np.flatnonzero(again).tolist() == [0, 1, 2, 3, 4]


def test_a_new_label_asks_about_all_texts(edited):
    file = edited(
        "- {name: A, definition: a}\n- {name: B, definition: b}\n- {name: C, definition: c}\n"
        "- {name: D, definition: d}\n"
    )
    edit = edit_of(BEFORE, file)

    assert edit.added == ("D",)
    assert asked_again(edit, BEFORE, CODES, PROBABILITIES).all()


def test_names_can_change_places(edited):
    file = edited(
        "- {name: B, definition: a, was: [A]}\n- {name: A, definition: b, was: [B]}\n"
        "- {name: C, definition: c}\n"
    )
    edit = edit_of(BEFORE, file)
    codes, _ = carried_over(edit, BEFORE, file.taxonomy, CODES, PROBABILITIES)

    assert [edit.dropped, edit.added, edit.redefined] == [(), (), ()]
    assert codes.tolist() == [0, 1, 2, 3, -1, 0]
    assert file.taxonomy.names == ("B", "A", "C", "Other")


def test_the_label_for_other_texts_can_be_renamed(edited):
    file = edited(
        "- {name: A, definition: a}\n- {name: B, definition: b}\n- {name: C, definition: c}\n",
        other="Misc",
    )

    assert edit_of(BEFORE, file).renamed["Other"] == "Misc"


def test_labels_without_probabilities_are_carried_over_without_any(edited):
    file = edited("- {name: AB, definition: x, was: [A, B]}\n- {name: C, definition: c}\n")
    unknown = np.full((6, 4), np.nan)
    codes, probabilities = carried_over(
        edit_of(BEFORE, file), BEFORE, file.taxonomy, CODES, unknown
    )

    assert codes.tolist() == [0, 0, 1, 2, -1, 0]
    assert np.isnan(probabilities).all()


def test_a_name_that_never_was_is_refused_with_the_nearest_one(edited):
    file = edited("- {name: A, definition: a, was: [Bee]}\n- {name: C, definition: c}\n")

    with pytest.raises(AssayError, match=r"was must be one of A, B, C; got 'Bee'"):
        edit_of(BEFORE, file)


@pytest.mark.parametrize(
    ("labels", "rule"),
    [
        ("  - {definition: a}\n", "must have a name"),
        ("  - {name: A, colour: red}\n", "must have a name, and may have"),
        ("  - {name: yes}\n", "must be a text of 1 to 200 characters; got 'True'"),
        ("  - {name: A}\n  - {name: a}\n", "names must differ"),
        ("  - {name: A}\n  - {name: other}\n", "names must differ"),
        ("  - {name: A, was: B}\n", "was must be a list of names"),
        ("  - {name: A, was: [C]}\n  - {name: B, was: [C]}\n", "was must differ"),
        ("  []\n", "must be a list of 1 to"),
        ("  - [a\n", "is not valid YAML"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_with_the_entry(edited, labels, rule):
    with pytest.raises(AssayError, match=rule):
        edited(labels)


def test_a_file_with_other_keys_is_refused(tmp_path):
    path = tmp_path / "taxonomy.yaml"
    path.write_text("use_case: sort\nlabels: [{name: A}]\n")
    with pytest.raises(AssayError, match="keys use_case, other, labels"):
        read_edited(path)
    with pytest.raises(AssayError, match="does not exist"):
        read_edited(tmp_path / "nothing.yaml")
    with pytest.raises(AssayError, match=r"Is a directory.*Give the path of taxonomy\.yaml"):
        read_edited(tmp_path)
