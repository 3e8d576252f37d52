"""See that all is there for an experiment before anything is paid for: the tracking store, this machine, the models; and what it would take.

mlflow run . -e check -P task=imdb -P annotator_model=Qwen/Qwen2.5-7B-Instruct -P encoder=roberta-base
python -m entrypoints.check --annotator vllm --workspace /scratch/me/assay
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from entrypoints.command import main, say
from entrypoints.conditions import annotated_splits, draws_needed, replicate_counts
from project.annotators.open import check_engine
from project.arm import NO_LLM
from project.card import load_card
from project.config import (
    ANNOTATION,
    PAPER_DRAWS,
    ExperimentConfig,
    FinetuneConfig,
    HostConfig,
    LabelConfig,
    ReplicateConfig,
    StoreConfig,
    TaskConfig,
    VerdictConfig,
    experiment_config,
)
from project.errors import AssayError, Incomplete
from project.host import cpu_cores, existing, gpus, memory, visible_gpus
from project.label import arms
from project.models import Weights, cache_folder, weights
from project.task import load_task
from project.tracking import findings

STAGES = (TaskConfig, *ANNOTATION, LabelConfig, ReplicateConfig, FinetuneConfig, VerdictConfig, HostConfig, StoreConfig)
"""Those of the entry point main."""
PACKAGES = ("mlflow", "torch", "transformers", "datasets", "peft", "numpy", "pandas", "optuna", "vllm")
Rows = Iterator[tuple[str, str]]


def check(params: Mapping[str, str]) -> None:
    """Every part is looked at, whatever is wrong with the others; then the errors, if any. Nothing is loaded, annotated or trained."""
    failed: list[AssayError] = []

    def part(title: str, rows: Callable[[], Rows]) -> None:
        say(title)
        try:
            for name, text in rows():
                say(f"  {name:<12} {text}")
        except (AssayError, OSError) as error:
            failed.append(error if isinstance(error, AssayError) else Incomplete(f"{error.strerror}: {error.filename}. Mend it and run again."))
            say(f"  {'':<12} not well: see the end")

    part("tracking store", lambda: _store(Path(params["workspace"])))
    part("this machine", lambda: _machine(Path(params["workspace"])))
    try:
        config = experiment_config(params)
        arms(config.label, config.prompt.ensemble_size)
    except AssayError as error:
        failed.append(error)
    else:
        found: dict[str, Weights] = {}
        part("annotator", lambda: _annotator(config, found))
        part("encoder", lambda: _encoder(config, found))
        part("experiment", lambda: _experiment(config, found))
    for error in failed[1:]:
        say(f"error: {error}")
    if failed:
        raise failed[0]
    say("All is well.")


def _store(workspace: Path) -> Rows:
    for found in findings(workspace):
        yield found.part, f"{'note: ' if found.note else ''}{found.text}"


def _machine(workspace: Path) -> Rows:
    yield "Python", f"{platform.python_version()} ({sys.executable}), {platform.system()} {platform.machine()}"
    yield "packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    total, free = memory()
    yield "CPU", f"{cpu_cores()} cores, {_size(total)} of memory, {_size(free)} of it free"
    present = gpus()
    for one in present:
        yield "GPU", f"{one.name}, {_size(one.memory)} of memory, {_size(one.free)} of it free, driver {one.driver}"
    visible = visible_gpus()
    if not present and not visible:
        yield "GPU", "none"
    elif len(visible) != len(present):
        yield (
            "GPU",
            f"note: torch sees {len(visible)}: CUDA_VISIBLE_DEVICES, the driver or a torch without CUDA ({_version('torch')}) keep the others away",
        )
    for name, folder in (("workspace", workspace), ("temporary", Path(tempfile.gettempdir())), ("cache", cache_folder())):
        yield name, f"{folder}: {_size(shutil.disk_usage(existing(folder)).free)} free"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _annotator(config: ExperimentConfig, found: dict[str, Weights]) -> Rows:
    annotate = config.annotate
    check_engine(annotate.annotator)
    if not set(config.label.arms) - set(NO_LLM):
        yield "engine", f"none: {', '.join(config.label.arms)} need no LLM"
    elif annotate.annotator == "recorded":
        yield "engine", f"recorded: {config.recorded.recorded or 'no file given'}"
    elif annotate.annotator == "openai":
        yield "engine", f"openai: {config.server.annotator_url}"
        yield "server", _server(config)
    else:
        yield "engine", annotate.annotator
        found["annotator"] = weights("annotator_model", annotate.annotator_model, annotate.annotator_revision)
        yield "model", _shown(found["annotator"])


def _server(config: ExperimentConfig) -> str:
    """What the server says of its models, asked once."""
    from project.annotators.openai.http import Client
    from project.annotators.openai.probe import Probe

    patient = dataclasses.replace(config.server, request_timeout=min(10.0, config.server.request_timeout), request_retries=0)
    client = Client(patient.annotator_url.rstrip("/"), patient)
    try:
        served = client.run(Probe(client, config.annotate, None).served())
    finally:
        client.close()
    if not served.models:
        return "answers, and does not say which models it has"
    if config.annotate.annotator_model not in served.models:
        raise AssayError(
            f"annotator_model must be a name of the server's: {', '.join(served.models[:5])}; got {config.annotate.annotator_model!r}. Give another "
            "with -P annotator_model=..."
        )
    return f"has {config.annotate.annotator_model}" + (f", {served.context} tokens of context" if served.context else "")


def _encoder(config: ExperimentConfig, found: dict[str, Weights]) -> Rows:
    found["encoder"] = weights("encoder", config.finetune.encoder, config.finetune.encoder_revision)
    yield "model", _shown(found["encoder"])


def _shown(model: Weights) -> str:
    size = f"{_size(model.n_bytes)} in {model.n_parameters / 1e6:,.0f} million parameters" if model.n_bytes else "size unknown"
    return f"{model.name}: {size}, in {model.place}"


def _experiment(config: ExperimentConfig, found: Mapping[str, Weights]) -> Rows:
    """What the configuration would take, counted as the experiment counts it; answers and seeds that are there already are not taken off."""
    sizes, n_classes, source, drawn = _task(config)
    yield "task", f"{config.task.task}: {', '.join(f'{n:,} {split}' for split, n in sizes.items())} texts, {n_classes} classes{source}"
    n_draws = config.prompt.ensemble_size or drawn or PAPER_DRAWS
    compared = arms(config.label, n_draws)
    asks = any(arm.draws for arm in compared)
    draws = annotated_splits(config, draws_needed(compared, config, n_draws), tested=True) if asks else {}
    answers = sum(n * sizes[split] for split, n in draws.items())
    parts = " + ".join(f"{n} draws of {sizes[split]:,} {split} texts" for split, n in draws.items())
    yield "annotate", f"{answers:,} answers: {parts}" if answers else "nothing"
    counts = replicate_counts(compared, config, n_draws)
    seeds = sum(counts.values())
    yield "fine-tune", f"{seeds:,} seeds: {', '.join(f'{name} {n}' for name, n in counts.items())}; {config.finetune.epochs} epochs each"
    yield from _memory(config, found)
    yield from _disk(config, answers, seeds, len(counts), sizes, n_classes, found.get("encoder"))


def _task(config: ExperimentConfig) -> tuple[dict[str, int], int, str, int]:
    """Texts in each split, the number of classes, a word on the counts, and how many draws are recorded; a hub's data are not fetched."""
    splits = ("train", "validation", "test")
    card = load_card(config.task.task)
    if "hub" in card.source and not config.task.data:
        sizes = {split: getattr(config.task, f"max_{split}") or card.sizes[split] for split in splits}
        return sizes, len(card.labels), f", at most; the data come from the hub, {card.source['hub']}", 0
    task, recorded = load_task(config.task), 0
    if config.annotate.annotator == "recorded":
        from project.annotators.recorded import RecordedAnnotator

        recorded = len(RecordedAnnotator(config.recorded, task).draws)
    return {split: len(task.split(split)) for split in splits}, len(task.label_set), "", recorded


def _memory(config: ExperimentConfig, found: Mapping[str, Weights]) -> Rows:
    """What the models take, which are never in memory together, beside what there is.

    The annotator: its parameters in its dtype (auto: two bytes on a GPU, four on a CPU). A seed: eight times its float32 weights, as where seeds are
    put on a GPU (weights, gradients, two moments, and as much again). What a batch takes comes on top.
    """
    from project.seeds import default_workers

    annotator, encoder, visible = found.get("annotator"), found.get("encoder"), visible_gpus()
    free = min((one.free for one in gpus()), default=0) if visible else memory()[1]
    where = "on a GPU" if visible else "here"
    if annotator:
        width = {"float32": 4, "bfloat16": 2, "float16": 2}.get(config.annotate.annotator_dtype, 2 if visible else 4)
        yield "memory", _beside(f"the annotator {_size(width * annotator.n_parameters)}", width * annotator.n_parameters, free, where)
    if encoder:
        workers = config.finetune.workers or default_workers(4 * encoder.n_parameters)
        one = 8 * 4 * encoder.n_parameters
        yield "memory", _beside(f"fine-tuning {_size(one)} a seed, {workers} at once", one if visible else one * workers, free, where)


def _disk(
    config: ExperimentConfig, answers: int, seeds: int, n_arms: int, sizes: Mapping[str, int], n_classes: int, encoder: Weights | None
) -> Rows:  # fmt: skip
    """What the workspace will hold, at most, beside what is free there; the store's artifacts take about as much again, wherever it keeps them.

    An answer takes 200 bytes and 8 for each class, a seed's prediction 24 and 8; a text's tokens four bytes each, ``max_length`` at most. Weights
    that are logged are in float32. While a seed trains, its checkpoint stands beside its successor: weights, two moments and the best weights.
    """
    tests = sizes["test"] * seeds
    kept = answers * (200 + 8 * n_classes) + tests * (24 + 8 * n_classes) + seeds * 4096 + sum(sizes.values()) * 4 * config.finetune.max_length
    logged = {"none": 0, "best": n_arms, "all": seeds}[config.finetune.log_model]
    n_bytes = 4 * encoder.n_parameters if encoder else 0
    weighed = seeds if logged else 0  # which seed is best is known at the end
    from project.seeds import default_workers

    workers = config.finetune.workers or default_workers(n_bytes)
    free = shutil.disk_usage(existing(Path(config.host.workspace))).free
    total = kept + weighed * n_bytes + 8 * n_bytes * min(workers, seeds)
    text = (
        f"about {_size(kept)} of answers, predictions and tokens, {_size(weighed * n_bytes)} of weights, {_size(total - kept - weighed * n_bytes)} "
    )
    yield "disk", _beside(text + "of checkpoints for a while", total, free, f"in {config.host.workspace}")


def _beside(text: str, needed: int, free: int, where: str) -> str:
    return f"{'' if needed <= free else 'note: '}{text}; {_size(free)} free {where}"


def _size(n_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000 or unit == "GB":
            break
        n_bytes /= 1000
    return f"{n_bytes:,.0f} {unit}" if unit != "GB" else f"{n_bytes:,.1f} GB"


if __name__ == "__main__":
    main("check", "See that all is there for an experiment: the tracking store, this machine, the models; and what it would take.", STAGES, check)
