"""Five seeds of an encoder of roberta-base's shape, beside transformers' Trainer at its best.

The Trainer has bf16 (fp16 where the GPU lacks it), fused AdamW, large evaluation batches, and the
faster one of dynamic padding and batches of similar length. Both sides load the same weights, train
on the same texts, predict the validation texts after every epoch and the test texts in the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.gpu.table import Row, alternate_for, seconds_of, speedup_row
from benchmarks.machine import matmul_peak, peak_share_row
from benchmarks.training import hf_trainer, our_epoch, seed_jobs
from benchmarks.training_work import SMALL, Work, one_epoch, training_work
from project.config.finetune import STACKED, FinetuneConfig
from project.training.jobs import run_jobs
from project.training.precision import DTYPES, precision
from project.training.results import Stack
from project.training.stacked_jobs import run_stacked
from project.training.worker_counts import worker_count

_TARGET = 4.0
_EVAL_BATCH = 256
_BYTES_OF_A_STEP = 28  # AdamW reads weight, gradient and moments, and writes all but the gradient
_PROBED = 640  # texts
_THEIR_SHARE = 0.3  # of the time: how long five of their trainings may take, once


class _Setting(NamedTuple):
    """The size of the benchmark.

    ``grouping``: how the Trainer samples; ``workers``: how many seeds we train at once.
    """

    work: Work
    kind: str
    seeds: int
    epochs: int
    grouping: str
    workers: int

    @property
    def config(self) -> FinetuneConfig:
        """Our recipe."""
        recipe = one_epoch(eval_batch_size=_EVAL_BATCH)
        return dataclasses.replace(recipe, epochs=self.epochs)


def measure(small: bool, seconds: float) -> list[Row]:
    """See :data:`benchmarks.gpu.table.Measure`."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        if small:
            setting = _Setting(training_work(Path(folder), SMALL, 48), "fp32", 2, 1, "random", 1)
        else:
            setting = _large_setting(training_work(Path(folder), "roberta-base", 5000), seconds)
        sides: dict[str, Callable[[], float]] = {
            "ours": lambda: _our_seeds(setting),
            "theirs": lambda: _their_seeds(setting),
            "our epoch": lambda: our_epoch(setting.work, setting.kind),
            "their epoch": lambda: _their_epoch(setting.work, setting.grouping),
        }
        if setting.kind != "fp16":  # whose loss is scaled for one seed at a time
            sides["stacked"] = lambda: _stacked_seeds(setting)
        # A repeat begins in the first half of the time, and takes less than the other half.
        left = seconds / 2 - (time.monotonic() - began)
        times = alternate_for(sides, 0 if small else left, min_repeats=1)
        return _rows(setting, times, small=small)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One thread of the CPU: small shapes on a busy machine take seconds with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _large_setting(work: Work, seconds: float) -> _Setting:
    """Five seeds of three epochs on 5,000 texts, or on as many as the GPU does in the time."""
    kind = precision("auto")
    probe = dataclasses.replace(work, n=_PROBED)
    _their_epoch(probe, "random")  # the first one loads libraries and kernels
    probed = {name: _their_epoch(probe, name) for name in ("random", "group_by_length")}
    grouping = min(probed, key=lambda name: probed[name])
    epochs, seeds = 3, 5
    one_text = probed[grouping] / _PROBED * epochs * seeds
    n = min(work.n, max(_PROBED, int(_THEIR_SHARE * seconds / one_text)))
    work = dataclasses.replace(work, n=n)
    workers = worker_count(None, seed_jobs(work, kind, seeds)).n
    return _Setting(work, kind, seeds, epochs, grouping, workers)


def _our_seeds(setting: _Setting) -> float:
    """Seconds from nothing to the predictions of all seeds, with the start of worker processes."""
    jobs = seed_jobs(setting.work, setting.kind, setting.seeds, setting.config)
    with tempfile.TemporaryDirectory() as folder:
        return seconds_of(
            lambda: list(
                run_jobs(
                    jobs,
                    folder=Path(folder),
                    workers=setting.workers,
                    progress=lambda *_: None,
                )
            )
        )


def _stacked_seeds(setting: _Setting) -> float:
    """Seconds from nothing to the predictions of all seeds, trained at once on stacked weights."""
    seeds = tuple(range(setting.seeds))
    config = dataclasses.replace(setting.config, batching=STACKED)
    jobs = [
        dataclasses.replace(job, stack=Stack(seeds, "all"))
        for job in seed_jobs(setting.work, setting.kind, setting.seeds, config)
    ]
    with tempfile.TemporaryDirectory() as folder:
        return seconds_of(lambda: list(run_stacked(jobs, Path(folder), 1, lambda *_: None)))


def _their_seeds(setting: _Setting) -> float:
    """Seconds of all their trainings one after another; the libraries are loaded already."""
    work = setting.work
    n_validated = work.n + work.n_held_out
    test = work.rows(n_validated, n_validated + work.n_held_out)

    def run() -> None:
        for seed in range(setting.seeds):
            with tempfile.TemporaryDirectory() as folder:
                trainer = hf_trainer(
                    work,
                    _their_precision(),
                    folder,
                    seed=seed,
                    num_train_epochs=setting.epochs,
                    eval_strategy="epoch",
                    **_best_arguments(setting.grouping),
                )
                trainer.train()
                trainer.predict(test)

    return seconds_of(run)


def _their_epoch(work: Work, grouping: str) -> float:
    """Seconds of one epoch as the Trainer reports them, without loading and evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = hf_trainer(work, _their_precision(), folder, seed=0, **_best_arguments(grouping))
        return float(trainer.train().metrics["train_runtime"])


def _their_precision() -> str:
    return precision("auto") if torch.cuda.is_available() else "fp32"


def _best_arguments(grouping: str) -> dict[str, Any]:
    """Arguments of the Trainer with which it is fastest on this device."""
    return {"train_sampling_strategy": grouping, "per_device_eval_batch_size": _EVAL_BATCH}


def _rows(setting: _Setting, times: dict[str, list[float]], *, small: bool) -> list[Row]:
    """The table of both sides and of the device's limits."""
    work = setting.work
    layers, total = work.weights()
    peak = matmul_peak(str(DTYPES[setting.kind]).removeprefix("torch."), 0.2 if small else 1.0)
    trained = f"{work.name}, {setting.kind}"
    against = "Trainer, best of its settings"
    flops = 6 * layers * work.n_tokens  # of one epoch: forward, and twice as many backward
    n_gpus = max(1, torch.cuda.device_count())
    seeds_rate = setting.seeds * setting.epochs * flops / min(times["ours"]) / n_gpus
    rows = [
        speedup_row(
            f"{trained}: {setting.seeds} seeds of {work.n} texts, {setting.epochs} epochs, "
            f"{setting.workers} at once, with start and predictions, against {against} "
            f"({setting.grouping})",
            times["ours"],
            times["theirs"],
            target=None if small else _TARGET,
        ),
        speedup_row(
            f"{trained}: an epoch of one seed, training alone, against {against}",
            times["our epoch"],
            times["their epoch"],
            target=None,
        ),
        peak_share_row(f"{trained}: products of the seeds together", seeds_rate, [peak], None),
        peak_share_row(
            f"{trained}: products of an epoch", flops / min(times["our epoch"]), [peak], None
        ),
    ]
    if "stacked" in times:
        rows.append(
            speedup_row(
                f"{trained}: the seeds on stacked weights (batching=stacked), against {against}",
                times["stacked"],
                times["theirs"],
                target=None if small else _TARGET,
            )
        )
    limit = flops / peak.rate + _optimizer_seconds(work.n, total)
    share = limit / min(times["our epoch"])
    rows.append(
        Row(
            f"{trained}: an epoch of one seed, as a share of products and AdamW's memory traffic",
            f"{min(times['our epoch']):.3g} s",
            f"limit {limit:.3g} s",
            f"{share:.0%}",
        )
    )
    return rows


def _optimizer_seconds(n_texts: int, n_weights: int) -> float:
    """Seconds that AdamW's reads and writes of an epoch take at the measured bandwidth."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    source = torch.zeros(2**26 if device == "cuda" else 2**24, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    fastest = min(seconds_of(lambda: target.copy_(source)) for _ in range(5))
    bandwidth = 2 * source.nbytes / fastest
    return math.ceil(n_texts / 16) * n_weights * _BYTES_OF_A_STEP / bandwidth
