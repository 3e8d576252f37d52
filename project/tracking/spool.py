"""The spool: what a root run logs is written to this machine's disk before it goes to the store.

``spool/<run id>/`` below the workspace holds one folder for each entry. Entries are sent in the
order in which they were put, by the one process that holds the lock; a sent entry is removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from project.support.files import new_folder
from project.tracking.entries import ENTRY_FILE, Entry, RootRun

# Names in the spool; entries of older versions have them too.
FILES = "files"
ROOT_FILE = "root.json"
TRIED = "tried"  # marks an entry of which the store may hold a part
LOCK = "lock"
REFUSED = "refused-"  # prefix of an entry that was set aside
# File systems of some clusters have no locks; there the user must not run relog beside the run.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP)


class Spool:
    """The entries of one root run that the store does not hold yet."""

    def __init__(self, folder: Path) -> None:
        """``folder``: the root run's, made by :meth:`begin`."""
        self.folder = folder
        self._lock: FileLock | None = None
        self._root: RootRun | None = None
        self._last_number: int | None = None

    @classmethod
    def begin(cls, workspace: Path, root: RootRun) -> Spool:
        """The spool of a new or continued root run, locked by this process until :meth:`close`."""
        spool = cls(workspace / "spool" / root.run_id)
        spool._root = root
        root.save(spool.folder / ROOT_FILE)
        spool.lock()
        return spool

    @property
    def root(self) -> RootRun:
        """The root run of the entries."""
        if self._root is None:
            self._root = RootRun.load(self.folder / ROOT_FILE)
        return self._root

    def lock(self) -> bool:
        """Keep other processes of this machine from sending; False if one of them has the lock.

        The operating system releases the lock when the process dies, however it dies.
        """
        # thread_local=False: the thread that closes the spool need not be the one that opened it.
        # Without a mode, the umask decides: a private workspace sets it so that only the owner
        # can open the file.
        lock = FileLock(self.folder / LOCK, thread_local=False, fallback_to_soft=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return True
        self._lock = lock
        return True

    def put(self, entry: Entry, files: Mapping[str, Path]) -> Path:
        """Write an entry to disk.

        Parameters
        ----------
        entry
            What to log.
        files
            Artifact path -> local file. Files are hard-linked where the file system allows it.

        Returns
        -------
        Path
            The entry's folder, complete on disk.

        Raises
        ------
        OSError
            If the disk is full or cannot be written; nothing is left of the entry then.
        """
        # The folder is filled under a hidden name and renamed when all bytes are on disk, so that
        # neither a reader nor a power cut ever sees half an entry.
        temporary = new_folder(self.folder, entry.entry_id)
        try:
            for path, source in files.items():
                target = temporary / FILES / path
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(source, target)
            (temporary / ENTRY_FILE).write_text(entry.to_json(), encoding="utf-8")
            for written in (*temporary.rglob("*"), temporary):
                _sync(written)
            # Someone may have removed the spool's folder under the running experiment. Without
            # root.json, relog would not find the entry.
            if self._root and not (self.folder / ROOT_FILE).is_file():
                self._root.save(self.folder / ROOT_FILE)
            folder = self.folder / f"{self._next_number():08d}-{entry.entry_id}"
            temporary.rename(folder)
            _sync(self.folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return folder

    def pending(self) -> list[Path]:
        """The folders of the entries that wait for the store, in order."""
        return sorted(self.folder.glob("[0-9]*-*"))

    def _next_number(self) -> int:
        """One more than the highest number so far, also that of an earlier process."""
        if self._last_number is None:
            numbers = (int(folder.name.partition("-")[0]) for folder in self.pending())
            self._last_number = max(numbers, default=0)
        self._last_number += 1
        return self._last_number

    def refuse(self, folder: Path) -> None:
        """Set an entry aside that the store will never take; the entries after it can be sent."""
        folder.rename(folder.with_name(f"{REFUSED}{folder.name}"))

    def refused(self) -> list[Path]:
        """The folders of the entries that were set aside."""
        return sorted(self.folder.glob(f"{REFUSED}*"))

    def retry(self) -> None:
        """Make the refused entries pending again, each at its old position."""
        for folder in self.refused():
            folder.rename(folder.with_name(folder.name.removeprefix(REFUSED)))

    def ended(self) -> bool:
        """Whether the end of the root run is pending, which means that its process did not die."""
        return any(Entry.of_folder(folder).end_status for folder in self.pending())

    def done(self, folder: Path) -> None:
        """Remove an entry that the store holds."""
        # Removing takes several steps. A kill between them must not leave half an entry that looks
        # pending, so the folder gets a hidden name first, in one step.
        hidden = folder.with_name(f".done-{folder.name}")
        folder.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)

    def close(self) -> None:
        """Release the lock; remove the spool's folder unless entries are left in it."""
        if not self.pending() and not self.refused():
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # spools of other root runs are there
                self.folder.parent.rmdir()
        if self._lock:
            self._lock.release()


def spools(workspace: Path) -> Iterator[Spool]:
    """All spools below ``workspace``, oldest first."""
    files = (workspace / "spool").glob(f"*/{ROOT_FILE}")
    for file in sorted(files, key=lambda file: file.stat().st_mtime):
        yield Spool(file.parent)


def _sync(path: Path) -> None:
    """Force a file's bytes, or a folder's names, to disk, so that they outlive a power cut."""
    with contextlib.suppress(OSError):  # not every file system can sync a folder
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _link(source: Path, target: Path) -> None:
    """Hard-link a file, which costs no space; copy it where the file system has no such links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
