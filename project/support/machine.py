"""The machine at hand: CPU cores, memory, GPUs, and the faster dtype of its CPU."""

from __future__ import annotations

import ctypes
import functools
import json
import math
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from project.support.cgroup import cpu_quota, memory_limits
from project.support.files import cache_folder, write_atomically

# Options of mallopt, by the names and numbers of malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_NVIDIA_SMI = (
    "nvidia-smi",
    "--query-gpu=name,memory.total,memory.free,driver_version",
    "--format=csv,noheader,nounits",
)
_KIB = 2**10
_MIB = 2**20
_MIN_SPEEDUP = 1.3  # of bfloat16 over float32
_COMPILED_KERNELS = "128"
_MEASURING_SECONDS = 0.5  # for each dtype


class Memory(NamedTuple):
    """Main memory in bytes: in all, and free."""

    total: int
    free: int


class Gpu(NamedTuple):
    """One GPU as its driver describes it; ``memory`` and ``free`` in bytes."""

    name: str
    memory: int
    free: int
    driver: str


class GpuDriver(NamedTuple):
    """Version of the GPU driver, empty without one, and the names of the GPUs."""

    version: str
    gpus: list[str]


def cpu_cores() -> int:
    """CPU cores that this process may use, by its affinity and the quota of its container."""
    cores = len(os.sched_getaffinity(0))
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def cpu_model() -> str:
    """The CPU's name in ``/proc/cpuinfo``, else what Python's ``platform`` reports."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def memory() -> Memory:
    """Memory that this process may use: the machine's, or less where a limit is set on it.

    The limits are those of its container or job.

    Not from psutil, which reports the machine's memory inside a container too.
    """
    # Lines such as "MemTotal:       16384000 kB".
    lines = Path("/proc/meminfo").read_text().splitlines()
    amounts = dict(line.split(":", 1) for line in lines)
    total = int(amounts["MemTotal"].split()[0]) * _KIB
    free = int(amounts["MemAvailable"].split()[0]) * _KIB
    limits = memory_limits()
    return Memory(
        min([total, *(limit.limit for limit in limits)]),
        min([free, *(limit.free for limit in limits)]),
    )


def set_memory_limits() -> None:
    """Limit what this process keeps in memory for models on a CPU, before the first one computes.

    It keeps up to 1 GiB of the memory it frees, where the C library is glibc. By default glibc
    returns freed memory to the kernel, so that every layer pays for fresh pages again.
    It keeps 128 compiled kernels of oneDNN, one for each shape of a matrix. By default it keeps
    1,024, and nearly every mini-batch of texts of mixed lengths has new shapes, so that memory
    grows with every training.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", _COMPILED_KERNELS)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library, which has no mallopt
        return
    # 32 MiB is the most that glibc accepts; a larger value is refused, and 128 KiB stays the limit.
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, named as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    if not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        return [name.strip() for name in visible.split(",")]
    return [str(index) for index in range(torch.cuda.device_count())]


def gpus() -> list[Gpu]:
    """All GPUs of this machine, found without loading a library that would occupy one."""
    try:
        process = subprocess.run(
            _NVIDIA_SMI, capture_output=True, text=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):  # no driver, no GPU
        return []
    return parse_gpus(process.stdout)


def parse_gpus(output: str) -> list[Gpu]:
    """The GPUs in the output of ``nvidia-smi``: one per line, memory in MiB.

    Memory that it does not report, as for a part of a GPU, is 0. Lines that do not have the four
    requested fields are messages, and are skipped.
    """
    parsed = []
    for line in output.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 4:
            name, total, free, driver = fields
            parsed.append(Gpu(name, _bytes(total), _bytes(free), driver))
    return parsed


def _bytes(mib: str) -> int:
    """Bytes from a number of MiB; 0 for text such as ``[N/A]``."""
    return int(mib) * _MIB if mib.isdigit() else 0


def driver_and_gpus(folder: Path = Path("/proc/driver/nvidia")) -> GpuDriver:
    """The GPU driver's version and the names of the GPUs.

    The kernel's files in ``folder`` are read first, because ``nvidia-smi`` can take seconds.
    """
    try:
        version_text = (folder / "version").read_text()
        gpu_texts = [path.read_text() for path in sorted((folder / "gpus").glob("*/information"))]
    except OSError:
        listed = gpus()
        driver = listed[0].driver if listed else ""
        return GpuDriver(driver, [gpu.name for gpu in listed])
    version = re.search(r"Kernel Module .*?(\d+\.[\d.]+)", version_text)
    names = re.findall(r"Model:(.*)", "\n".join(gpu_texts))
    return GpuDriver(version[1] if version else "", [name.strip() for name in names])


def faster_cpu_dtype() -> str:
    """``bfloat16`` if this CPU multiplies it more than 1.3 times as fast as ``float32``.

    Else ``float32``. Annotation and training both follow this rule. It is measured once on a
    machine, in about a second, and kept in the cache folder: a run that is continued later must
    use the same dtype, however busy the machine is by then.
    """
    path = cache_folder("fastest-dtype.json")
    # Several kinds of machines may share the cache folder, for example the home of a cluster.
    machine = f"{platform.machine()} {cpu_model()}"
    measured = json.loads(path.read_text()) if path.is_file() else {}
    if machine not in measured:
        measured[machine] = _measured_cpu_dtype()
        write_atomically(path, json.dumps(measured, indent=1).encode())
    return str(measured[machine])


@functools.cache  # one process measures once, even if its cache folder changes
def _measured_cpu_dtype() -> str:
    if _seconds("float32") > _MIN_SPEEDUP * _seconds("bfloat16"):
        return "bfloat16"
    return "float32"


def _seconds(dtype: str) -> float:
    """The shortest time of several products of a 512 x 2048 matrix and a 2048 x 512 matrix.

    The shortest, because other work of the machine can only slow a product down.
    """
    import torch

    set_memory_limits()
    left = torch.ones(512, 2048, dtype=getattr(torch, dtype))
    right = torch.ones(2048, 512, dtype=getattr(torch, dtype))
    times: list[float] = []
    end = time.perf_counter() + _MEASURING_SECONDS
    # At least three products, because the first one also pays for the setup of the library.
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        torch.mm(left, right)
        times.append(time.perf_counter() - start)
    return min(times)
