"""The arithmetic of training: which precision, and the context that computes in it."""

from __future__ import annotations

from typing import NamedTuple

import torch

from project.config.fields import AUTO
from project.support.errors import AssayError
from project.support.machine import faster_cpu_dtype

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Name of a precision -> torch's type."""


class Machine(NamedTuple):
    """The machine that trains, as far as it changes what is computed.

    ``device`` is ``cuda`` or ``cpu``; ``fastest`` is its fastest precision.
    """

    device: str
    fastest: str


def device() -> str:
    """The device on which this process trains: ``cuda`` or ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def this_machine() -> Machine:
    """The machine of this process.

    Its fastest precision is bf16 if the hardware has it, else fp16 on a GPU and fp32 on a CPU.
    """
    if device() == "cuda":
        return Machine("cuda", "bf16" if torch.cuda.is_bf16_supported() else "fp16")
    return Machine("cpu", "bf16" if faster_cpu_dtype() == "bfloat16" else "fp32")


def precision(requested: str, machine: Machine | None = None) -> str:
    """The precision ``requested``, or for ``auto`` the fastest one of the machine that trains.

    ``machine`` is the one that trains; None: this one.
    """
    if requested == AUTO:
        return (machine or this_machine()).fastest
    if requested == "fp16" and (machine.device if machine else device()) != "cuda":
        raise AssayError("precision fp16 needs a GPU; use bf16, fp32 or auto on a CPU.")
    return requested


def autocast(precision: str, device: str) -> torch.autocast:
    """The context in which a model computes in ``precision``; float32 weights are cast in it."""
    return torch.autocast(
        device,
        dtype=DTYPES["fp16" if precision == "fp16" else "bf16"],
        enabled=precision != "fp32",
    )
