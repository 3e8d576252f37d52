"""What the machine at hand has: CPU cores, memory, GPUs, folders to write to, and the dtype in which it multiplies fastest."""

from __future__ import annotations

import ctypes
import json
import math
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from project.support.files import cache_folder, write_atomically

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names and numbers of malloc.h


def cpu_cores() -> int:
    """CPU cores that this process may use: its affinity, and a container's quota where there is one."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup, or "max": no quota
        return cores


def keep_freed_memory() -> None:
    """Let this process keep the memory it frees, up to 1 GiB, where the C library is glibc.

    glibc gives freed memory at the end of its heap back to the kernel, so every layer of a model on a CPU pays for fresh
    pages again.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(
        _M_MMAP_THRESHOLD, 32 << 20
    )  # the most that glibc takes: more is refused, and 128 KiB then stays the limit
    mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` writes them."""
    import torch

    if not torch.cuda.is_available():
        return []
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (
        [name.strip() for name in given.split(",")]
        if given
        else [str(index) for index in range(torch.cuda.device_count())]
    )


class Gpu(NamedTuple):
    """One GPU as its driver tells of it; ``memory`` and ``free`` in bytes."""

    name: str
    memory: int
    free: int
    driver: str


_ASK_GPUS = (
    "nvidia-smi",
    "--query-gpu=name,memory.total,memory.free,driver_version",
    "--format=csv,noheader,nounits",
)


def gpus() -> list[Gpu]:
    """The GPUs of this machine, whoever may use them, without loading anything that would hold one."""
    try:
        told = subprocess.run(
            _ASK_GPUS, capture_output=True, text=True, check=True, timeout=20
        ).stdout
    except (OSError, subprocess.SubprocessError):  # no driver, no GPU
        return []
    return parse_gpus(told)


def driver_and_gpus(folder: Path = Path("/proc/driver/nvidia")) -> tuple[str, list[str]]:
    """The version of the GPUs' driver and their names; the kernel is asked first, since ``nvidia-smi`` may take seconds."""
    try:
        driver = next(
            iter(re.findall(r"Kernel Module .*?(\d+\.[\d.]+)", (folder / "version").read_text())),
            "",
        )
        told = [path.read_text() for path in sorted((folder / "gpus").glob("*/information"))]
    except OSError:
        found = gpus()
        return (found[0].driver if found else ""), [one.name for one in found]
    return driver, [name.strip() for text in told for name in re.findall(r"Model:(.*)", text)]


def parse_gpus(told: str) -> list[Gpu]:
    """What ``nvidia-smi`` tells, a GPU on each line, its memory in MiB; what it does not tell, as of a part of a GPU, is 0."""
    rows = [
        [part.strip() for part in line.split(",")]
        for line in told.splitlines()
        if line.count(",") == 3
    ]
    return [Gpu(name, _mib(total), _mib(free), driver) for name, total, free, driver in rows]


def _mib(told: str) -> int:
    return int(told) * 2**20 if told.isdigit() else 0


def memory() -> tuple[int, int]:
    """Bytes of memory that this process may use, and those of them that are free: the machine's, or a container's limit where that is lower."""
    told = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(told[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    try:
        limit, used = (
            int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current")
        )
    except (OSError, ValueError):  # no cgroup, or "max": no limit
        return total, free
    return min(total, limit), min(free, limit - used)


def faster_dtype() -> str:
    """``bfloat16`` where this CPU multiplies it at least 1.3 times as fast as ``float32``, else ``float32``.

    Measured once on a machine, in about a second, and kept in the cache folder: a run that goes on later must read with the
    same dtype, however busy the machine is by then.
    """
    path = cache_folder() / "fastest-dtype.json"
    machine = f"{platform.machine()} {cpu_model()}"
    known = json.loads(path.read_text()) if path.is_file() else {}
    if machine not in known:
        known[machine] = (
            "bfloat16" if _seconds("float32") > 1.3 * _seconds("bfloat16") else "float32"
        )
        write_atomically(path, json.dumps(known, indent=1).encode())
    return str(known[machine])


def _seconds(dtype: str) -> float:
    """The shortest of several products of two 512 x 2048 matrices: the others had the machine's other work in them."""
    import torch

    a, b = (
        torch.ones(512, 2048, dtype=getattr(torch, dtype)),
        torch.ones(2048, 512, dtype=getattr(torch, dtype)),
    )
    took: list[float] = []
    end = time.perf_counter() + 0.5
    while time.perf_counter() < end or len(took) < 3:
        began = time.perf_counter()
        torch.mm(a, b)
        took.append(time.perf_counter() - began)
    return min(took)


def cpu_model() -> str:
    """The CPU's name as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )
