"""From texts to a taxonomy: which requests are sent, and what becomes of replies."""

import pytest

from project.taxonomy.induce import NoLabelsWritten, Settings, induce, n_requests, summaries

SETTINGS = Settings("sort the letters", "Other", max_labels=3, summary_words=4, batch_texts=2)
TEXTS = ["a b", "c d", "e f", "g h", "i j"]


class Script:
    """A model that writes the replies of a list, one after the other, and fails beyond it."""

    def __init__(self, *replies):
        self.replies = list(replies)
        self.asked = []

    def __call__(self, prompts, max_tokens, seed):
        self.asked += [(prompt, max_tokens, seed) for prompt in prompts]
        return [self.replies.pop(0) for _ in prompts]


def listed(*names):
    return "\n".join(f"{name}: texts about {name}" for name in names)


def test_labels_are_proposed_updated_with_each_mini_batch_and_reviewed():
    model = Script(listed("X", "Y"), listed("X", "Y", "Z"), listed("X", "Z"), listed("X", "Zed"))

    found = induce(TEXTS, SETTINGS, model, seed=0)

    assert [step.name for step in found.steps] == ["propose", "update", "update", "review"]
    assert [step.n_texts for step in found.steps] == [2, 2, 1, 0]
    assert found.taxonomy.names == ("X", "Zed", "Other")
    assert len(model.asked) == n_requests(len(TEXTS), SETTINGS)
    assert "- a b\n- c d" in model.asked[0][0]
    assert "X: texts about X\nY: texts about Y" in model.asked[1][0]
    assert "- e f\n- g h" in model.asked[1][0]
    assert all("sort the letters" in prompt for prompt, _, _ in model.asked)


def test_a_reply_without_a_list_is_asked_for_again_with_another_seed():
    model = Script("I do not know.", listed("X", "Y"), listed("X", "Y"))

    found = induce(TEXTS[:2], SETTINGS, model, seed=5)

    assert found.steps[0].n_tries == 2
    assert [seed for _, _, seed in model.asked] == [15, 16, 15]


def test_an_update_that_holds_no_list_leaves_the_labels_before():
    model = Script(listed("X", "Y"), "no", "no", "no", listed("X", "Y"))

    found = induce(TEXTS[:4], SETTINGS, model, seed=0)

    assert [step.is_read for step in found.steps] == [True, False, True]
    assert found.steps[1].labels == found.steps[0].labels


def test_without_any_list_the_error_quotes_the_reply_and_names_a_way_out():
    with pytest.raises(NoLabelsWritten, match=r"begins 'I cannot'\. Use a larger model"):
        induce(TEXTS, SETTINGS, Script("I cannot", "I cannot", "I cannot"), seed=0)


def test_labels_beyond_the_limit_are_left_out_and_counted():
    model = Script(*[listed("X", "Y", "Z", "W")] * 2)

    found = induce(TEXTS[:2], SETTINGS, model, seed=0)

    assert found.taxonomy.names == ("X", "Y", "Z", "Other")
    assert found.n_cut == 1


def test_only_texts_that_are_longer_than_a_summary_get_one():
    model = Script("short enough")

    found = summaries(["one two", "one two three four five six"], SETTINGS, model)

    assert found == ["one two", "short enough"]
    assert len(model.asked) == 1
    assert "at most 4 words" in model.asked[0][0]


def test_a_summary_that_is_too_long_is_cut_and_an_empty_one_is_the_beginning_of_the_text():
    text = " ".join(map(str, range(20)))
    model = Script(" ".join("abcdefghijkl"), "")

    found = summaries([text, text], SETTINGS, model)

    assert found == ["a b c d e f g h", "0 1 2 3 4 5 6 7"]
