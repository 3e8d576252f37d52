"""From the configuration to annotators: one, or one for each GPU."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence

from project.annotation.engines.base import ENGINES, Annotator
from project.annotation.engines.process import ProcessAnnotator
from project.config.experiment import AnnotateConfig, ExperimentConfig
from project.data.task import Task
from project.support.errors import AssayError, suggest
from project.support.machine import visible_gpus

SHARDS_AT_ONCE = 16  # of a server's texts, so that none waits for the last one of a shard; how many requests are sent is the client's to settle


def check_engine(name: str) -> None:
    """Refuse an engine that is unknown or not installed."""
    if name not in ENGINES:
        raise suggest("annotator", name, ENGINES)
    if name == "vllm" and importlib.util.find_spec("vllm") is None:
        raise AssayError(
            "annotator vllm needs the package vllm, which is in conda.yaml and not in requirements.txt. Use -P annotator=transformers here, or "
            "-P annotator=openai with a vLLM server elsewhere."
        )


def open_annotators(config: ExperimentConfig, task: Task) -> list[Annotator]:
    """The annotator that ``config`` names, as often as there shall be copies of it at work. Nothing heavy is loaded yet."""
    check_engine(config.annotate.annotator)
    if config.annotate.annotator == "recorded":
        from project.annotation.engines.recorded import RecordedAnnotator

        return [RecordedAnnotator(config.recorded, task)]
    if config.annotate.annotator == "openai":
        from project.annotation.engines.openai.engine import OpenAIAnnotator

        return [OpenAIAnnotator(config.annotate, config.server)] * SHARDS_AT_ONCE
    front, groups = open_engine(config.annotate), device_groups(config.annotate)
    if len(groups) == 1:
        return [front]
    return [
        ProcessAnnotator(front, functools.partial(open_engine, config.annotate), devices)
        for devices in groups
    ]


def open_engine(config: AnnotateConfig) -> Annotator:
    """One engine that runs the model itself, in this process."""
    if config.annotator == "vllm":
        from project.annotation.engines.vllm import VllmAnnotator

        return VllmAnnotator(config)
    from project.annotation.engines.transformers.engine import TransformersAnnotator

    return TransformersAnnotator(config)


def device_groups(
    config: AnnotateConfig, visible: Sequence[str] | None = None
) -> Sequence[str | None]:
    """``CUDA_VISIBLE_DEVICES`` of every copy of the engine, ``tensor_parallel`` GPUs each; None where there is no GPU to divide."""
    if visible is None:
        visible = visible_gpus()
    share = config.tensor_parallel
    if not visible:
        return [None] * (config.annotator_processes or 1)
    if share > len(visible):
        raise AssayError(
            f"tensor_parallel must be at most {len(visible)}, the number of GPUs here; got {share}. Lower it."
        )
    groups = [
        ",".join(visible[start : start + share])
        for start in range(0, len(visible) - share + 1, share)
    ]
    wanted = config.annotator_processes or len(groups)
    if wanted > len(groups):
        raise AssayError(
            f"annotator_processes must be at most {len(groups)}: {len(visible)} GPUs, tensor_parallel={share}; got {wanted}. Lower one of them."
        )
    return groups[:wanted]
