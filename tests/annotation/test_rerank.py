"""A cross-encoder as an annotator: its distributions, its prompts, and models it refuses."""

import shutil
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_expit, log_softmax
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from project.annotation.annotate import annotate
from project.annotation.cost import Meter
from project.annotation.engines.rerank.engine import RerankAnnotator
from project.annotation.engines.transformers.feeding import CPU
from project.annotation.pairs import PairPrompt, pair_prompt
from project.config.annotation import AnnotateConfig, SpendConfig
from project.config.experiment import ExperimentConfig
from project.config.prompt import PromptConfig
from project.data.label_question import load_one_card
from project.support.errors import AssayError
from tests.helpers.pets import CARD
from tests.helpers.tiny_models import save_cross_encoder

NLI = ("contradiction", "neutral", "Entailment")
ENDS = ("books.", "accessories.", "electronics.", "household.")
LABELS = ("books", "kitchen")


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory, words):
    """A function from names of outputs to the folder of a cross-encoder that has them."""
    folders = {}

    def make(*outputs, name="Bert"):
        if (outputs, name) not in folders:
            folders[outputs, name] = tmp_path_factory.mktemp("cross-encoder")
            save_cross_encoder(
                ["This", "example", "is", ".", *LABELS, *ENDS, *words],
                folders[outputs, name],
                outputs,
                name,
            )
        return folders[outputs, name]

    return make


def engine_of(folder, feeding=None, **settings):
    settings = {"annotator_dtype": "float32", **settings}
    return RerankAnnotator(AnnotateConfig("rerank", str(folder), **settings), feeding)


def prompt_of(*answers):
    return PairPrompt(0, "", "", answers, label_set=LABELS)


PROMPT = prompt_of("This example is books .", "This example is kitchen .")


def texts_of(words, lengths=(3, 40, 1, 12, 12, 7)):
    return [" ".join(words[100 * i : 100 * i + n]) for i, n in enumerate(lengths)]


@pytest.mark.parametrize("outputs", [NLI, ("entailment", "not_entailment")])
def test_an_nli_model_answers_as_the_pipeline_of_transformers(folder_of, words, outputs):
    folder = folder_of(*outputs)
    texts = texts_of(words, (3, 90, 12))  # one is cut
    theirs = pipeline("zero-shot-classification", model=str(folder), device=-1)

    ours = engine_of(folder).read(PROMPT, texts)
    alone = engine_of(folder).read(prompt_of("", PROMPT.answers[1]), texts)

    form = {"candidate_labels": list(LABELS), "hypothesis_template": "This example is {} ."}
    for text, logs, fits in zip(
        texts, ours.log_probabilities, alone.log_probabilities, strict=True
    ):
        answer = theirs(text, **form)
        scores = dict(zip(answer["labels"], answer["scores"], strict=True))
        assert np.exp(logs) == pytest.approx([scores[label] for label in LABELS], abs=1e-6)
        answer = theirs(text, multi_label=True, **form)
        scores = dict(zip(answer["labels"], answer["scores"], strict=True))
        assert np.exp(fits[1]) == pytest.approx(scores["kitchen"], abs=1e-6)
    assert list(ours.truncated) == [False, True, False]
    assert np.isnan(ours.label_mass).all()


@pytest.mark.parametrize("name", ["Bert", "DistilBert"])
def test_a_reranker_answers_with_the_softmax_of_its_scores(folder_of, words, name):
    folder = folder_of("LABEL_0", name=name)
    texts = texts_of(words)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    answers = engine_of(folder).read(PROMPT, texts)
    alone = engine_of(folder).read(prompt_of("", PROMPT.answers[1]), texts)

    for row, text in enumerate(texts):
        pairs = tokenizer([text] * 2, list(PROMPT.answers), return_tensors="pt", padding=True)
        with torch.inference_mode():
            scores = model(**pairs).logits[:, 0].double().numpy()
        assert answers.log_probabilities[row] == pytest.approx(log_softmax(scores), abs=1e-5)
        assert alone.log_probabilities[row, 1] == pytest.approx(log_expit(scores[1]), abs=1e-5)
    assert len(set(answers.log_probabilities[:, 0])) == len(texts)
    assert answers.prompt_tokens[0] == 2 * (3 + 3 + 5)


def test_a_model_that_padding_changes_gets_batches_of_one_length(folder_of, words, monkeypatch):
    engine = engine_of(folder_of("LABEL_0"))
    texts = texts_of(words)
    expected = engine.read(PROMPT, texts).log_probabilities
    broken = engine_of(folder_of("LABEL_0"))
    # No padding is exact enough.
    monkeypatch.setattr("project.annotation.engines.rerank.scorer.MAX_DIFFERENCE", -1.0)
    assert not broken.scorer.padded
    masks = []
    broken.scorer._model.register_forward_pre_hook(
        lambda _module, _args, named: masks.append(named["attention_mask"]), with_kwargs=True
    )

    assert broken.read(PROMPT, texts).log_probabilities == pytest.approx(expected, abs=1e-5)
    assert all(bool(mask.all()) for mask in masks)
    assert "batches of pairs of one length" in broken.notes[0]


def annotated(engines, small_task, folder, **settings):
    config = AnnotateConfig("rerank", "elsewhere", **settings)
    prompt = pair_prompt(PromptConfig(), small_task.card)
    arguments = (engines, [prompt], small_task.split("train"), small_task.label_set)
    (draw,) = annotate(
        *arguments,
        config=config,
        folder=folder,
        progress=lambda n: None,
        meter=Meter(SpendConfig()),
    )
    return draw


def test_answers_are_the_same_bits_for_several_workers_and_are_not_asked_for_twice(
    folder_of, small_task, tmp_path
):
    feeding = CPU._replace(shard_size=8)
    one, two, three = (engine_of(folder_of(*NLI), feeding) for _ in range(3))

    single = annotated([one], small_task, tmp_path / "one", calibration="none")
    shared = annotated([two, three], small_task, tmp_path / "two", calibration="none")
    again = annotated([one], small_task, tmp_path / "one", calibration="none")

    tables = [draw.table.drop(columns="seconds") for draw in (single, shared, again)]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])
    assert (single.n_asked, again.n_asked) == (32, 0)


def test_calibration_and_repeats_work_on_the_scores(folder_of, small_task, tmp_path):
    draw = annotated(
        [engine_of(folder_of(*NLI))], small_task, tmp_path, calibration="batch", repeats=3
    )

    assert draw.table["consistency"].between(0, 1).all()
    assert draw.table["label"].nunique() > 1


@pytest.mark.parametrize(
    ("outputs", "error"),
    [
        (("positive", "negative"), "exactly one output whose name begins with 'entail'"),
        (("LABEL_0", "LABEL_1", "LABEL_2"), "outputs are LABEL_0, LABEL_1, LABEL_2.*id2label"),
    ],
)
def test_a_model_without_a_class_for_entailment_is_refused(folder_of, outputs, error):
    with pytest.raises(AssayError, match=error):
        engine_of(folder_of(*outputs)).read(PROMPT, ["text"])


def test_an_llm_an_encoder_and_the_bundled_model_are_refused(tiny_llm, tiny_encoder, tmp_path):
    with pytest.raises(AssayError, match="is a LlamaForCausalLM.*Use annotator=transformers"):
        engine_of(tiny_llm).read(PROMPT, ["text"])
    with pytest.raises(AssayError, match=r"is a BertModel.*Name a cross-encoder"):
        engine_of(tiny_encoder).read(PROMPT, ["text"])
    with pytest.raises(AssayError, match="annotator=rerank needs annotator_model"):
        AnnotateConfig("rerank")
    shutil.copytree(tiny_encoder, tmp_path / "headless")
    config = tmp_path / "headless" / "config.json"
    config.write_text(
        config.read_text()
        .replace('"BertModel"', '"BertForSequenceClassification"')
        .replace('"hidden_size"', '"id2label": {"0": "x"}, "label2id": {"x": 0}, "hidden_size"')
    )
    with pytest.raises(AssayError, match="its weights lack classifier"):
        engine_of(tmp_path / "headless").read(PROMPT, ["text"])


def test_weights_in_a_pickle_are_refused(folder_of, tmp_path):
    shutil.copytree(folder_of("LABEL_0"), tmp_path / "pickle")
    (tmp_path / "pickle" / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pickle" / "pytorch_model.bin")

    with pytest.raises(AssayError, match="could not be loaded as a cross-encoder"):
        engine_of(tmp_path / "pickle").read(PROMPT, ["text"])


def test_label_texts_that_leave_no_room_or_have_the_same_tokens_are_refused(folder_of):
    with pytest.raises(AssayError, match=r"within the 64 tokens .* takes 73"):
        engine_of(folder_of(*NLI)).read(prompt_of("books", "is " * 70), ["text"])
    with pytest.raises(AssayError, match="as the same tokens"):
        engine_of(folder_of(*NLI)).read(prompt_of("unheard", "unseen"), ["text"])


def test_label_texts_come_from_the_names_or_from_a_file(small_task, tmp_path):
    card = small_task.card
    path = tmp_path / "texts.txt"
    config = PromptConfig(template=str(path))

    assert pair_prompt(PromptConfig(), card).answers[0] == "This example is books."
    path.write_text("A listing of {label}.\n")
    assert pair_prompt(config, card).answers[1] == "A listing of clothing & accessories."
    path.write_text("".join(f"{label}: about {label}\n" for label in reversed(card.labels)))
    assert pair_prompt(config, card).answers == tuple(f"about {label}" for label in card.labels)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("Text: {input_text} {label}", r"\{label\}, \{task_description\}.*got \{input_text\}"),
        ("books: a\nhousehold: b", "has none for 'clothing & accessories', 'electronics'"),
        ("books: a\nbooks: b", "'books' has two"),
        ("toys: a", "got the line 'toys: a'"),
        (
            "books: one\nclothing & accessories: two\nelectronics: two\nhousehold: three",
            "'clothing & accessories' and 'electronics' have the same text",
        ),
    ],
)
def test_label_texts_that_do_not_fit_the_card_are_refused(small_task, tmp_path, content, error):
    path = tmp_path / "texts.txt"
    path.write_text(content)

    with pytest.raises(AssayError, match=error):
        pair_prompt(PromptConfig(template=str(path)), small_task.card)


def test_one_label_of_several_is_asked_about_with_its_own_text(pets):
    task = pets(card=CARD + "label_type: multi\n")

    prompt = pair_prompt(PromptConfig(), load_one_card(task.task, "dog"))

    assert prompt.answers == ("", "This example is dog.")


def test_demonstrations_and_several_draws_are_refused_and_defaults_become_none():
    annotate_config = AnnotateConfig("rerank", "elsewhere")

    config = ExperimentConfig(annotate=annotate_config)

    assert config.prompt.n_demonstrations == 0
    assert config.prompt.ensemble_size == 1
    refused: tuple[tuple[str, Any, str], ...] = (
        ("n_demonstrations", 5, "n_demonstrations must be 0 with annotator=rerank; got 5"),
        ("ensemble_size", 3, "ensemble_size must be 1 .*got 3. Every draw would be the same"),
        ("label_style", "letter", "label_style must be name"),
        ("permute_labels", True, "permute_labels must be false"),
        ("chat_template", True, "chat_template must be false"),
    )
    for name, value, error in refused:
        with pytest.raises(AssayError, match=error):
            ExperimentConfig(annotate=annotate_config, prompt=PromptConfig(**{name: value}))
