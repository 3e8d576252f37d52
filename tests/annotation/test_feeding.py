"""Texts are fed to a GPU in full passes that are queued ahead; the answers stay the same."""

import numpy as np
import pytest
import torch

from project.annotation.engines.transformers.attention import BlockAttention, Row, block_width
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.annotation.engines.transformers.feeding import (
    CPU,
    GPU,
    chunks,
    exact_products,
    fastest_batch,
    slices,
)
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig
from project.support.gpu_dtype import gpu_dtype

PROMPT = Prompt(0, "Sort it.\nText: ", "\nLabel:", (" 1", " 10", " 11", " 2"))
TEXTS = [f"kettle {'steel ' * (index % 7)}number {index}" for index in range(60)]
# What a GPU gets, with smaller parts so that a few texts fill several of them.
AS_ON_A_GPU = GPU._replace(device="cpu", batch_tokens=128, first=25)


def engine_of(folder, feeding, **settings):
    config = AnnotateConfig(annotator_dtype="float32", annotator_model=str(folder), **settings)
    return TransformersAnnotator(config, feeding)


@pytest.fixture(scope="module")
def on_a_gpu(tiny_llm):
    return engine_of(tiny_llm, AS_ON_A_GPU)


def test_a_gpu_gets_the_same_answers_as_a_cpu(tiny_llm, on_a_gpu):
    expected = engine_of(tiny_llm, CPU).read(PROMPT, TEXTS)

    answers = on_a_gpu.read(PROMPT, TEXTS)

    assert on_a_gpu.packed
    assert answers.log_probabilities == pytest.approx(expected.log_probabilities, abs=1e-4)
    assert answers.prompt_tokens.tolist() == expected.prompt_tokens.tolist()


def test_every_answer_of_a_gpu_is_handed_over_once_and_pass_by_pass(on_a_gpu):
    arrived = []

    answers = on_a_gpu.read(PROMPT, TEXTS, lambda *answer: arrived.append(answer))

    positions = [position for some, _ in arrived for position in some]
    assert sorted(positions) == list(range(len(TEXTS)))
    assert len(arrived) > 5
    for some, part in arrived:
        assert np.array_equal(part.log_probabilities, answers.log_probabilities[some])
        assert part.prompt_tokens.tolist() == answers.prompt_tokens[some].tolist()


def test_an_error_hands_over_the_passes_that_were_queued(on_a_gpu, monkeypatch):
    reads = on_a_gpu.packed.reads
    n_passes = 0

    def interrupted(*arguments):
        nonlocal n_passes
        n_passes += 1
        if n_passes == 4:
            raise KeyboardInterrupt
        return reads(*arguments)

    monkeypatch.setattr(on_a_gpu.packed, "reads", interrupted)
    arrived = []
    with pytest.raises(KeyboardInterrupt):
        on_a_gpu.read(PROMPT, TEXTS, lambda positions, _: arrived.append(positions))

    assert len(arrived) == 3


def test_passes_that_do_not_fit_the_memory_are_halved_and_nothing_is_lost(tiny_llm, monkeypatch):
    engine = engine_of(tiny_llm, AS_ON_A_GPU._replace(batch_tokens=4096))
    expected = engine.read(PROMPT, TEXTS)
    reads = engine.packed.reads

    def full(prefix, suffixes, trie):
        if len(suffixes) > 30:  # the first part has 25 texts, the second one 35
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")  # as torch words it
        return reads(prefix, suffixes, trie)

    monkeypatch.setattr(engine.packed, "reads", full)
    monkeypatch.setattr("project.annotation.engines.transformers.passes._MIN_TOKENS", 64)
    arrived = []
    answers = engine.read(PROMPT, TEXTS, lambda positions, _: arrived.extend(positions))

    assert answers.log_probabilities == pytest.approx(expected.log_probabilities, abs=1e-4)
    assert sorted(arrived) == list(range(len(TEXTS)))
    assert engine.notes[-1].startswith("annotator: ")
    assert "tokens in a forward pass did not fit the GPU's memory" in engine.notes[-1]


def test_shards_of_a_gpu_fill_its_passes():
    lengths = [40 + index % 43 for index in range(GPU.shard_size)]  # 61 tokens on average

    for part in slices(GPU.shard_size, GPU.first):
        sizes = [
            sum(lengths[index] for index in chunk)
            for chunk in chunks(
                lengths, part, n_extra=0, batch_tokens=GPU.batch_tokens, padded=False
            )
        ]
        assert min(sizes) > 0.9 * GPU.batch_tokens
    # Shards of 64 texts would fill less than half of a pass.
    (small,) = chunks(lengths, range(64), n_extra=0, batch_tokens=GPU.batch_tokens, padded=False)
    assert sum(lengths[index] for index in small) < 0.5 * GPU.batch_tokens


@pytest.mark.parametrize("start", [0, 37])
@pytest.mark.parametrize("n_inner", [0, 3])
def test_attention_in_blocks_is_that_behind_a_mask_over_the_row(start, n_inner):
    generator = torch.Generator().manual_seed(0)
    sees = torch.ones(n_inner, n_inner, dtype=torch.bool).tril()
    if n_inner:
        sees[2, 1] = False  # siblings
    sizes = [int(size) for size in torch.randint(4, 120, (20,), generator=generator)]
    n = sum(sizes)
    query = torch.randn(1, 4, n, 8, generator=generator)
    key, value = (torch.randn(1, 2, n, 8, generator=generator) for _ in range(2))
    before = [torch.randn(1, 2, start, 8, generator=generator) for _ in range(2)]
    text = torch.repeat_interleave(torch.arange(20), torch.tensor(sizes))
    mask = (text[:, None] == text[None]).tril()
    for end in np.cumsum(sizes):
        mask[end - n_inner : end, end - n_inner : end] = sees
    mask = torch.cat([torch.ones(n, start, dtype=torch.bool), mask], dim=1)
    keys, values = (
        torch.cat([old, new], dim=2).repeat_interleave(2, dim=1)
        for old, new in zip(before, (key, value), strict=True)
    )
    expected = torch.nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)

    blocks = BlockAttention(Row(sizes, sees, start, torch.device("cpu"), torch.float32))
    found = blocks(query, key, value, prefix=(before[0], before[1]) if start else None, scale=None)

    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_blocks_compute_little_more_than_the_pairs_that_count():
    sizes = [61] * 134  # 8,174 tokens behind a prefix of 500
    row = Row(sizes, torch.ones(0, 0, dtype=torch.bool), 500, torch.device("cpu"), torch.bfloat16)

    bias = BlockAttention(row)._bias

    assert bias is not None
    n_blocks, _, width, seen = bias.shape

    needed = sum(size * (500 + (size + 1) / 2) for size in sizes)
    assert n_blocks * width * seen < 1.7 * needed
    assert needed < 0.07 * sum(sizes) * (500 + sum(sizes))  # a mask over the row: 16 times as many


def test_blocks_grow_with_long_texts_and_prefixes_and_fit_the_kernels():
    assert block_width(longest=61, start=500) == 268
    assert block_width(longest=700, start=4) == 700
    assert block_width(longest=61, start=8000) == 2000
    assert all((start + block_width(61, start)) % 16 == 0 for start in range(40))


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [
        ((9, 0), "bfloat16"),  # H100
        ((8, 9), "bfloat16"),  # L4
        ((8, 0), "bfloat16"),  # A100
        ((7, 5), "float16"),  # T4
        ((7, 0), "float16"),  # V100
        ((6, 1), "float32"),  # GTX 1080
    ],
)
def test_bfloat16_is_chosen_only_on_gpus_that_have_it(capability, dtype):
    assert gpu_dtype(capability) == dtype


@pytest.mark.parametrize(
    ("rates", "best"),
    [
        ({10: 100.0, 20: 101.0, 40: 400.0}, 10),  # the GPU is busy with the smallest already
        ({10: 100.0, 20: 190.0, 40: 340.0}, 40),
        ({10: 100.0, 20: 190.0, 40: None}, 20),  # None: out of memory
        ({10: None}, 10),
    ],
)
def test_the_smallest_batch_that_keeps_the_gpu_busy_is_chosen(rates, best):
    def seconds(size):
        if rates[size] is None:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return size / rates[size]

    assert fastest_batch(seconds, list(rates)) == best


def test_float32_is_multiplied_as_float32_whatever_training_has_set():
    torch.set_float32_matmul_precision("high")
    try:
        with exact_products():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
