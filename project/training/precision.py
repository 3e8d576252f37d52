"""The arithmetic of training: which precision, and the context that computes in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch

from project.config.fields import AUTO
from project.support.errors import AssayError
from project.support.gpu_dtype import gpu_dtype, lowest_capability
from project.support.machine import faster_cpu_dtype

DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
"""Name of a precision -> torch's type."""
PRECISION_OF = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
"""Name of a dtype -> that of the precision."""


class Machine(NamedTuple):
    """The machine that trains, as far as it changes what is computed.

    ``device`` is ``cuda`` or ``cpu``; ``fastest`` is its fastest precision.
    """

    device: str
    fastest: str


def device() -> str:
    """The device on which this process trains: ``cuda`` or ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def one_thread_each() -> None:
    """Let operations of this thread use no other threads; for the threads of a pool.

    Threads that share an operation wait for one another at each of thousands of small ones.
    """
    torch.set_num_threads(1)


def this_machine() -> Machine:
    """The machine of this process.

    Where GPUs differ, the oldest decides, since seeds are spread over all of them and must agree.
    A V100 or T4 trains in fp16, with a scaled loss, an older GPU in fp32.
    """
    capability = lowest_capability()
    if capability is None:
        return Machine("cpu", PRECISION_OF[faster_cpu_dtype()])
    return Machine("cuda", PRECISION_OF[gpu_dtype(capability)])


def precision(requested: str, machine: Machine | None = None) -> str:
    """The precision ``requested``, or for ``auto`` the fastest one of the machine that trains.

    Parameters
    ----------
    requested
        ``auto`` or a precision.
    machine
        The one that trains; None: this one.

    Raises
    ------
    AssayError
        If the machine has not got it in hardware.
    """
    machine = machine or this_machine()
    if requested == AUTO:
        return machine.fastest
    if machine.device == "cpu":
        if requested in ("fp16", "tf32"):
            raise AssayError(f"precision {requested} needs a GPU; use bf16, fp32 or auto on a CPU.")
        return requested
    # GPUs have TF32 since they have bf16.
    if requested in ("bf16", "tf32") and machine.fastest != "bf16":
        raise AssayError(
            f"precision {requested} needs a GPU of compute capability 8.0 or more, such as an A100 "
            f"or an RTX 30. Use precision=auto, which is {machine.fastest} here."
        )
    return requested


def embedding_precision() -> str:
    """The precision of embeddings here: bfloat16 on a CPU that has it, else float32.

    On a CPU bfloat16 is faster, and moves an embedding by a cosine of less than 0.0001. A GPU
    embeds fast enough in float32.
    """
    return "bf16" if device() == "cpu" and precision("auto") == "bf16" else "fp32"


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
