"""The transformers engine: the exact class distribution, read at the right token, from one forward pass."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from project.annotators import open_annotator
from project.annotators.tokens import Codes, label_codes
from project.annotators.transformers import TransformersAnnotator
from project.config import AnnotateConfig
from project.errors import AssayError
from project.prompt import Prompt, build_prompt, demonstration_sets
from project.tables import codes as class_codes


@pytest.fixture(scope="module")
def engine(tiny_llm):
    return open_annotator(AnnotateConfig(annotator_model=str(tiny_llm), annotator_batch_size=4))


@pytest.fixture(scope="module")
def bundled():
    return open_annotator(AnnotateConfig())


def prompt_for(task, style="name", n=1):
    return build_prompt(task.label_set, "Sort it.", demonstration_sets(task.split("demonstration"), n, 1, seed=0)[0], style=style, draw=0)


def read_by_hand(engine, prompt, text):
    """The definition, one text at a time: softmax over the vocabulary after every token of every answer, no cache, no padding."""
    tokenizer, model = engine._tokens._tokenizer, engine._model
    ids = tokenizer(prompt.render(text))["input_ids"]
    tails = [tokenizer(prompt.render(text) + answer)["input_ids"][len(ids) :] for answer in prompt.answers]
    shared = 0
    while len({tail[shared] for tail in tails}) == 1:
        shared += 1
    with torch.inference_mode():
        logs = model(torch.tensor([ids + tails[0][:shared]])).logits[0].double().log_softmax(-1)
    path = sum(float(logs[len(ids) - 1 + i, tails[0][i]]) for i in range(shared))
    classes = np.array([path + float(logs[-1, tail[shared]]) for tail in tails])
    mass = np.exp(classes).sum()
    return classes - np.log(mass), mass


@pytest.mark.parametrize("style", ["name", "integer"])
def test_answers_equal_the_definition_one_text_at_a_time(engine, small_task, style):
    prompt, texts = prompt_for(small_task, style), list(small_task.split("train")["text"][:9])

    answers = engine.read(prompt, texts)

    for index, text in enumerate(texts):
        logs, mass = read_by_hand(engine, prompt, text)
        assert answers.log_probabilities[index] == pytest.approx(logs, abs=1e-4)
        assert answers.label_mass[index] == pytest.approx(mass, rel=1e-3)
    assert np.exp(answers.log_probabilities).sum(axis=1) == pytest.approx(1)
    assert not answers.truncated.any()


def test_the_bundled_model_equals_the_definition_and_reads_the_digit_not_the_space(bundled, small_task):
    texts = list(small_task.split("train")["text"][:3])
    for style in ("name", "integer"):
        prompt = prompt_for(small_task, style, n=3)
        answers = bundled.read(prompt, texts)
        for index, text in enumerate(texts):
            logs, mass = read_by_hand(bundled, prompt, text)
            assert answers.log_probabilities[index] == pytest.approx(logs, abs=1e-4)
            assert answers.label_mass[index] == pytest.approx(mass, rel=1e-3)
    assert (answers.label_mass > 1e-4).all()


def test_the_bundled_model_with_batch_calibration_beats_chance_on_the_embedded_task(bundled, small_task):
    from project.stats.information import divide_by_prior, log_mean

    train = small_task.split("train")
    logs = bundled.read(prompt_for(small_task, n=3), list(train["text"])).log_probabilities

    given = divide_by_prior(logs, log_mean(logs)).argmax(axis=1)
    assert (given == class_codes(train["gold_label"], small_task.label_set)).mean() > 0.4


def test_answers_do_not_depend_on_batching(tiny_llm, small_task):
    prompt, texts = prompt_for(small_task), list(small_task.split("train")["text"])
    read = [
        open_annotator(AnnotateConfig(annotator_model=str(tiny_llm), annotator_batch_size=size)).read(prompt, texts).log_probabilities
        for size in (1, 7, 32)
    ]

    assert read[1] == pytest.approx(read[0], abs=1e-5)
    assert read[2] == pytest.approx(read[0], abs=1e-5)


def test_a_text_longer_than_the_context_is_cut_at_its_end_and_counted(engine, small_task):
    prompt, short = prompt_for(small_task), "a short one"

    answers = engine.read(prompt, ["kettle " * 4000, short])

    assert answers.truncated.tolist() == [True, False]
    assert answers.prompt_tokens[0] <= 1024
    assert answers.log_probabilities[1] == pytest.approx(engine.read(prompt, [short]).log_probabilities[0], abs=1e-5)


def test_a_prompt_that_fills_the_context_alone_is_refused(engine, small_task):
    prompt = build_prompt(
        small_task.label_set, "word " * 2000, demonstration_sets(small_task.split("demonstration"), 1, 1, seed=0)[0], style="name", draw=0
    )

    with pytest.raises(AssayError, match=r"the prompt without its text has \d+ tokens, more than the 1024 .*Lower n_demonstrations"):
        engine.read(prompt, ["text"])


def test_special_tokens_spelt_out_in_a_text_stay_plain_characters(engine, small_task):
    assert 0 not in engine._tokens.encode("so <|end|> it goes")
    assert engine._tokens._tokenizer("<|end|>")["input_ids"] == [0]


def test_labels_that_share_their_first_token_are_refused_by_name(engine):
    prompt = Prompt(0, "Sort it.\nText:", "\nLabel:", (" books", " books and more", " household"), ())

    with pytest.raises(AssayError, match="labels 'books' and 'books and more' begin with the same token"):
        engine.read(prompt, ["text"])


def test_codes_skip_what_all_answers_share():
    # a space (9) and then the digits 4, 5, 6
    assert label_codes([1, 2], [[1, 2, 9, 4], [1, 2, 9, 5], [1, 2, 9, 6]], [" 0", " 1", " 2"]) == Codes((9,), (4, 5, 6))
    assert label_codes([1], [[1, 4, 7], [1, 5]], [" a b", " c"]) == Codes((), (4, 5))


def test_ten_integers_that_begin_alike_are_refused():
    with pytest.raises(AssayError, match="labels '1' and '10' begin with the same token"):
        label_codes([1], [[1, 9, 4], [1, 9, 5], [1, 9, 5, 4]], [" 0", " 1", " 10"])


def test_a_label_that_changes_the_prompts_own_tokens_is_refused():
    with pytest.raises(AssayError, match="label 'a' melts into the end of the prompt"):
        label_codes([1, 2], [[1, 7], [1, 2, 3]], [" a", " b"])


def test_a_model_without_plain_full_attention_is_read_without_the_prefix_cache(tiny_llm, small_task):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_llm), AutoTokenizer.from_pretrained(tiny_llm)
    model.config.sliding_window, model.config.layer_types = 64, ["sliding_attention"] * 2
    engine = TransformersAnnotator(model, tokenizer, name="sliding", weights="x", batch_size=4)
    prompt, texts = prompt_for(small_task), list(small_task.split("train")["text"][:4])

    answers = engine.read(prompt, texts)

    assert engine._prefix[1] is None
    for index, text in enumerate(texts):
        assert answers.log_probabilities[index] == pytest.approx(read_by_hand(engine, prompt, text)[0], abs=1e-4)


def test_unknown_engines_and_models_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(AssayError, match=r"annotator must be one of .*; got 'tranformers'. Did you mean 'transformers'\?"):
        open_annotator(AnnotateConfig(annotator="tranformers"))
    with pytest.raises(AssayError, match="Qwen/Qwen2.5-7B-Instruct .* could not be found on the hub .*give a local folder") as caught:
        open_annotator(AnnotateConfig(annotator_model="Qwen/Qwen2.5-7B-Instruct"))
    assert "\n" not in str(caught.value)
    with pytest.raises(AssayError, match="must be bundled, an existing folder or a hub id"):
        open_annotator(AnnotateConfig(annotator_model="./no/such/folder"))
    with pytest.raises(AssayError, match="holds no config.json"):
        open_annotator(AnnotateConfig(annotator_model=str(tmp_path)))
