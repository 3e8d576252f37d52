"""Files that travel to a node once, through Ray's object store, and stay there for a while."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from project.cluster.connect import Cluster
from project.support.checksums import checksum, damaged_files, report_damage, seal
from project.support.files import cache_folder, digest, new_folder
from project.support.models import ModelSource

_KEPT_SECONDS = 7 * 24 * 3600  # after their last use
_PART_BYTES = 2**28  # held in memory at a time
_OTHER_WEIGHTS = {".bin", ".h5", ".msgpack", ".onnx", ".ot", ".pt", ".pth", ".gguf"}


class Bundle(NamedTuple):
    """Files of one folder.

    Attributes
    ----------
    digest
        Identity of their names and contents.
    parts
        Name of a file and the reference of a part of its content, in order. In a list, so that Ray
        does not fetch them for a task on a node that has them.
    """

    digest: str
    parts: list[tuple[str, Any]]


def bundle(cluster: Cluster, paths: Iterable[Path]) -> Bundle:
    """Put files into the object store, part by part; their names must differ."""
    sums: list[list[str]] = []
    parts: list[tuple[str, Any]] = []
    for path in sorted(paths):
        for data in _parts(path):
            sums.append([path.name, checksum(data)])
            # As an array, which a node reads from shared memory without a copy.
            parts.append((path.name, cluster.ray.put(np.frombuffer(data, np.uint8))))
    return Bundle(digest(sums), parts)


def _parts(path: Path) -> Iterator[bytes]:
    """The content of a file in parts of bounded size; an empty file has one."""
    with path.open("rb") as file:
        yield file.read(_PART_BYTES)
        while data := file.read(_PART_BYTES):
            yield data


def model_files(source: ModelSource, *, fetch: bool = False) -> list[Path]:
    """The files of a model that are sent to nodes: those at the top, with its safetensors.

    ``fetch``: download what the hub's cache lacks.
    """
    folder = Path(source.location)
    if source.revision is not None:
        import huggingface_hub

        folder = Path(
            huggingface_hub.snapshot_download(
                source.location,
                revision=source.revision,
                local_files_only=not fetch,
                ignore_patterns=[f"*{suffix}" for suffix in _OTHER_WEIGHTS] if fetch else None,
            )
        )
    return [
        path for path in folder.iterdir() if path.is_file() and path.suffix not in _OTHER_WEIGHTS
    ]


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
        for name, reference in files.parts:
            with (temporary / name).open("ab") as file:
                file.write(ray.get(reference))
        seal(temporary)
        with contextlib.suppress(OSError):  # another process of this node was faster
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _forget_old(parent: Path) -> None:
    """Delete what nothing has used for a week."""
    for path in parent.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
