"""What is to be logged, on this machine's disk first: one folder for each entry, which goes when the store has it.

The spool of a root run lies below the workspace, ``spool/<run id>/``. Its entries are read in the order in which they were put, and whoever
sends them to the store locks it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from project.support.files import new_folder, write_atomically

FILES, ENTRY, ROOT_FILE, TRIED, LOCK, REFUSED = (
    "files",
    "entry.json",
    "root.json",
    "tried",
    "lock",
    "refused-",
)
_NO_LOCKS = (
    errno.ENOSYS,
    errno.ENOLCK,
    errno.ENOTSUP,
)  # file systems that know none, as some of clusters do


@dataclass(frozen=True)
class Root:
    """A root run: its id, its experiment's, what kind it is, the address of its store without user and password, and whose it is."""

    run_id: str
    experiment_id: str
    kind: str
    store: str
    user: str = ""


@dataclass(frozen=True)
class Entry:
    """Something to log, with all that the store will hold of it, so that logging it twice is logging it once.

    ``made``: when, in ms since 1970. ``child``: name and status of a run of its own below the root run, that took ``seconds``; None where it is
    the root run's. ``metrics``: each (name, value, ms since 1970, step). ``inputs``: (name, content hash, context). ``model``: what
    :func:`project.tracking.model.log_classifier` asks beside the folder, where the files are a classifier of the child ``of``. ``end``: the status
    that the root run ends as; ``report``: its report is still to be made from the store.
    """

    made: int
    entry_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    child: tuple[str, str] | None = None
    seconds: float = 0.0
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[tuple[str, float, int, int]] = ()
    inputs: Sequence[tuple[str, str, str]] = ()
    of: str = ""
    model: Mapping[str, Any] | None = None
    end: str = ""
    report: bool = False

    @classmethod
    def load(cls, place: Path) -> Entry:
        """The entry whose folder is ``place``."""
        values = json.loads((place / ENTRY).read_text(encoding="utf-8"))
        return cls(**{**values, "child": tuple(values["child"]) if values["child"] else None})


class Spool:
    """The entries of one root run that the store does not hold yet."""

    def __init__(self, folder: Path) -> None:
        """``folder``: the root run's, made by :meth:`begin`."""
        self.folder = folder
        self._lock: Any = None
        self._root: Root | None = None
        self._last: int | None = None

    @classmethod
    def begin(cls, workspace: Path, root: Root) -> Spool:
        """The spool of a root run that begins, or goes on, locked by this process until :meth:`close`."""
        made = cls(workspace / "spool" / root.run_id)
        made._root = root
        made._write_root()
        made.lock()
        return made

    def _write_root(self) -> None:
        write_atomically(
            self.folder / ROOT_FILE, json.dumps(dataclasses.asdict(self.root), indent=1).encode()
        )

    @property
    def root(self) -> Root:
        """Whose entries these are."""
        if self._root is None:
            self._root = Root(**json.loads((self.folder / ROOT_FILE).read_text(encoding="utf-8")))
        return self._root

    def lock(self) -> bool:
        """Keep other processes from sending the same entries; False where another one has the lock, on this machine."""
        self._lock = (self.folder / LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        return True

    def put(self, entry: Entry, files: Mapping[str, Path]) -> Path:
        """Keep ``entry`` with its ``files`` (artifact path -> local file); its folder, complete on disk."""
        temporary = new_folder(self.folder, entry.entry_id)
        try:
            for path, source in files.items():
                target = temporary / FILES / path
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(source, target)
            (temporary / ENTRY).write_text(
                json.dumps(dataclasses.asdict(entry), ensure_ascii=False), encoding="utf-8"
            )
            for written in (*temporary.rglob("*"), temporary):
                _sync(written)
            if (
                self._root and not (self.folder / ROOT_FILE).is_file()
            ):  # somebody has tidied up under the run
                self._write_root()
            place = self.folder / f"{self._next():08d}-{entry.entry_id}"
            temporary.rename(place)
            _sync(self.folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return place

    def pending(self) -> list[Path]:
        """The folders of the entries that the store does not hold, in their order."""
        return sorted(self.folder.glob("[0-9]*-*"))

    def _next(self) -> int:
        if self._last is None:
            self._last = max(
                (int(place.name.partition("-")[0]) for place in self.pending()), default=0
            )
        self._last += 1
        return self._last

    def refuse(self, place: Path) -> None:
        """The store will never take the entry as it is; it stays, and stands in nobody's way."""
        place.rename(place.with_name(f"{REFUSED}{place.name}"))

    def refused(self) -> list[Path]:
        """The folders of the entries that the store has refused."""
        return sorted(self.folder.glob(f"{REFUSED}*"))

    def retry(self) -> None:
        """What was refused is pending again, in its place."""
        for place in self.refused():
            place.rename(place.with_name(place.name.removeprefix(REFUSED)))

    def ended(self) -> bool:
        """Whether the root run's end is among them: its process came to an end of its own."""
        return any(Entry.load(place).end for place in self.pending())

    def done(self, place: Path) -> None:
        """The store holds the entry; it needs no place any more."""
        gone = place.with_name(f".done-{place.name}")
        place.rename(gone)  # at once, so that nobody finds it half removed
        shutil.rmtree(gone, ignore_errors=True)

    def close(self) -> None:
        """Give the lock back, and leave nothing behind where nothing is pending."""
        if not self.pending() and not self.refused():
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                self.folder.parent.rmdir()
        if self._lock:
            self._lock.close()


def spools(workspace: Path) -> Iterator[Spool]:
    """Every spool below ``workspace``, the oldest first."""
    found = sorted(
        (workspace / "spool").glob(f"*/{ROOT_FILE}"), key=lambda path: path.stat().st_mtime
    )
    yield from (Spool(path.parent) for path in found)


def _sync(path: Path) -> None:
    """See that a file's bytes, or a folder's names, outlive a power cut."""
    with contextlib.suppress(OSError):  # a file system that cannot
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
