"""Folders and files: where caches are, writes that leave no half a file, and the digest of a configuration."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
from pathlib import Path


def cache_folder() -> Path:
    """Where converted models are kept: ``$ASSAY_CACHE``, else ``assay`` in the user's cache folder."""
    own, users = os.environ.get("ASSAY_CACHE"), os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(own or f"{users}/assay").expanduser()


def digest(value: object) -> str:
    """The first 16 hex digits of the SHA-256 of ``value`` as canonical JSON: the identity of what it configures."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` through a temporary file and a rename, so that no reader sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def new_folder(parent: Path, name: str) -> Path:
    """A new hidden folder in ``parent``, to be filled and then renamed; readable to whom the umask says."""
    folder = parent / f".{name}-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    return folder


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made, or written to, before there is anything to write; nothing is made."""
    there = nearest_existing(folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        code = errno.EACCES if there.is_dir() else errno.ENOTDIR
        raise OSError(code, os.strerror(code), str(folder))


def nearest_existing(folder: Path) -> Path:
    """The folder, or the one above it where it would be made."""
    there = folder.expanduser().absolute()
    while not there.exists():
        there = there.parent
    return there
