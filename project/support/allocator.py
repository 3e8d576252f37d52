"""How this process gets its memory from the system."""

from __future__ import annotations

import contextlib
import ctypes

_M_MMAP_THRESHOLD = -3  # in malloc.h of the GNU C library
_LARGE = 2**20  # bytes


def return_large_arrays() -> None:
    """From now on the memory of arrays above 1 MiB goes back to the system when they are freed.

    The GNU C library keeps more and more of it for later arrays otherwise, 100 MB in a report of 50
    trainings and 20,000 texts. Other libraries have no such setting.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
