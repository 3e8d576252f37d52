"""Files and folders: the cache folder, atomic writes, and the digest of a configuration."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterable
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """The folder of everything that Assay caches on this machine, or the path ``parts`` in it.

    ``$ASSAY_CACHE`` if set, else ``assay`` in ``$XDG_CACHE_HOME``, else ``~/.cache/assay``.
    Nothing is created.
    """
    assay_cache = os.environ.get("ASSAY_CACHE")
    user_cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(assay_cache or f"{user_cache}/assay").expanduser().joinpath(*parts)


def digest(value: object) -> str:
    """The first 16 hex digits of the SHA-256 of ``value`` as canonical JSON.

    Stored everywhere as the identity of a configuration, so its result must never change.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digests_with(value: object, mark: str, numbers: Iterable[int]) -> set[str]:
    """The digests of ``value`` with the string ``mark`` in it replaced by each of ``numbers``."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    head, tail = (part.encode() for part in text.split(json.dumps(mark), 1))
    return {
        hashlib.sha256(b'%s"%d"%s' % (head, number, tail)).hexdigest()[:16] for number in numbers
    }


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to a temporary file and rename it, so that no reader sees a partial file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, because a rename is atomic only within one file system. The random part
    # keeps two processes that write the same file apart.
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def new_folder(parent: Path, name: str) -> Path:
    """A new folder ``.<name>-<random>`` in ``parent``; the caller fills and then renames it.

    Its permissions follow the umask. Those of ``tempfile.mkdtemp`` do not, and a workspace that
    several users share would end up with folders that only one of them can read.
    """
    folder = parent / f".{name}-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    return folder


def check_writable(folder: Path) -> None:
    """Raise OSError if ``folder`` cannot be created or written to; nothing is created."""
    parent = nearest_existing(folder)
    if not parent.is_dir():
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    # To make a file in a folder takes both permissions: to write it and to enter it.
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def nearest_existing(folder: Path) -> Path:
    """``folder`` if it exists, else its nearest ancestor that does."""
    path = folder.expanduser().absolute()
    while not path.exists():
        path = path.parent
    return path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
