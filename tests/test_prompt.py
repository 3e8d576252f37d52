"""The prompt: the paper's template to the letter, demonstrations from the pool."""

import pandas as pd
import pytest

from project.errors import AssayError
from project.prompt import build_prompt, demonstration_sets

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


def ids(sets):
    return [list(one["example_id"]) for one in sets]


def test_draws_depend_on_the_seed_and_the_pool_alone_and_more_draws_begin_with_the_same(small_task):
    pool = small_task.split("demonstration")
    eight = ids(demonstration_sets(pool, 3, 8, seed=0))

    assert eight == ids(demonstration_sets(pool.sample(frac=1, random_state=1), 3, 8, seed=0))
    assert eight[:5] == ids(demonstration_sets(pool, 3, 5, seed=0))
    assert eight[0] != ids(demonstration_sets(pool, 3, 1, seed=1))[0]
    assert all(len(set(one)) == 3 for one in eight)


def test_no_two_draws_show_the_same_set_even_out_of_a_tiny_pool(small_task):
    pool = small_task.split("demonstration").head(5)

    for seed in range(20):
        assert len({frozenset(one) for one in ids(demonstration_sets(pool, 2, 10, seed=seed))}) == 10


@pytest.mark.parametrize(
    ("n", "n_draws", "message"),
    [
        (3, 1, "n_demonstrations must be at most the size of the demonstration pool, 2; got 3"),
        (1, 3, "ensemble_size must be at most 2, the number of different sets of 1 out of 2 demonstrations; got 3"),
        (0, 2, "ensemble_size must be at most 1, .*raise n_demonstrations"),
    ],
)
def test_sets_that_the_pool_cannot_give_are_refused(small_task, n, n_draws, message):
    with pytest.raises(AssayError, match=message):
        demonstration_sets(small_task.split("demonstration").head(2), n, n_draws, seed=0)
