"""Files that travel to a node once, through Ray's object store, and stay there for a while."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from project.cluster.connect import Cluster
from project.support.checksums import checksum, damaged_files, report_damage, seal
from project.support.files import cache_folder, digest, new_folder

_KEPT_SECONDS = 7 * 24 * 3600  # after their last use


class Bundle(NamedTuple):
    """Files of one folder.

    Attributes
    ----------
    digest
        Identity of their names and contents.
    reference
        A list with the reference of their contents by name. In a list, so that Ray does not fetch
        them for a task on a node that has them.
    """

    digest: str
    reference: list[Any]


def bundle(cluster: Cluster, paths: Iterable[Path]) -> Bundle:
    """Put files into the object store; their names must differ."""
    contents = {path.name: path.read_bytes() for path in sorted(paths)}
    identity = digest([[name, checksum(data)] for name, data in contents.items()])
    # As arrays, which a node reads from shared memory without a copy.
    arrays = {name: np.frombuffer(data, np.uint8) for name, data in contents.items()}
    return Bundle(identity, [cluster.ray.put(arrays)])


def node_folder(*parts: str) -> Path:
    """A folder of this node for files of a cluster; only its owner may read it."""
    root = cache_folder("cluster")
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = root.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def unpacked(files: Bundle) -> Path:
    """The folder of this node with the files of a bundle, which are fetched if it has none."""
    parent = node_folder("files")
    folder = parent / files.digest
    if damaged := damaged_files(folder):
        report_damage(folder, damaged, "They are fetched again.")
        shutil.rmtree(folder, ignore_errors=True)
    if not folder.is_dir():
        _forget_old(parent)
        _fetch(files, folder)
    os.utime(folder)
    return folder


def _fetch(files: Bundle, folder: Path) -> None:
    import ray

    temporary = new_folder(folder.parent, folder.name)
    try:
        for name, data in ray.get(files.reference[0]).items():
            (temporary / name).write_bytes(data)
        seal(temporary)
        with contextlib.suppress(OSError):  # another task on this node was faster
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _forget_old(parent: Path) -> None:
    """Delete what no training has used for a week."""
    for path in parent.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
