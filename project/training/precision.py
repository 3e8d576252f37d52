"""The arithmetic of training: which precision, and the context that computes in it."""

from __future__ import annotations

import torch

from project.config.fields import AUTO
from project.support.errors import AssayError
from project.support.machine import faster_cpu_dtype

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Name of a precision -> torch's type."""


def precision(requested: str) -> str:
    """The precision ``requested``, or for ``auto`` the fastest one of this machine.

    That is bf16 if the hardware has it, else fp16 on a GPU and fp32 on a CPU.
    """
    cuda = torch.cuda.is_available()
    if requested == AUTO:
        if cuda:
            return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        return "bf16" if faster_cpu_dtype() == "bfloat16" else "fp32"
    if requested == "fp16" and not cuda:
        raise AssayError("precision fp16 needs a GPU; use bf16, fp32 or auto on a CPU.")
    return requested


def autocast(precision: str, device: str) -> torch.autocast:
    """The context in which a model computes in ``precision``; float32 weights are cast in it."""
    return torch.autocast(
        device,
        dtype=DTYPES["fp16" if precision == "fp16" else "bf16"],
        enabled=precision != "fp32",
    )
