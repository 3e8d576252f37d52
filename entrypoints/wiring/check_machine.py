"""Rows of the entry point check: the tracking store and this machine."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from entrypoints.wiring.check_report import Rows
from project.support.files import cache_folder, nearest_existing
from project.support.machine import cpu_cores, gpus, memory, visible_gpus
from project.tracking import findings

_PACKAGES = (
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


def store_rows(workspace: Path) -> Rows[None]:
    """The findings about the tracking store."""
    for finding in findings(workspace):
        yield finding.part, f"{'note: ' if finding.note else ''}{finding.text}"


def machine_rows(workspace: Path) -> Rows[None]:
    """Python, packages, CPU, GPUs and disks."""
    system = f"{platform.system()} {platform.machine()}"
    yield "Python", f"{platform.python_version()} ({sys.executable}), {system}"
    yield "packages", ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    yield "mlflow run", f"--env-manager {_environment_managers()}"
    total, free = memory()
    yield (
        "CPU",
        f"{cpu_cores()} cores, {size_text(total)} of memory, {size_text(free)} of it free",
    )
    yield from _gpu_rows()
    folders = {
        "workspace": workspace,
        "temporary": Path(tempfile.gettempdir()),
        "cache": cache_folder(),
    }
    for name, folder in folders.items():
        free = shutil.disk_usage(nearest_existing(folder)).free
        yield name, f"{folder}: {size_text(free)} free"


def _gpu_rows() -> Rows[None]:
    """The GPUs of the driver, and whether torch can use all of them."""
    present = gpus()
    for gpu in present:
        yield (
            "GPU",
            f"{gpu.name}, {size_text(gpu.memory)} of memory, {size_text(gpu.free)} of it free, "
            f"driver {gpu.driver}",
        )
    visible = visible_gpus()
    if not present and not visible:
        yield "GPU", "none"
    elif len(visible) != len(present):
        yield (
            "GPU",
            f"note: torch can use {len(visible)} of {len(present)}; CUDA_VISIBLE_DEVICES, the "
            f"driver or torch {_version('torch')} excludes the others",
        )


def _environment_managers() -> str:
    """What ``mlflow run`` can use here to make an environment, and what to install for the rest."""
    hints = {"uv": "pip install uv", "conda": "install Miniforge"}
    missing = [f"{name} needs: {hint}" for name, hint in hints.items() if not shutil.which(name)]
    here = ["local", *(name for name in hints if shutil.which(name))]
    return ", ".join(here) + (f" ({'; '.join(missing)})" if missing else "")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def size_text(n_bytes: float) -> str:
    """A number of bytes for people, in decimal units."""
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:,.0f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.1f} GB"
