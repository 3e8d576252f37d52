"""How many seeds are trained at once.

A seed is trained in one thread of a CPU, also where cores are idle: with two threads torch adds
numbers in another order, and the result would depend on how many seeds happen to run. (Measured:
the weights of a BERT of 22 million parameters differ after three steps, in float32 and bfloat16.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from project.support.machine import cpu_cores, memory
from project.training.results import Job
from project.training.seed_memory import PROCESS_BYTES, SeedMemory, largest_seed

_MAX_SEEDS_ON_A_GPU = 5
_GPU_PROCESS_BYTES = 2 * 2**30


class WorkerCount(NamedTuple):
    """How many seeds are trained at once, and a note for the user, empty where there is none."""

    n: int
    note: str = ""


def worker_count(requested: int | None, jobs: Sequence[Job]) -> WorkerCount:
    """How many of ``jobs`` run at once: as many as requested, else :func:`default_workers`."""
    if all(job.inputs.points is not None for job in jobs):
        return WorkerCount(1)  # a logistic regression takes less time than the start of a process
    if requested:
        return WorkerCount(requested)
    seed = largest_seed(jobs)
    n = default_workers(seed)
    return WorkerCount(n, _note(n, seed, len(jobs)))


def default_workers(seed: SeedMemory) -> int:
    """How many seeds to train at once: as many as fit into memory, on a CPU one for each core.

    Parameters
    ----------
    seed
        Memory of the seed that takes most.
    """
    if not torch.cuda.is_available():
        return cpu_workers(memory().free, seed, cpu_cores())
    # Of the first one, since to ask another takes memory of it.
    free = torch.cuda.mem_get_info()[0]
    return gpu_workers(torch.cuda.device_count(), free, seed, cpu_cores())


def cpu_workers(free: int, seed: SeedMemory, cores: int) -> int:
    """How many seeds to train at once on a CPU: one for each core, if memory holds as many.

    Parameters
    ----------
    free
        Free bytes of memory.
    seed
        Memory of one seed; see :mod:`project.training.seed_memory`.
    cores
        Number of CPU cores.
    """
    return max(1, min(cores, free // (PROCESS_BYTES + seed.model + seed.batch)))


def gpu_workers(n_gpus: int, free: int, seed: SeedMemory, cores: int) -> int:
    """How many seeds to train at once on GPUs: one to five each, but at most one for each core.

    A seed is given the bytes of its model and of its largest mini-batch, and half as much again for
    what the allocator holds; and 2 GiB for the libraries of its process on the GPU.

    Parameters
    ----------
    n_gpus
        Number of GPUs.
    free
        Free bytes on each GPU.
    seed
        Memory of one seed; if that of its model is unknown, each GPU trains one.
    cores
        Number of CPU cores.
    """
    one = (seed.model + seed.batch) * 3 // 2 + _GPU_PROCESS_BYTES
    each = min(_MAX_SEEDS_ON_A_GPU, free // one) if seed.model else 1
    return max(n_gpus, min(n_gpus * each, cores))


def _note(workers: int, seed: SeedMemory, n_jobs: int) -> str:
    """A note where memory keeps cores of a CPU idle, or may not hold even one seed; else empty.

    Parameters
    ----------
    workers
        How many seeds are trained at once.
    seed
        Memory of the seed that takes most.
    n_jobs
        How many seeds there are to train.
    """
    cores = cpu_cores()
    one = PROCESS_BYTES + seed.model + seed.batch
    free = memory().free
    if torch.cuda.is_available() or (workers >= min(cores, n_jobs) and one <= free):
        return ""
    sizes = f"a seed takes about {one / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are free"
    if one > free:
        return (
            f"note: {sizes}. Should the training die for lack of memory, raise "
            "gradient_accumulation, or lower max_length."
        )
    return (
        f"{sizes}: {workers} are trained at once, on {cores} cores. Set workers to train another "
        "number."
    )
