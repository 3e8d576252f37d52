"""Settings of vLLM are checked, and refused where another engine would leave them out."""

import pytest

from project.annotation.engines.factory import open_annotators
from project.config.annotation import AnnotateConfig
from project.config.experiment import ExperimentConfig
from project.support.errors import AssayError


@pytest.mark.parametrize(
    "setting", [{"max_num_seqs": 64}, {"quantization": "fp8"}, {"enforce_eager": True}]
)
def test_settings_of_vllm_are_refused_with_another_engine(small_task, setting):
    (name,) = setting
    config = ExperimentConfig(annotate=AnnotateConfig(**setting))

    with pytest.raises(
        AssayError, match=f"{name} is a setting of annotator=vllm; .*annotator=transformers"
    ):
        open_annotators(config, small_task)


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ({"max_num_seqs": 0}, "max_num_seqs must be .*at least 1"),
        ({"quantization": "int3"}, "quantization must be one of auto, awq, .*got .int3"),
    ],
)
def test_values_that_vllm_cannot_take_are_refused(setting, rule):
    with pytest.raises(AssayError, match=rule):
        AnnotateConfig(**setting)
