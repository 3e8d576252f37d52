"""Opens the annotators that a configuration names: one, or one for each group of GPUs."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

from project.annotation.engines.base import Annotator
from project.annotation.engines.process import ProcessAnnotator
from project.annotation.writing.base import Writer
from project.config.annotation import AnnotateConfig
from project.config.cluster import NO_CLUSTER, ClusterConfig
from project.config.engines import ENGINES, EngineFacts, engine_facts
from project.config.experiment import ExperimentConfig
from project.config.fields import AUTO
from project.data.task import Task
from project.support.errors import AssayError
from project.support.machine import visible_gpus


def check_engine(name: str, cluster: ClusterConfig | None = None) -> None:
    """Raise AssayError for an engine that is unknown or whose package is not installed.

    Where ``cluster`` names one, the package is looked for on its nodes, later.
    """
    facts = engine_facts(name)
    if cluster is None or cluster.cluster == NO_CLUSTER:
        check_package(name, facts)


def check_package(name: str, facts: EngineFacts) -> None:
    """Raise AssayError for an engine whose package is not installed."""
    if facts.package and importlib.util.find_spec(facts.package) is None:
        raise AssayError(
            f"annotator {name} needs the package {facts.package}, which is not installed. "
            f"{facts.without_package}".rstrip()
        )


def check_engine_settings(config: AnnotateConfig) -> None:
    """Refuse settings of vLLM with another engine of ours, which would leave them out in silence.

    Engines of other packages may take them.
    """
    if config.annotator not in _WITHOUT_VLLM_SETTINGS:
        return
    for name in ("max_num_seqs", "quantization", "enforce_eager"):
        value = getattr(config, name)
        if value not in (None, AUTO, False):
            raise AssayError(
                f"{name} is a setting of annotator=vllm; got {name}={value} with "
                f"annotator={config.annotator}. Leave it out, or set annotator=vllm."
            )


_WITHOUT_VLLM_SETTINGS = ("transformers", "openai", "rerank", "recorded")


def open_annotators(config: ExperimentConfig, task: Task) -> list[Annotator]:
    """The annotators that work side by side. No model is loaded yet.

    An engine that runs here has one annotator for each group of GPUs, each in its own process.
    Any other engine has one annotator. Each is listed once for each shard that it reads at the
    same time.
    """
    name = config.annotate.annotator
    check_engine(name)
    check_engine_settings(config.annotate)
    facts = engine_facts(name)
    # An engine's facts name the parts of the configuration that its class takes.
    arguments = [task if part == "task" else getattr(config, part) for part in facts.takes]
    annotator = open_engine(facts.open, *arguments)
    groups = device_groups(config.annotate) if facts.runs_here else [None]
    if len(groups) == 1:
        return [annotator] * facts.shards_at_once
    # Another process does not know what was registered in this one, so it gets the path itself. It
    # computes in the dtype that was chosen here: its GPU may be better than the other copies' GPUs.
    dtype = annotator.identity.get("dtype", config.annotate.annotator_dtype)
    same_dtype = dataclasses.replace(config.annotate, annotator_dtype=dtype)
    arguments = [same_dtype if part is config.annotate else part for part in arguments]
    opener = functools.partial(open_engine, facts.open, *arguments)
    copies = [ProcessAnnotator(annotator, opener, devices) for devices in groups]
    return [copy for copy in copies for _ in range(facts.shards_at_once)]


def open_writer(config: ExperimentConfig) -> Writer:
    """The model of the configuration as a writer of texts. It is not loaded yet.

    Raises AssayError for an engine that cannot write.
    """
    name = config.annotate.annotator
    facts = engine_facts(name)
    if not facts.write:
        writing = [other for other, each in ENGINES.items() if each.write]
        raise AssayError(
            f"annotator must be an engine that writes texts: {', '.join(writing)}; got {name}. "
            "Set annotator to one of them."
        )
    check_engine(name)
    writer: Writer = _open(facts.write, *(getattr(config, part) for part in facts.takes))
    return writer


def open_engine(path: str, *arguments: Any) -> Annotator:
    """One annotator: the class at ``path``, written ``module:Class``, called with ``arguments``."""
    engine: Annotator = _open(path, *arguments)
    return engine


def _open(path: str, *arguments: Any) -> Any:
    """The class at ``path``, written ``module:Class``, called with ``arguments``."""
    module, _, name = path.partition(":")
    try:
        engine = getattr(importlib.import_module(module), name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise AssayError(
            f"the engine {path} could not be imported: {error}. "
            "Install what it needs, or register the engine with the right path."
        ) from error
    return engine(*arguments)


def device_groups(
    config: AnnotateConfig, visible: Sequence[str] | None = None
) -> Sequence[str | None]:
    """``CUDA_VISIBLE_DEVICES`` for every copy of the engine, ``tensor_parallel`` GPUs each.

    Without a GPU to divide, None for every copy. ``visible``: names of the GPUs, by default those
    of this machine. Raises AssayError if there are fewer GPUs than the configuration needs.
    """
    if visible is None:
        visible = visible_gpus()
    size = config.tensor_parallel
    if not visible:
        return [None] * (config.annotator_processes or 1)
    if size > len(visible):
        raise AssayError(
            f"tensor_parallel must be at most {len(visible)}, the number of GPUs here; got {size}. "
            "Lower it."
        )
    starts = range(0, len(visible) - size + 1, size)
    groups = [",".join(visible[start : start + size]) for start in starts]
    n_copies = config.annotator_processes or len(groups)
    if n_copies > len(groups):
        raise AssayError(
            f"annotator_processes must be at most {len(groups)}: {len(visible)} GPUs, "
            f"tensor_parallel={size}; got {n_copies}. Lower one of them."
        )
    return groups[:n_copies]
