"""What the machine at hand has: CPU cores, and the dtype in which it multiplies fastest."""

from __future__ import annotations

import ctypes
import json
import math
import os
import platform
import time
from pathlib import Path

from project.models import cache_folder
from project.tables import write_atomically

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
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that glibc takes: more is refused, and 128 KiB then stays the limit
    mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` writes them."""
    import torch

    if not torch.cuda.is_available():
        return []
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [name.strip() for name in given.split(",")] if given else [str(index) for index in range(torch.cuda.device_count())]


def faster_dtype() -> str:
    """``bfloat16`` where this CPU multiplies it at least 1.3 times as fast as ``float32``, else ``float32``.

    Measured once on a machine, in about a second, and kept in the cache folder: a run that goes on later must read with the
    same dtype, however busy the machine is by then.
    """
    path = cache_folder() / "fastest-dtype.json"
    machine = f"{platform.machine()} {_cpu_model()}"
    known = json.loads(path.read_text()) if path.is_file() else {}
    if machine not in known:
        known[machine] = "bfloat16" if _seconds("float32") > 1.3 * _seconds("bfloat16") else "float32"
        write_atomically(path, json.dumps(known, indent=1).encode())
    return str(known[machine])


def _seconds(dtype: str) -> float:
    """The shortest of several products of two 512 x 2048 matrices: the others had the machine's other work in them."""
    import torch

    a, b = (torch.ones(512, 2048, dtype=getattr(torch, dtype)), torch.ones(2048, 512, dtype=getattr(torch, dtype)))
    took: list[float] = []
    end = time.perf_counter() + 0.5
    while time.perf_counter() < end or len(took) < 3:
        began = time.perf_counter()
        torch.mm(a, b)
        took.append(time.perf_counter() - began)
    return min(took)


def _cpu_model() -> str:
    """The CPU's name as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
