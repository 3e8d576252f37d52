"""An engine in a process of its own, on GPUs of its own: how one machine's GPUs work side by side."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from project.annotation.engines.base import Annotator, Answers, Size
from project.annotation.prompt import Prompt
from project.support.errors import AssayError, Incomplete
from project.support.redact import scrubbed, short_message


class ProcessAnnotator:
    """The same annotator as ``front``, which only lends its name: what loads a model is done in the process, which starts at the first call."""

    def __init__(self, front: Annotator, opener: Any, devices: str | None) -> None:
        """``opener``: a picklable call that makes the annotator in its process; ``devices``: its ``CUDA_VISIBLE_DEVICES``, if any."""
        self.name, self.keyed_by, self.shard_size = front.name, front.keyed_by, front.shard_size
        self.identity: Mapping[str, str] = front.identity
        self.notes: Sequence[str] = ()
        self._opener, self._devices = opener, devices
        self._pipe: Connection | None = None
        self._process: Any = None

    def read(self, prompt: Prompt, items: Sequence[str]) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`."""
        answers: Answers = self._call("read", prompt, items)
        return answers

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """See :class:`project.annotation.engines.base.Annotator`."""
        size: Size = self._call("size", prompt, items)
        return size

    def _call(self, method: str, prompt: Prompt, items: Sequence[str]) -> Any:
        if self._pipe is None:
            self._start()
        assert self._pipe is not None
        try:
            self._pipe.send((method, prompt, list(items)))
            error, answer, self.notes = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(5)
            where = f" on GPU {self._devices}" if self._devices else ""
            code, self._pipe = self._process.exitcode, None
            raise Incomplete(
                f"the process of {self.name}{where} died (exit code {code}; -9 is often the machine out of memory). Answers on disk are kept; "
                "run again to go on."
            ) from None
        if error:
            raise error(answer)
        return answer

    def close(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            self._process.join(10)
            if self._process.is_alive():
                self._process.terminate()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        # not a daemon: vLLM starts processes of its own, which a daemon may not
        self._process = context.Process(target=_serve, args=(theirs, self._opener, self._devices))
        self._process.start()
        theirs.close()
        atexit.register(self.close)  # before multiprocessing waits for its children


def _serve(pipe: Connection, opener: Any, devices: str | None) -> None:
    """Answer until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to settle
    if devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices
    annotator: Annotator | None = None
    while True:
        try:
            method, prompt, items = pipe.recv()
        except EOFError:
            break
        kind: type[AssayError] | None = None
        try:
            annotator = annotator or opener()
            answer = getattr(annotator, method)(prompt, items)
        except AssayError as error:
            kind, answer = Incomplete if isinstance(error, Incomplete) else AssayError, str(error)
        except Exception as error:  # whatever it is, the parent must hear of it
            sys.stderr.write(scrubbed(traceback.format_exc()))
            kind, answer = (
                Incomplete,
                f"{type(error).__name__}: {short_message(error)} Answers on disk are kept; run again to go on.",
            )
        pipe.send((kind, answer, tuple(getattr(annotator, "notes", ()))))
    if annotator:
        annotator.close()
