"""Copies of arrays to the device that computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def to_device(array: np.ndarray[Any, Any], device: torch.device | str) -> torch.Tensor:
    """``array`` on the device.

    A copy to a GPU runs behind the work that is queued there: from ordinary memory, the CPU would
    wait until the GPU has finished all of it, and could not queue the next step meanwhile.
    """
    tensor = torch.from_numpy(array)
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
