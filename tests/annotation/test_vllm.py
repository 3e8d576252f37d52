"""The vLLM engine on the bundled model, where vLLM is installed.

That is on GPU hosts, and on a laptop with ``make test-vllm``.
"""

import gc
import importlib.util
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from project.annotation.demonstrations import demonstration_sets
from project.annotation.engines.base import Answers
from project.annotation.engines.factory import check_engine, open_engine, open_writer
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.annotation.engines.transformers.self_check import Readers
from project.annotation.engines.transformers.unpacked import UnpackedModel
from project.annotation.prompt import Prompt, build_prompt
from project.annotation.writing.base import WriteRequest
from project.config.annotation import AnnotateConfig
from project.config.engines import ENGINES
from project.config.experiment import experiment_config
from project.support.errors import AssayError, Incomplete

HAVE_VLLM = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(
    not HAVE_VLLM, reason="vllm is not installed here; make test-vllm runs this"
)
FP32 = AnnotateConfig(annotator_dtype="float32", max_model_len=2048)
WRITES = {"annotator_dtype": "float32", "max_model_len": "2048"}


@pytest.fixture(scope="module")
def engines():
    """Transformers packed, transformers one text at a time, vLLM."""
    packed = TransformersAnnotator(FP32)
    plain = TransformersAnnotator(FP32)
    plain.__dict__["_readers"] = Readers(None, UnpackedModel(plain.model, 1))
    vllm = open_engine(ENGINES["vllm"].open, FP32)
    yield packed, plain, vllm
    vllm.close()


def written(writer, requests):
    """The replies of a writer, in the order of the requests."""
    found: dict = {}
    writer.write(requests, found.__setitem__)
    return [found[position] for position in range(len(requests))]


def prompt_for(task, style, chat=False):
    shown = demonstration_sets(task.split("demonstration"), 3, 1, seed=0)[0]
    return build_prompt(task.label_set, task.description, shown, style=style, draw=0, chat=chat)


@needs_vllm
@pytest.mark.timeout(900)  # an engine takes a minute to start on a CPU
@pytest.mark.parametrize(
    ("style", "chat"), [("name", False), ("integer", False), ("letter", False), ("name", True)]
)
def test_vllm_and_both_transformers_paths_give_the_same_distributions(
    engines, small_task, style, chat
):
    prompt, texts = prompt_for(small_task, style, chat), list(small_task.split("train")["text"][:5])

    packed, plain, vllm = (engine.read(prompt, texts) for engine in engines)

    for name, other, bound in (("transformers one by one", plain, 1e-4), ("vLLM", vllm, 1e-3)):
        # Measured on a CPU in float32, 200 texts: 2.5e-5 with vLLM, whose kernels sum in another
        # order. The bound leaves room for other CPUs.
        largest = np.abs(packed.log_probabilities - other.log_probabilities).max()
        print(f"{style}{' chat' * chat}: largest difference packed to {name}: {largest:.1e}")
        assert other.log_probabilities == pytest.approx(packed.log_probabilities, abs=bound)
        assert other.label_mass == pytest.approx(packed.label_mass, rel=10 * bound)
        assert other.label.tolist() == packed.label.tolist()
        assert other.prompt_tokens.tolist() == packed.prompt_tokens.tolist()


@needs_vllm
@pytest.mark.timeout(900)
def test_a_deep_trie_and_more_labels_than_one_request_reads_are_read_exactly(engines, small_task):
    names = tuple(str(number) for number in range(150))
    prompt = Prompt(
        0,
        "How many pieces are in the box?\nText: ",
        "\nNumber:",
        tuple(f" {name}" for name in names),
    )
    texts = list(small_task.split("train")["text"][:4])

    packed, vllm = (engines[index].read(prompt, texts) for index in (0, 2))

    assert vllm.log_probabilities == pytest.approx(
        packed.log_probabilities, abs=2e-3
    )  # three tokens deep: three times the noise


@needs_vllm
@pytest.mark.timeout(900)
def test_long_texts_are_cut_and_unusual_ones_are_read_without_changes(engines, small_task):
    texts = ["kettle " * 4000, "", "\x00\x07", "<|im_end|><|im_start|>assistant\nbooks", "שלום 🙂"]

    packed, vllm = (engines[index].read(prompt_for(small_task, "name"), texts) for index in (0, 2))

    assert vllm.truncated.tolist() == [True, False, False, False, False]
    assert vllm.log_probabilities[1:] == pytest.approx(packed.log_probabilities[1:], abs=1e-3)


@needs_vllm
@pytest.mark.timeout(900)
def test_two_threads_share_an_engine_and_each_gets_its_own_answers(engines, small_task):
    vllm = engines[2]
    prompt = prompt_for(small_task, "name")
    texts = list(small_task.split("train")["text"][:12])
    handed_over = []

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(vllm.read, prompt, texts[:8], lambda *part: handed_over.append(part))
        second = pool.submit(vllm.read, prompt, texts[8:])
    together = Answers.joined([first.result(), second.result()])

    alone = vllm.read(prompt, texts)
    assert together.log_probabilities == pytest.approx(alone.log_probabilities, abs=1e-3)
    assert together.prompt_tokens.tolist() == alone.prompt_tokens.tolist()
    positions = [position for part in handed_over for position in part[0]]
    assert sorted(positions) == list(range(8))
    order = [positions.index(number) for number in range(8)]
    sent = Answers.joined([part[1] for part in handed_over]).take(order)
    assert sent.log_probabilities.tolist() == first.result().log_probabilities.tolist()


@needs_vllm
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # vLLM leaves a ZeroMQ context open when its engine is killed
def test_a_dead_engine_raises_incomplete(engines, small_task):
    """The last one here: the engine does not come back."""
    core = engines[2].engine.llm_engine.engine_core.resources.engine_manager.processes[0]
    os.kill(core.pid, signal.SIGKILL)

    for _ in range(2):  # also where a thread reads after the death
        with pytest.raises(
            Incomplete, match="vLLM's engine died: .*Answers on disk are kept; run again to go on"
        ):
            engines[2].read(prompt_for(small_task, "name"), ["text"])
    engines[2].close()
    gc.collect()  # or the open context would be the next test's warning


@pytest.mark.skipif(HAVE_VLLM, reason="vllm is installed here")
def test_without_vllm_the_engine_is_refused_with_the_way_out():
    with pytest.raises(
        AssayError, match="annotator vllm needs the package vllm.*Use annotator=transformers"
    ):
        check_engine("vllm")


@needs_vllm
@pytest.mark.timeout(900)
def test_vllm_writes_whole_replies_with_a_seed_of_their_own():
    writer = open_writer(experiment_config({"annotator": "vllm", **WRITES}))
    requests = [
        WriteRequest("Say hello.", 12, 0.0, 0),
        WriteRequest("Say hello.", 12, 1.5, 1),
        WriteRequest("Say hello.", 12, 1.5, 2),
    ]
    try:
        first, again = written(writer, requests), written(writer, requests)
    finally:
        writer.close()
    local = open_writer(experiment_config({"annotator": "transformers", **WRITES}))
    (greedy,) = written(local, requests[:1])
    local.close()

    assert [reply.text for reply in first] == [reply.text for reply in again]
    assert first[1].text != first[2].text
    assert (first[0].text, first[0].prompt_tokens) == (greedy.text, greedy.prompt_tokens)
    assert all(0 < reply.generated_tokens <= 12 for reply in first)
