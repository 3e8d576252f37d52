"""Vectors on disk in files that only grow, each found by the digest of its text."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from project.support.checksums import report_damage

KEY_BYTES = 16
_NO_TEXT = bytes(KEY_BYTES)
Vectors = npt.NDArray[np.float32]


def text_key(text: str) -> bytes:
    """The key of a text: the first 16 bytes of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]


class VectorStore:
    """Vectors, their checksums and their keys in three files, in the same order.

    A vector and its checksum are written before its key and count once all are complete. What a
    killed process left behind the last complete row is overwritten. A row whose checksum differs
    does not count. ``lock`` keeps a second process waiting.
    """

    def __init__(self, folder: Path) -> None:
        """The store in ``folder``, which is made if it does not exist."""
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(folder / "lock")
        self._keys = folder / "keys.bin"
        self._values = folder / "vectors.f32"
        self._sums = folder / "checksums.bin"
        self._size = folder / "size"

    def rows(self) -> dict[bytes, int]:
        """The row of every key whose vector is whole."""
        keys = self._all_keys()
        if not keys:
            return {}
        sums = self._checksums(keys)
        stored = np.frombuffer(self._sums.read_bytes()[: 4 * len(keys)], dtype="<u4")
        damaged = np.flatnonzero(sums != stored).tolist()
        if damaged:
            n_texts = f"{len(damaged)} of {len(keys)} texts"
            report_damage(
                self._values.parent, [self._values.name], f"{n_texts} are embedded again."
            )
            self._forget(damaged)
            keys = self._all_keys()
        return {key: row for row, key in enumerate(keys) if key != _NO_TEXT}

    def _forget(self, rows: Sequence[int]) -> None:
        """Give damaged rows the key of no text, so that they are not reported again."""
        keys = [_NO_TEXT] * len(rows)
        vectors = self.read(rows)
        for row, checksum in zip(rows, _checksums(keys, vectors), strict=True):
            _write_at(self._keys, row * KEY_BYTES, _NO_TEXT, cut=False)
            _write_at(self._sums, row * 4, checksum.tobytes(), cut=False)

    def _all_keys(self) -> list[bytes]:
        """The keys of all complete rows, damaged ones included."""
        return self._first_keys(self._n_rows())

    def _n_rows(self) -> int:
        """Number of complete rows, damaged ones included; it reads no row."""
        count = min(_file_size(self._keys) // KEY_BYTES, self._n_vectors())
        if count and not self._sums.exists():
            # An older version wrote these vectors, without checksums.
            _write_at(self._sums, 0, self._checksums(self._first_keys(count)).tobytes())
        return min(count, _file_size(self._sums) // 4)

    def _first_keys(self, count: int) -> list[bytes]:
        """The keys of the first ``count`` rows."""
        data = self._keys.read_bytes() if count else b""
        return [data[row * KEY_BYTES : (row + 1) * KEY_BYTES] for row in range(count)]

    def _checksums(self, keys: Sequence[bytes]) -> npt.NDArray[np.uint32]:
        """CRC-32 of each key with its vector, as they are on disk, ``(n,)``."""
        shape = (len(keys), self._vector_size())
        vectors = np.memmap(self._values, dtype=np.float32, mode="r", shape=shape)
        return _checksums(keys, vectors)

    def read(self, rows: Sequence[int]) -> Vectors:
        """The vectors at ``rows``, ``(n, size)``; the file is mapped, not read whole."""
        size = self._vector_size()
        if not len(rows):
            return np.empty((0, size), dtype=np.float32)
        shape = (self._n_vectors(), size)
        mapped = np.memmap(self._values, dtype=np.float32, mode="r", shape=shape)
        return np.asarray(mapped[np.asarray(rows)])

    def append(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        """Write vectors ``(n, size)``, then their keys; all are on disk when it returns."""
        if self._vector_size() != vectors.shape[1]:  # the first vectors, or a damaged file
            self._size.write_text(str(vectors.shape[1]))
        count = self._n_rows()
        row_bytes = 4 * self._vector_size()
        values = np.ascontiguousarray(vectors, dtype=np.float32)
        _write_at(self._values, count * row_bytes, values.tobytes())
        _write_at(self._sums, count * 4, _checksums(keys, values).tobytes())
        _write_at(self._keys, count * KEY_BYTES, b"".join(keys))

    def _vector_size(self) -> int:
        """Numbers in a vector; 0 where the file is empty, damaged or missing."""
        text = self._size.read_bytes() if self._size.exists() else b""
        return int(text) if text.isdigit() else 0

    def _n_vectors(self) -> int:
        """Number of complete vectors."""
        size = self._vector_size()
        return _file_size(self._values) // (4 * size) if size else 0


def _file_size(path: Path) -> int:
    """Bytes of a file; 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def _checksums(keys: Sequence[bytes], vectors: Vectors) -> npt.NDArray[np.uint32]:
    """CRC-32 of each key with its vector, ``(n,)``."""
    pairs = zip(keys, vectors, strict=True)
    sums = [zlib.crc32(vector.data, zlib.crc32(key)) for key, vector in pairs]
    return np.array(sums, dtype="<u4")


def _write_at(path: Path, offset: int, data: bytes, *, cut: bool = True) -> None:
    """Write at ``offset`` and wait until it is on disk; ``cut`` off what was behind it."""
    path.touch()
    with path.open("r+b") as file:
        if cut:
            file.truncate(offset)
        file.seek(offset)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
