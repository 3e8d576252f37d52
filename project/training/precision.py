"""The arithmetic of training: which precision, and the context that computes in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch

from project.config.fields import AUTO
from project.support.errors import AssayError
from project.support.machine import faster_cpu_dtype

DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
"""Name of a precision -> torch's type."""
Capability = tuple[int, int]
"""Compute capability of a GPU, such as (8, 0) of an A100."""
_FIRST_WITH_BF16: Capability = (8, 0)  # and with TF32
_FIRST_WITH_TENSOR_CORES: Capability = (7, 0)


def precision(requested: str) -> str:
    """The precision ``requested``, or for ``auto`` the fastest one of this machine.

    Raises
    ------
    AssayError
        If the machine does not have the one requested.
    """
    if torch.cuda.is_available():
        devices = range(torch.cuda.device_count())
        return gpu_precision(requested, [torch.cuda.get_device_capability(i) for i in devices])
    if requested in ("fp16", "tf32"):
        raise AssayError(f"precision {requested} needs a GPU; use bf16, fp32 or auto on a CPU.")
    if requested == AUTO:
        return "bf16" if faster_cpu_dtype() == "bfloat16" else "fp32"
    return requested


def gpu_precision(requested: str, capabilities: Sequence[Capability]) -> str:
    """The precision for GPUs: ``auto`` is the fastest one that all of them compute in hardware.

    That is bf16 from compute capability 8.0 on (A100, RTX 30). GPUs from 7.0 on (V100, T4) emulate
    bf16 slowly, but multiply in fp16, which needs a scaled loss. Older ones gain nothing from
    either, and train in fp32.

    Parameters
    ----------
    requested
        ``auto`` or a precision.
    capabilities
        Compute capability of every GPU. Seeds are spread over all of them, and must agree.

    Raises
    ------
    AssayError
        If bf16 or tf32 is requested and a GPU has not got it.
    """
    oldest = min(capabilities)
    if requested == AUTO:
        if oldest >= _FIRST_WITH_BF16:
            return "bf16"
        return "fp16" if oldest >= _FIRST_WITH_TENSOR_CORES else "fp32"
    if requested in ("bf16", "tf32") and oldest < _FIRST_WITH_BF16:
        raise AssayError(
            f"precision {requested} needs a GPU of compute capability 8.0 or more; this one has "
            f"{oldest[0]}.{oldest[1]}. Use precision=auto, which is "
            f"{gpu_precision(AUTO, capabilities)} here."
        )
    return requested


@contextlib.contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """The context in which a GPU multiplies float32 matrices in ``precision``.

    TF32, which keeps 10 bits of a fraction of 23, is used where it is asked for, and else is off,
    whatever the environment has set. Backward passes belong into the context too. It does nothing
    on a CPU.
    """
    settings = torch.backends.cuda.matmul
    before = settings.fp32_precision
    settings.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        settings.fp32_precision = before


def autocast(precision: str, device: str) -> torch.autocast:
    """The context in which a model computes in ``precision``; float32 weights are cast in it."""
    return torch.autocast(
        device,
        dtype=DTYPES["fp16" if precision == "fp16" else "bf16"],
        enabled=precision in ("bf16", "fp16"),
    )
