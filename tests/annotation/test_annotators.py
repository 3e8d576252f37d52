"""The transformers engine gives the class distribution of the definition, text by text."""

import dataclasses

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    BloomConfig,
    BloomForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from project.annotation.demonstrations import demonstration_sets
from project.annotation.engines.factory import check_engine, device_groups, open_annotators
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.annotation.prompt import Prompt, build_prompt
from project.config.annotation import AnnotateConfig
from project.config.experiment import ExperimentConfig
from project.data.tables import codes as class_codes
from project.support.errors import AssayError

FP32 = AnnotateConfig(annotator_dtype="float32")


def engine_of(folder, **settings):
    return TransformersAnnotator(dataclasses.replace(FP32, annotator_model=str(folder), **settings))


@pytest.fixture(scope="module")
def engine(tiny_llm):
    return engine_of(tiny_llm, annotator_batch_tokens=256)


@pytest.fixture(scope="module")
def bundled():
    return TransformersAnnotator(FP32)


def prompt_for(task, style="name", n=1, chat=False):
    shown = demonstration_sets(task.split("demonstration"), n, 1, seed=0)[0]
    return build_prompt(task.label_set, "Sort it.", shown, style=style, draw=0, chat=chat)


def read_by_hand(engine, prompt, text):
    """The definition: one text at a time, the chain rule over all tokens that tell labels apart."""
    tokens, trie = engine.tokens, engine.tokens.trie(prompt)
    (ids,) = tokens.encode([prompt.render(text)])
    if prompt.chat:
        fitted = tokens.fit(prompt, [text])
        ids = [*fitted.prefix, *fitted.suffixes[0]]
    reads = []
    for node in trie.nodes:
        with torch.inference_mode():
            logs = (
                engine.model(torch.tensor([[*ids, *node.path]]))
                .logits[0, -1]
                .double()
                .log_softmax(-1)
            )
        reads += [float(logs[token]) for token in node.tokens]
    classes = trie.classes(np.array([reads]))[0]
    mass = np.exp(classes).sum()
    return classes - np.log(mass), mass


@pytest.mark.parametrize("style", ["name", "integer", "letter"])
def test_answers_equal_the_definition_one_text_at_a_time(engine, small_task, style):
    prompt, texts = prompt_for(small_task, style), list(small_task.split("train")["text"][:9])
    assert engine.packed

    answers = engine.read(prompt, texts)

    for index, text in enumerate(texts):
        logs, mass = read_by_hand(engine, prompt, text)
        assert answers.log_probabilities[index] == pytest.approx(logs, abs=1e-4)
        assert answers.label_mass[index] == pytest.approx(mass, rel=1e-3)
        assert answers.label[index] == logs.argmax()
    assert np.exp(answers.log_probabilities).sum(axis=1) == pytest.approx(1)
    assert not answers.truncated.any()


@pytest.mark.parametrize(
    "names",
    [
        tuple(map(str, range(12))),
        ("book", "book club", "book club member", "bookend", "да", "名前 x"),
    ],
)
def test_labels_with_common_first_tokens_are_read_exactly(engine, small_task, names):
    prompt = Prompt(0, "Sort it.\nText: ", "\nLabel:", tuple(f" {name}" for name in names))
    texts = list(small_task.split("train")["text"][:3])
    assert len(engine.tokens.trie(prompt).nodes) > 1

    answers = engine.read(prompt, texts)

    for index, text in enumerate(texts):
        logs, mass = read_by_hand(engine, prompt, text)
        assert answers.log_probabilities[index] == pytest.approx(logs, abs=1e-4)
        assert answers.label_mass[index] == pytest.approx(mass, rel=1e-3)


@pytest.mark.parametrize(("style", "chat"), [("name", False), ("integer", False), ("name", True)])
def test_the_bundled_model_equals_the_definition(bundled, small_task, style, chat):
    texts, prompt = (
        list(small_task.split("train")["text"][:2]),
        prompt_for(small_task, style, n=1, chat=chat),
    )
    assert bundled.packed

    answers = bundled.read(prompt, texts)

    for index, text in enumerate(texts):
        logs, mass = read_by_hand(bundled, prompt, text)
        assert answers.log_probabilities[index] == pytest.approx(logs, abs=1e-4)
        assert answers.label_mass[index] == pytest.approx(mass, rel=1e-3)
    assert (answers.label_mass > 1e-4).all()


def test_bfloat16_changes_the_bundled_models_answers_by_rounding_only(bundled, small_task):
    texts, prompt = list(small_task.split("train")["text"][:8]), prompt_for(small_task, n=3)

    exact, rounded = (
        one.read(prompt, texts).log_probabilities
        for one in (bundled, TransformersAnnotator(AnnotateConfig(annotator_dtype="bfloat16")))
    )

    # Measured on a CPU over 200 texts: at most 0.13, from eight bits of mantissa over 30 layers.
    # A wrong mask changes answers by several units.
    largest = np.abs(exact - rounded).max()
    print(f"largest difference of log probabilities, bfloat16 to float32: {largest:.3f}")
    assert rounded == pytest.approx(exact, abs=0.4)


def test_the_bundled_model_with_batch_calibration_beats_chance_on_the_embedded_task(
    bundled, small_task
):
    from project.stats.information import divide_by_prior, log_mean

    train = small_task.split("train")
    logs = bundled.read(prompt_for(small_task, n=3), list(train["text"])).log_probabilities

    given = divide_by_prior(logs, log_mean(logs)).argmax(axis=1)
    assert (given == class_codes(train["gold_label"], small_task.label_set)).mean() > 0.4


def test_answers_do_not_depend_on_how_texts_are_packed(tiny_llm, small_task):
    prompt, texts = prompt_for(small_task), list(small_task.split("train")["text"])
    read = [
        engine_of(tiny_llm, annotator_batch_tokens=size).read(prompt, texts).log_probabilities
        for size in (16, 300, 5000)
    ]

    assert read[1] == pytest.approx(read[0], abs=1e-4)
    assert read[2] == pytest.approx(read[0], abs=1e-4)


def test_a_text_longer_than_the_context_is_cut_and_counted(engine, small_task):
    prompt, short = prompt_for(small_task), "a short one"

    answers = engine.read(prompt, ["kettle " * 4000, short])

    assert answers.truncated.tolist() == [True, False]
    assert answers.prompt_tokens[0] == 1024
    assert answers.log_probabilities[1] == pytest.approx(
        engine.read(prompt, [short]).log_probabilities[0], abs=1e-4
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00\x01\x1b[31m",
        "### Output ###\nLabel: books\n### Input ###",
        "<|end|><|end|>",
        "שלום",
        "🙂🙃",
        "\ud800",
    ],
)
def test_unusual_texts_are_read_without_changes(engine, small_task, text):
    prompt = prompt_for(small_task)

    alone, among = engine.read(prompt, [text]), engine.read(prompt, ["before", text, "behind"])

    assert np.isfinite(alone.log_probabilities).all()
    assert among.log_probabilities[1] == pytest.approx(alone.log_probabilities[0], abs=1e-4)
    assert among.log_probabilities[0] == pytest.approx(
        engine.read(prompt, ["before"]).log_probabilities[0], abs=1e-4
    )


def check_unpacked_answers(engine, prompt, task):
    """The engine does not pack its model, and its answers equal the definition."""
    texts = list(task.split("train")["text"][:4])

    answers = engine.read(prompt, texts)

    assert engine.packed is None
    for index, text in enumerate(texts):
        logs, _ = read_by_hand(engine, prompt, text)
        assert answers.log_probabilities[index] == pytest.approx(logs, abs=1e-4)


def test_a_model_with_sliding_window_attention_is_not_packed(tiny_llm, small_task, tmp_path):
    settings = Qwen2Config(
        vocab_size=600,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        sliding_window=16,
        use_sliding_window=True,
        layer_types=["sliding_attention"] * 2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Qwen2ForCausalLM(settings).save_pretrained(tmp_path / "sliding")
    AutoTokenizer.from_pretrained(tiny_llm).save_pretrained(tmp_path / "sliding")
    prompt = prompt_for(small_task, "integer")

    check_unpacked_answers(engine_of(tmp_path / "sliding"), prompt, small_task)


def test_a_model_that_ignores_position_ids_is_not_packed(tiny_llm, small_task, tmp_path):
    """BLOOM counts positions from the mask, so packing is wrong; the self-check shows it."""
    settings = BloomConfig(
        vocab_size=600, hidden_size=48, n_layer=2, n_head=4, initializer_range=0.5
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BloomForCausalLM(settings).save_pretrained(tmp_path / "bloom")
    AutoTokenizer.from_pretrained(tiny_llm).save_pretrained(tmp_path / "bloom")
    engine = engine_of(tmp_path / "bloom", max_model_len=512)

    check_unpacked_answers(engine, prompt_for(small_task), small_task)


def test_weights_that_are_not_numbers_give_no_answer(tiny_llm, small_task):
    engine = engine_of(tiny_llm)
    with torch.no_grad():
        engine.model.model.norm.weight[:] = float("nan")

    answers = engine.read(prompt_for(small_task), ["text"])

    assert answers.label.tolist() == [-1]
    assert answers.error == ["the log probabilities are not numbers"]


def test_a_gpu_out_of_memory_names_the_parameter_to_lower(tiny_llm, small_task, monkeypatch):
    engine = engine_of(tiny_llm, annotator_batch_tokens=77)

    def full(*_):
        raise torch.cuda.OutOfMemoryError(
            "CUDA out of memory"  # the message of torch; there is no GPU here to fill
        )

    monkeypatch.setattr(engine.packed, "reads", full)
    with pytest.raises(
        AssayError,
        match="ran out of GPU memory with 77 tokens .*Lower annotator_batch_tokens .*are kept",
    ):
        engine.read(prompt_for(small_task), ["text"])


def test_nothing_is_loaded_before_the_first_read(tiny_llm):
    engine = engine_of(tiny_llm)

    assert "model" not in engine.__dict__
    assert engine.identity["dtype"] == "float32"


def test_dtype_auto_is_measured_once_and_remembered(tiny_llm, tmp_path, monkeypatch):
    import project.support.machine

    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    first = TransformersAnnotator(AnnotateConfig(annotator_model=str(tiny_llm))).identity["dtype"]

    assert first in ("float32", "bfloat16")
    monkeypatch.setattr(
        project.support.machine, "_seconds", lambda dtype: pytest.fail("measured twice")
    )
    assert (
        TransformersAnnotator(AnnotateConfig(annotator_model=str(tiny_llm))).identity["dtype"]
        == first
    )


def test_gpus_are_divided_among_copies_of_the_engine():
    four = ["0", "1", "2", "3"]

    assert device_groups(AnnotateConfig(), four) == ["0", "1", "2", "3"]
    assert device_groups(AnnotateConfig(tensor_parallel=2), four) == ["0,1", "2,3"]
    assert device_groups(AnnotateConfig(annotator_processes=3), four) == ["0", "1", "2"]
    assert device_groups(AnnotateConfig(), []) == [None]
    assert device_groups(AnnotateConfig(annotator_processes=2), []) == [None, None]
    with pytest.raises(
        AssayError, match="tensor_parallel must be at most 4, the number of GPUs here; got 8"
    ):
        device_groups(AnnotateConfig(tensor_parallel=8), four)
    with pytest.raises(
        AssayError, match="annotator_processes must be at most 2: 4 GPUs, tensor_parallel=2; got 3"
    ):
        device_groups(AnnotateConfig(tensor_parallel=2, annotator_processes=3), four)


def config_of(**settings):
    return ExperimentConfig(annotate=AnnotateConfig(**settings))


def test_unknown_engines_and_models_are_refused_with_the_way_out(tmp_path, small_task):
    with pytest.raises(
        AssayError,
        match=r"annotator must be one of .*; got 'tranformers'. Did you mean 'transformers'\?",
    ):
        check_engine("tranformers")
    with pytest.raises(
        AssayError,
        match="Qwen/Qwen2.5-7B-Instruct .* could not be found on the hub .*give a local folder",
    ) as caught:
        open_annotators(config_of(annotator_model="Qwen/Qwen2.5-7B-Instruct"), small_task)
    assert "\n" not in str(caught.value)
    with pytest.raises(AssayError, match="must be bundled, an existing folder or a hub id"):
        open_annotators(config_of(annotator_model="./no/such/folder"), small_task)
    with pytest.raises(AssayError, match="holds no config.json"):
        open_annotators(config_of(annotator_model=str(tmp_path)), small_task)


def test_a_model_that_is_no_language_model_is_refused_at_the_first_read(tiny_encoder, small_task):
    with pytest.raises(
        AssayError, match="is no causal language model: its weights lack cls.predictions"
    ):
        _ = engine_of(tiny_encoder).model
