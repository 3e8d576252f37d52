"""Vectors on disk in a file that only grows, each found by the digest of its text."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock

KEY_BYTES = 16
Vectors = npt.NDArray[np.float32]


def text_key(text: str) -> bytes:
    """The key of a text: the first 16 bytes of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]


class VectorStore:
    """Vectors in one file and their keys in another one, in the same order.

    A vector is written before its key and counts once both are complete. What a killed process
    left behind the last complete pair is overwritten. ``lock`` keeps a second process waiting.
    """

    def __init__(self, folder: Path) -> None:
        """The store in ``folder``, which is made if it does not exist."""
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(folder / "lock")
        self._keys = folder / "keys.bin"
        self._values = folder / "vectors.f32"
        self._size = folder / "size"

    def rows(self) -> dict[bytes, int]:
        """The row of every key."""
        data = self._keys.read_bytes() if self._keys.exists() else b""
        count = min(len(data) // KEY_BYTES, self._n_vectors())
        return {data[row * KEY_BYTES : (row + 1) * KEY_BYTES]: row for row in range(count)}

    def read(self, rows: Sequence[int]) -> Vectors:
        """The vectors at ``rows``, ``(n, size)``; the file is mapped, not read whole."""
        size = self._vector_size()
        if not len(rows):
            return np.empty((0, size), dtype=np.float32)
        shape = (self._n_vectors(), size)
        mapped = np.memmap(self._values, dtype=np.float32, mode="r", shape=shape)
        return np.asarray(mapped[np.asarray(rows)])

    def append(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        """Write vectors ``(n, size)``, then their keys; both are on disk when it returns."""
        if not self._vector_size():
            self._size.write_text(str(vectors.shape[1]))
        count = len(self.rows())
        row_bytes = 4 * self._vector_size()
        _write_at(self._values, count * row_bytes, vectors.astype(np.float32).tobytes())
        _write_at(self._keys, count * KEY_BYTES, b"".join(keys))

    def _vector_size(self) -> int:
        """Numbers in a vector; 0 where a killed process left the file empty, or none."""
        return int(self._size.read_text() or 0) if self._size.exists() else 0

    def _n_vectors(self) -> int:
        """Number of complete vectors."""
        size = self._vector_size()
        if not size or not self._values.exists():
            return 0
        return self._values.stat().st_size // (4 * size)


def _write_at(path: Path, offset: int, data: bytes) -> None:
    """Write at ``offset``, cutting off what was behind it, and wait until it is on disk."""
    path.touch()
    with path.open("r+b") as file:
        file.truncate(offset)
        file.seek(offset)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
