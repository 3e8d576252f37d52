"""The prompt: the paper's template to the letter, demonstrations from the pool."""

import pandas as pd
import pytest

from project.errors import AssayError
from project.prompt import build_prompt, demonstrations

SHOWN = pd.DataFrame({"example_id": ["a", "b"], "text": ["good film", "{braces} stay"], "gold_label": ["positive", "negative"]})
LABELS = ("negative", "positive")


def test_the_prompt_is_the_papers_template_with_labels_by_name():
    prompt = build_prompt(LABELS, "You sort reviews.", SHOWN, style="name", draw=0)

    # Lu and Smith (2025), Appendix C
    assert prompt.render("a {strange} text") == (
        "### Instruction ###\nYou sort reviews.\nRespond with only the label name, nothing else.\n"
        "### Available Labels ###\nnegative\npositive\n"
        "### Examples ###\nText to classify: good film\nLabel: positive\nText to classify: {braces} stay\nLabel: negative\n"
        "### Input ###\nText to classify: a {strange} text\n### Output ###\nLabel:"
    )
    assert prompt.answers == (" negative", " positive")
    assert prompt.demonstration_ids == ("a", "b")


def test_labels_as_integers_are_mapped_as_in_table_3():
    prompt = build_prompt(LABELS, "You sort reviews.", SHOWN, style="integer", draw=0)

    assert '### Available Labels ###\n{"0": "negative", "1": "positive"}\n' in prompt.before
    assert "Label: 1\n" in prompt.before
    assert prompt.answers == (" 0", " 1")


def test_a_draw_depends_on_its_number_and_the_seed_alone(small_task):
    pool = small_task.split("demonstration")
    ids = [list(demonstrations(pool, 3, draw, seed=0)["example_id"]) for draw in range(8)]

    assert ids == [list(demonstrations(pool.sample(frac=1, random_state=1), 3, draw, seed=0)["example_id"]) for draw in range(8)]
    assert len({tuple(one) for one in ids}) == 8
    assert ids[0] != list(demonstrations(pool, 3, 0, seed=1)["example_id"])
    assert all(len(set(one)) == 3 for one in ids)


def test_more_demonstrations_than_the_pool_holds_are_refused(small_task):
    with pytest.raises(AssayError, match="n_demonstrations must be at most the size of the demonstration pool, 2; got 3"):
        demonstrations(small_task.split("demonstration").head(2), 3, 0, seed=0)


def test_demonstrations_are_never_annotated_and_never_tested(small_task):
    pool = set(small_task.split("demonstration")["example_id"])

    assert not pool & set(small_task.examples.loc[small_task.examples["split"] != "demonstration", "example_id"])
