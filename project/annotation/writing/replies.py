"""Replies on disk: each is written the moment it arrives, and is never asked for twice."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from project.annotation.cost import Meter
from project.annotation.writing.base import Reply, Writer, WriteRequest
from project.support.files import digest
from project.support.framed_log import FrameWriter, read_frames

_SUFFIX = ".replies"
_AT_ONCE = 64
"""Requests that are sent before the meter is asked again."""


class Replies:
    """The replies of one model, in a folder of files that only grow.

    Attributes
    ----------
    n_reused, n_written
        Replies that were on disk, and replies that were newly written.
    damage
        A sentence for each damaged file that was met.
    """

    def __init__(self, folder: Path, writer: Writer, meter: Meter) -> None:
        """Read the replies that ``folder`` holds; nothing is written yet."""
        self.damage: list[str] = []
        self.n_reused = 0
        self.n_written = 0
        self._writer = writer
        self._meter = meter
        self._folder = folder / digest(dict(writer.identity))[:16]
        self._known: dict[str, Reply] = {}
        self._log: FrameWriter | None = None
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            self._read(path)

    def replies(
        self, requests: Sequence[WriteRequest], progress: Callable[[int], None]
    ) -> list[Reply]:
        """The reply to every request, from the disk where it is known.

        Parameters
        ----------
        requests
            The prompts; equal ones are sent once.
        progress
            Called with the number of requests that have got their reply.

        Raises
        ------
        AssayError, Incomplete, Stopped
            As :meth:`project.annotation.writing.base.Writer.write` and the meter do; all replies
            so far are on disk.
        """
        keys = [self._key(request) for request in requests]
        missing: dict[str, WriteRequest] = {}
        for key, request in zip(keys, requests, strict=True):
            if key not in self._known:
                missing.setdefault(key, request)
        n_known = sum(key in self._known for key in keys)
        self.n_reused += n_known
        progress(n_known)
        pending = list(missing.items())
        for start in range(0, len(pending), _AT_ONCE):
            self._ask(pending[start : start + _AT_ONCE], keys, progress)
        return [self._known[key] for key in keys]

    def close(self) -> None:
        """Force everything to the disk."""
        if self._log:
            self._log.close()

    def _ask(
        self,
        pending: Sequence[tuple[str, WriteRequest]],
        keys: Sequence[str],
        progress: Callable[[int], None],
    ) -> None:
        """Send these requests, whose keys are not known, and keep every reply as it arrives."""
        self._meter.admit(len(pending))
        n_answered = 0

        def arrived(position: int, reply: Reply) -> None:
            nonlocal n_answered
            key, _ = pending[position]
            self._keep(key, reply)
            n_answered += 1
            self._meter.add(1, reply.prompt_tokens, reply.generated_tokens)
            progress(keys.count(key))

        try:
            self._writer.write([request for _, request in pending], arrived)
        finally:
            self._meter.cancel(len(pending) - n_answered)

    def _key(self, request: WriteRequest) -> str:
        # Texts may hold half of a surrogate pair, which JSON escapes.
        return hashlib.sha256(json.dumps(request).encode()).hexdigest()

    def _keep(self, key: str, reply: Reply) -> None:
        self._known[key] = reply
        self.n_written += 1
        # Nothing was paid for a refused request, which may be answered the next time.
        if not (reply.text or reply.generated_tokens):
            return
        if self._log is None:
            name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}{_SUFFIX}"
            self._log = FrameWriter(self._folder / name)
        self._log.append(json.dumps({"key": key, **reply._asdict()}).encode())

    def _read(self, path: Path) -> None:
        frames = read_frames(path)
        n_damaged = frames.n_damaged
        for payload in frames.payloads:
            try:
                content = json.loads(bytes(payload))
                key = content.pop("key")
                self._known[key] = Reply(**content)
            except (ValueError, KeyError, TypeError):
                n_damaged += 1
        if n_damaged:
            self.damage.append(
                f"damaged: {path} ({n_damaged} replies cannot be read). They are asked for again."
            )
