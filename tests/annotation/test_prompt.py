"""The prompt: the paper's template to the letter, demonstrations from the pool."""

import json

import pandas as pd
import pytest

from project.annotation.demonstrations import demonstration_sets
from project.annotation.prompt import build_prompt, build_prompts
from project.annotation.template import load_template
from project.config.prompt import PromptConfig
from project.support.errors import AssayError

SHOWN = pd.DataFrame(
    {
        "example_id": ["a", "b"],
        "text": ["good film", "{braces} stay"],
        "gold_label": ["positive", "negative"],
    }
)
LABELS = ("negative", "positive")


def test_the_prompt_is_the_papers_template_with_labels_by_name():
    prompt = build_prompt(LABELS, "You sort reviews.", SHOWN, style="name", draw=0)

    # Lu and Smith (2025), Appendix C
    assert prompt.render("a {strange} text") == (
        "### Instruction ###\nYou sort reviews.\nRespond with only the label name, nothing else.\n"
        "### Available Labels ###\nnegative\npositive\n"
        "### Examples ###\n"
        "Text to classify: good film\nLabel: positive\n"
        "Text to classify: {braces} stay\nLabel: negative\n"
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


def test_more_draws_begin_with_the_same_sets_in_any_order_of_the_pool(small_task):
    pool = small_task.split("demonstration")
    eight = ids(demonstration_sets(pool, 3, 8, seed=0))

    assert eight == ids(demonstration_sets(pool.sample(frac=1, random_state=1), 3, 8, seed=0))
    assert eight[:5] == ids(demonstration_sets(pool, 3, 5, seed=0))
    assert eight[0] != ids(demonstration_sets(pool, 3, 1, seed=1))[0]
    assert all(len(set(one)) == 3 for one in eight)


def test_all_draws_show_different_sets_even_from_a_tiny_pool(small_task):
    pool = small_task.split("demonstration").head(5)

    for seed in range(20):
        assert (
            len({frozenset(one) for one in ids(demonstration_sets(pool, 2, 10, seed=seed))}) == 10
        )


@pytest.mark.parametrize(
    ("n", "n_draws", "message"),
    [
        (3, 1, "n_demonstrations must be at most the size of the demonstration pool, 2; got 3"),
        (
            1,
            3,
            "ensemble_size must be at most 2, the number of different sets of 1 out of 2 .*; got 3",
        ),
    ],
)
def test_a_pool_with_too_few_sets_is_refused(small_task, n, n_draws, message):
    with pytest.raises(AssayError, match=message):
        demonstration_sets(small_task.split("demonstration").head(2), n, n_draws, seed=0)


def test_balanced_sets_show_all_classes_equally_often(small_task):
    pool = small_task.split("demonstration")

    for n in (3, 4, 8, 10):
        for shown in demonstration_sets(pool, n, 5, seed=0, balanced=True):
            counts = shown["gold_label"].value_counts().reindex(small_task.label_set, fill_value=0)
            assert len(shown) == n
            assert counts.max() - counts.min() <= 1


def test_a_pool_with_too_few_balanced_sets_is_refused(small_task):
    pool = small_task.split("demonstration")
    pool = pd.concat(
        [pool.groupby("gold_label").head(1), pool[pool["gold_label"] == "books"].iloc[1:2]]
    )  # one class has two rows

    with pytest.raises(AssayError, match="has no 3 different balanced sets of 4"):
        demonstration_sets(pool, 4, 3, seed=0, balanced=True)


def prompts_of(task, n_draws=1, **settings):
    settings = {"label_style": "name", **settings}
    return build_prompts(
        PromptConfig(**settings),
        task.label_set,
        task.description,
        task.split("demonstration"),
        n_draws=n_draws,
    )


def test_without_demonstrations_only_one_draw_is_allowed(small_task):
    (prompt,) = prompts_of(small_task, n_demonstrations=0)

    assert "### Examples ###\n\n### Input ###" in prompt.before
    assert prompt.demonstration_ids == ()
    with pytest.raises(
        AssayError,
        match="ensemble_size must be 1 without demonstrations: all 3 draws would be the same",
    ):
        prompts_of(small_task, 3, n_demonstrations=0)


@pytest.mark.parametrize("style", ["name", "integer", "letter"])
def test_permuted_labels_change_list_and_codes_but_not_the_order_of_answers(small_task, style):
    plain, *others = prompts_of(
        small_task, 6, n_demonstrations=0, permute_labels=True, label_style=style
    )

    assert plain == prompts_of(small_task, n_demonstrations=0, label_style=style)[0]
    assert len({prompt.before for prompt in others}) > 1
    for prompt in others:
        listed = prompt.before.split("### Available Labels ###\n")[1].split("\n### Examples")[0]
        if style == "name":
            assert sorted(listed.split("\n")) == sorted(small_task.label_set)
            assert prompt.answers == plain.answers
        else:
            codes = json.loads(listed)
            assert [codes[answer.strip()] for answer in prompt.answers] == list(
                small_task.label_set
            )


def test_a_template_from_a_file_is_filled(small_task, tmp_path):
    (tmp_path / "mine.txt").write_text(
        "{task_description} One of: {label_description}\n{demonstrations}\n"
        "In {{braces}}:\n{input_text}\n=>\n\n"
    )

    (prompt,) = prompts_of(small_task, template=str(tmp_path / "mine.txt"), n_demonstrations=1)

    assert prompt.render("a {text}").endswith("In {braces}:\na {text}\n=>\n")
    assert prompt.answers[0] == "books"  # behind a line break a label needs no space


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{label_description} {text}", r"placeholders must be among .*; got \{text\}"),
        ("{label_description}", "must hold {input_text} exactly once and {label_description}"),
        ("{input_text} {input_text} {label_description}", "exactly once"),
        ("{input_text} {label_description}", "{input_text} must come after all other placeholders"),
        ("{label_description} {input_text} {", "braces that are not a placeholder"),
    ],
)
def test_templates_with_wrong_placeholders_are_refused(tmp_path, template, message):
    (tmp_path / "bad.txt").write_text(template)

    with pytest.raises(AssayError, match=message):
        load_template(str(tmp_path / "bad.txt"))


def test_a_template_without_demonstrations_is_refused_if_there_are_some(small_task, tmp_path):
    (tmp_path / "bare.txt").write_text("{label_description} {input_text}")

    with pytest.raises(
        AssayError,
        match="shows no {demonstrations}. Add the placeholder, or set n_demonstrations=0",
    ):
        prompts_of(small_task, template=str(tmp_path / "bare.txt"))


def test_a_system_message_without_a_chat_is_refused():
    with pytest.raises(AssayError, match="system_prompt needs chat_template=true"):
        PromptConfig(system_prompt="You are.")


def test_too_many_labels_for_letters_are_refused():
    with pytest.raises(AssayError, match="label_style=letter can write 52 labels; the task has 60"):
        build_prompt(
            [f"label {n}" for n in range(60)], "Sort.", SHOWN.head(0), style="letter", draw=0
        )
