"""Checksums of files on disk, so that a flipped bit is noticed when they are read."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from project.support.files import write_atomically

CHECKSUMS = "checksums.json"


def checksum(data: bytes | memoryview) -> str:
    """128 bits of the BLAKE2b hash, in hex."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def seal(folder: Path) -> None:
    """Write the checksums of all files in ``folder``, those in folders below it included."""
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    sums = {name: _file_checksum(folder / name) for name in names if name != CHECKSUMS}
    write_atomically(folder / CHECKSUMS, json.dumps(sums, indent=1).encode())


def damaged_files(folder: Path, *, unchecked: str = "") -> list[str]:
    """The files in ``folder`` that are missing or differ from their checksums.

    Folders of older versions have no checksums, and nothing is known of them.

    Parameters
    ----------
    folder
        A folder that :func:`seal` has sealed.
    unchecked
        A folder below it that is left out; "" for none.
    """
    try:
        sums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except ValueError:
        return [CHECKSUMS]
    if not isinstance(sums, dict):
        return [CHECKSUMS]
    checked = {name: sum_ for name, sum_ in sums.items() if not _is_below(name, unchecked)}
    return [name for name, stored in checked.items() if not _matches(folder / name, stored)]


def report_damage(folder: Path, names: Iterable[str], consequence: str) -> None:
    """Tell on stderr which files are damaged, and what is done about it."""
    files = ", ".join(str(folder / name) for name in names)
    sys.stderr.write(f"damaged: {files} (the checksum differs). {consequence}\n")


def _is_below(name: str, folder: str) -> bool:
    return bool(folder) and name.startswith(f"{folder}/")


def _matches(path: Path, stored: object) -> bool:
    return path.is_file() and _file_checksum(path) == stored


def _file_checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
