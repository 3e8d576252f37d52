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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, cast

from entrypoints.wiring.command import main, print_line
from entrypoints.wiring.conditions import annotated_splits, draws_needed, replicate_counts
from project.annotation.engines.base import PromptlessAnnotator
from project.annotation.engines.factory import check_engine, open_annotators
from project.config.arms import arm_facts
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig, experiment_config
from project.config.labels import PAPER_DRAWS
from project.data.card import load_card
from project.data.task import load_task
from project.labels.sources import arms
from project.support.errors import AssayError, Incomplete
from project.support.files import cache_folder, nearest_existing
from project.support.machine import cpu_cores, gpus, memory, visible_gpus
from project.support.model_files import ModelFiles, model_files
from project.tracking import findings

PACKAGES = (
    "mlflow",
    "torch",
    "transformers",
    "datasets",
    "peft",
    "numpy",
    "pandas",
    "optuna",
    "vllm",
)
Rows = Iterator[tuple[str, str]]


def check(params: Mapping[str, str]) -> None:
    """Every part is looked at, whatever is wrong with the others; then the errors, if any. Nothing is loaded, annotated or trained."""
    failed: list[AssayError] = []

    def part(title: str, rows: Callable[[], Rows]) -> None:
        print_line(title)
        try:
            for name, text in rows():
                print_line(f"  {name:<12} {text}")
        except (AssayError, OSError) as error:
            failed.append(
                error
                if isinstance(error, AssayError)
                else Incomplete(f"{error.strerror}: {error.filename}. Mend it and run again.")
            )
            print_line(f"  {'':<12} not well: see the end")

    part("tracking store", lambda: _store(Path(params["workspace"])))
    part("this machine", lambda: _machine(Path(params["workspace"])))
    try:
        config = experiment_config(params)
        arms(config.label, config.prompt.ensemble_size)
    except AssayError as error:
        failed.append(error)
    else:
        found: dict[str, ModelFiles] = {}
        part("annotator", lambda: _annotator(config, found))
        part("encoder", lambda: _encoder(config, found))
        part("experiment", lambda: _experiment(config, found))
    for other in failed[1:]:
        print_line(f"error: {other}")
    if failed:
        raise failed[0]
    print_line("All is well.")


def _store(workspace: Path) -> Rows:
    for found in findings(workspace):
        yield found.part, f"{'note: ' if found.note else ''}{found.text}"


def _machine(workspace: Path) -> Rows:
    yield (
        "Python",
        f"{platform.python_version()} ({sys.executable}), {platform.system()} {platform.machine()}",
    )
    yield "packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    total, free = memory()
    yield "CPU", f"{cpu_cores()} cores, {_size(total)} of memory, {_size(free)} of it free"
    present = gpus()
    for one in present:
        yield (
            "GPU",
            f"{one.name}, {_size(one.memory)} of memory, {_size(one.free)} of it free, driver {one.driver}",
        )
    visible = visible_gpus()
    if not present and not visible:
        yield "GPU", "none"
    elif len(visible) != len(present):
        why = f"CUDA_VISIBLE_DEVICES, the driver or torch {_version('torch')} itself keep it from the others"
        yield "GPU", f"note: torch sees {len(visible)} of {len(present)}; {why}"
    for name, folder in (
        ("workspace", workspace),
        ("temporary", Path(tempfile.gettempdir())),
        ("cache", cache_folder()),
    ):
        yield name, f"{folder}: {_size(shutil.disk_usage(nearest_existing(folder)).free)} free"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _annotator(config: ExperimentConfig, found: dict[str, ModelFiles]) -> Rows:
    annotate = config.annotate
    check_engine(annotate.annotator)
    if not any(arm_facts(kind).reads_llm for kind in config.label.arms):
        yield "engine", f"none: {', '.join(config.label.arms)} need no LLM"
        return
    facts = engine_facts(annotate.annotator)
    if "recorded" in facts.takes:
        yield "engine", f"{annotate.annotator}: {config.recorded.recorded or 'no file given'}"
    elif facts.server:
        yield "engine", f"{annotate.annotator}: {config.server.annotator_url}"
    else:
        yield "engine", annotate.annotator
    if facts.needs_gpu and not visible_gpus():
        yield "GPU", f"note: {annotate.annotator} is meant for a GPU, and none is visible here"
    spend = config.spend
    if facts.price_by_tokens and not (spend.price_input or spend.price_output):
        yield "price", "note: not known; set price_input and price_output where tokens are charged"
    if facts.server:
        yield "server", _server(config)
    if facts.local_weights:
        found["annotator"] = model_files(
            "annotator_model", annotate.annotator_model, annotate.annotator_revision
        )
        yield "model", _shown(found["annotator"])


def _server(config: ExperimentConfig) -> str:
    """What the server says of its models, asked once."""
    from project.annotation.engines.openai.client import Client
    from project.annotation.engines.openai.probe import Probe

    patient = dataclasses.replace(
        config.server, request_timeout=min(10.0, config.server.request_timeout), request_retries=0
    )
    client = Client(patient.annotator_url.rstrip("/"), patient)
    try:
        served = client.run(Probe(client, config.annotate, None).server_info())
    finally:
        client.close()
    if not served.models:
        return "answers, and does not say which models it has"
    if config.annotate.annotator_model not in served.models:
        raise AssayError(
            f"annotator_model must be a name of the server's: {', '.join(served.models[:5])}; got {config.annotate.annotator_model!r}. Give another "
            "with -P annotator_model=..."
        )
    return f"has {config.annotate.annotator_model}" + (
        f", {served.context} tokens of context" if served.context else ""
    )


def _encoder(config: ExperimentConfig, found: dict[str, ModelFiles]) -> Rows:
    found["encoder"] = model_files(
        "encoder", config.finetune.encoder, config.finetune.encoder_revision
    )
    yield "model", _shown(found["encoder"])


def _shown(model: ModelFiles) -> str:
    size = (
        f"{_size(model.n_bytes)} in {model.n_parameters / 1e6:,.0f} million parameters"
        if model.n_bytes
        else "size unknown"
    )
    return f"{model.name}: {size}, in {model.location}"


class Needs(NamedTuple):
    """What an experiment counts: answers of the annotator, seeds to train and of how many arms, texts of which all are tokenised, test texts."""

    answers: int
    seeds: int
    arms: int
    texts: int
    tests: int
    n_classes: int

    def kept(self, max_length: int) -> int:
        """Bytes that the workspace will hold, at most; the store's artifacts take about as much again, wherever it keeps them.

        An answer takes 200 bytes and 8 for each class, a seed 4096 and for each test text 24 and 8 for each class, a token 4.
        """
        predictions = self.seeds * (4096 + self.tests * (24 + 8 * self.n_classes))
        return self.answers * (200 + 8 * self.n_classes) + predictions + self.texts * 4 * max_length


def _experiment(config: ExperimentConfig, found: Mapping[str, ModelFiles]) -> Rows:
    """What the configuration would take, counted as the experiment counts it; answers and seeds that are there already are not taken off."""
    sizes, n_classes, source, drawn = _task(config)
    yield (
        "task",
        f"{config.task.task}: {', '.join(f'{n:,} {split}' for split, n in sizes.items())} texts, {n_classes} classes{source}",
    )
    n_draws = config.prompt.ensemble_size or drawn or PAPER_DRAWS
    compared = arms(config.label, n_draws)
    asks = any(arm.draws for arm in compared)
    draws = (
        annotated_splits(config, draws_needed(compared, config, n_draws), annotates_test=True)
        if asks
        else {}
    )
    counts = replicate_counts(compared, config, n_draws)
    answers, seeds = sum(n * sizes[split] for split, n in draws.items()), sum(counts.values())
    parts = " + ".join(
        f"{n} {'draw' if n == 1 else 'draws'} of {sizes[split]:,} {split} texts"
        for split, n in draws.items()
    )
    yield "annotate", f"{answers:,} answers: {parts}" if answers else "nothing"
    yield (
        "fine-tune",
        f"{seeds:,} seeds: {', '.join(f'{name} {n}' for name, n in counts.items())}; {config.finetune.epochs} epochs each",
    )
    yield from _room(
        config,
        Needs(answers, seeds, len(counts), sum(sizes.values()), sizes["test"], n_classes),
        found,
    )


def _task(config: ExperimentConfig) -> tuple[dict[str, int], int, str, int]:
    """Texts in each split, the number of classes, a word on the counts, and how many draws are recorded; a hub's data are not fetched."""
    splits = ("train", "validation", "test")
    card = load_card(config.task.task)
    if card.source.hub and not config.task.data:
        sizes = {
            split: getattr(config.task, f"max_{split}") or card.sizes[split] for split in splits
        }
        return (
            sizes,
            len(card.labels),
            f", at most; the data come from the hub, {card.source.hub}",
            0,
        )
    task, recorded = load_task(config.task), 0
    if not engine_facts(config.annotate.annotator).has_prompt:
        recorded = len(cast(PromptlessAnnotator, open_annotators(config, task)[0]).draws)
    return {split: len(task.split(split)) for split in splits}, len(task.label_set), "", recorded


def _room(config: ExperimentConfig, needs: Needs, found: Mapping[str, ModelFiles]) -> Rows:
    """Memory and disk that it takes, at most, beside what is free.

    The annotator and the encoder are never in memory together. The annotator takes its parameters in its dtype (auto: two bytes each on a GPU, four
    on a CPU), a seed eight times its float32 weights, as where seeds are put on a GPU; what a batch takes comes on top. On disk, weights that are
    logged are float32, and while a seed trains, its checkpoint (weights, two moments, the best weights) stands beside its successor.
    """
    from project.training.jobs import default_workers  # it imports what trains

    annotator, encoder, visible = found.get("annotator"), found.get("encoder"), visible_gpus()
    free, where = (
        (min((one.free for one in gpus()), default=0), "on a GPU")
        if visible
        else (memory()[1], "here")
    )
    if annotator and annotator.n_parameters:
        width = {"float32": 4, "bfloat16": 2, "float16": 2}.get(
            config.annotate.annotator_dtype, 2 if visible else 4
        )
        yield (
            "memory",
            _beside(
                f"the annotator {_size(width * annotator.n_parameters)}",
                width * annotator.n_parameters,
                free,
                where,
            ),
        )
    n_bytes = 4 * encoder.n_parameters if encoder else 0
    workers = min(config.finetune.workers or default_workers(n_bytes), needs.seeds)
    if n_bytes:
        total = 8 * n_bytes * (1 if visible else workers)
        yield (
            "memory",
            _beside(
                f"fine-tuning {_size(8 * n_bytes)} a seed, {workers} at once", total, free, where
            ),
        )
    logged = n_bytes * (
        needs.seeds if config.finetune.log_model != "none" else 0
    )  # which seed is the best is known at the end
    kept, passing = needs.kept(config.finetune.max_length), 8 * n_bytes * workers
    text = f"{_size(kept)} of answers, predictions and tokens, {_size(logged)} of weights, {_size(passing)} of checkpoints for a while"
    free = shutil.disk_usage(nearest_existing(Path(config.host.workspace))).free
    yield "disk", _beside(text, kept + logged + passing, free, f"in {config.host.workspace}")


def _beside(text: str, needed: int, free: int, where: str) -> str:
    return f"{'' if needed <= free else 'note: '}{text}; {_size(free)} free {where}"


def _size(n_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000 or unit == "GB":
            break
        n_bytes /= 1000
    return f"{n_bytes:,.0f} {unit}" if unit != "GB" else f"{n_bytes:,.1f} GB"


if __name__ == "__main__":
    main("check", check)
