"""Which dtype a GPU computes fastest without losing the range of a model's numbers."""

from __future__ import annotations

from typing import NamedTuple

_AMPERE = (8, 0)
_VOLTA = (7, 0)


class Capability(NamedTuple):
    """The compute capability of a GPU, such as 7.5 for a T4 and 9.0 for an H100."""

    major: int
    minor: int


def gpu_dtype(capability: tuple[int, int]) -> str:
    """The dtype for models on a GPU: ``bfloat16``, ``float16`` or ``float32``.

    Units for bfloat16 exist from 8.0 (Ampere) on; V100 and T4 (7.0 and 7.5) emulate it many times
    slower, and have units for float16. Older GPUs have neither.
    ``torch.cuda.is_bf16_supported()`` is no help: it is also true where bfloat16 is emulated.
    """
    if capability >= _AMPERE:
        return "bfloat16"
    return "float16" if capability >= _VOLTA else "float32"


def lowest_capability() -> Capability | None:
    """The lowest compute capability among the GPUs that this process may use; None without one.

    The lowest, because copies of one model on several GPUs must compute alike.
    """
    import torch

    if not torch.cuda.is_available():
        return None
    devices = range(torch.cuda.device_count())
    return Capability(*min(torch.cuda.get_device_capability(device) for device in devices))
