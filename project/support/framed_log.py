"""A file that only grows, in frames with checksums: what was appended survives the process.

A frame is written by one system call. A process that is killed between two frames loses nothing;
one that is killed within a frame leaves a piece of it at the end of the file, which readers ignore.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_MAGIC = b"\x89ASY"  # not ASCII, so that no text in a frame can hold it
_HEAD = struct.Struct("<4sII")  # magic, CRC-32 of length and payload, length of the payload
_SYNC_SECONDS = 1.0


class Frames(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    payloads
        The content of every frame with a right checksum, in their order: views of the file's
        bytes.
    n_damaged
        Stretches of the file that are no frames with a right checksum. The unfinished frame of a
        killed process at the end of the file does not count.
    """

    payloads: list[memoryview]
    n_damaged: int


class FrameWriter:
    """Appends frames to a new file. Not safe for several threads at a time.

    The operating system has a frame when :meth:`append` returns, so it survives the end of the
    process. It is forced to the disk at most a second later, if another frame follows, and by
    :meth:`close`: only a failure of the machine can lose the last second.
    """

    def __init__(self, path: Path) -> None:
        """Make the file ``path``, which must not exist."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._file = os.open(path, flags, 0o666)
        self._size = 0
        self._synced = time.monotonic()

    def append(self, payload: bytes) -> None:
        """Write one frame. Raises OSError if the disk is full; the file then ends before it."""
        frame = _frame(payload)
        try:
            n_written = os.write(self._file, frame)
            while n_written < len(frame):  # a signal or a large frame may cut a write short
                n_written += os.write(self._file, frame[n_written:])
        except BaseException as error:
            # Later frames would follow the piece of this one. With a full disk, cutting it works.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, str(self.path)) from None
            raise
        self._size += len(frame)
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self._sync()

    def close(self) -> None:
        """Force everything to the disk and close the file."""
        if self._file >= 0:
            self._sync()
            os.close(self._file)
            self._file = -1

    def _sync(self) -> None:
        os.fdatasync(self._file) if hasattr(os, "fdatasync") else os.fsync(self._file)
        self._synced = time.monotonic()


def _frame(payload: bytes) -> bytes:
    length = struct.pack("<I", len(payload))
    return _HEAD.pack(_MAGIC, zlib.crc32(payload, zlib.crc32(length)), len(payload)) + payload


def read_frames(path: Path) -> Frames:
    """The frames of a file. After a damaged frame, reading goes on at the next whole one."""
    data = path.read_bytes()
    view = memoryview(data)
    payloads = []
    n_damaged = 0
    position = 0
    while position < len(data):
        payload = _payload(view, position)
        if payload is not None:
            payloads.append(payload)
            position += _HEAD.size + len(payload)
            continue
        following = _next_frame(data, view, position + 1)
        # At the end of the file it is the frame that a process was writing when it was killed,
        # unless it is complete.
        if following < len(data) or _is_complete(view, position):
            n_damaged += 1
        position = following
    return Frames(payloads, n_damaged)


def _payload(view: memoryview, position: int) -> memoryview | None:
    """The payload of the frame at ``position``, None if there is no frame with a right checksum."""
    if len(view) - position < _HEAD.size:
        return None
    magic, checksum, length = _HEAD.unpack_from(view, position)
    start = position + _HEAD.size
    if magic != _MAGIC or start + length > len(view):
        return None
    payload = view[start : start + length]
    size = struct.pack("<I", length)
    return payload if zlib.crc32(payload, zlib.crc32(size)) == checksum else None


def _is_complete(view: memoryview, position: int) -> bool:
    """Whether a frame of the length in its head fits into the file at ``position``."""
    if len(view) - position < _HEAD.size:
        return False
    magic, _, length = _HEAD.unpack_from(view, position)
    return magic != _MAGIC or position + _HEAD.size + length <= len(view)


def _next_frame(data: bytes, view: memoryview, position: int) -> int:
    """Where the next frame with a right checksum begins; the length of the file if none does."""
    for found in _positions(data, position):
        if _payload(view, found) is not None:
            return found
    return len(data)


def _positions(data: bytes, position: int) -> Iterator[int]:
    """Where the magic bytes stand, from ``position`` on."""
    found = data.find(_MAGIC, position)
    while found >= 0:
        yield found
        found = data.find(_MAGIC, found + 1)
