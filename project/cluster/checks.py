"""Checks of nodes: their versions, their code, and whether they see a folder of the driver."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from project.cluster.connect import Cluster, Node, connected
from project.support.errors import AssayError

_PACKAGES = ("numpy", "peft", "ray", "safetensors", "tokenizers", "torch", "transformers")
_CODE = "code of Assay"
_SHOWN = 3  # differences in an error


class Marker(NamedTuple):
    """A file by which a node recognises a folder of the driver, and the text in it."""

    path: str
    text: str


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that compute, and a hash of Assay's own code."""
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            # "2.13.0+cpu" and "2.13.0+cu130" are the same release for different machines.
            found[package] = importlib.metadata.version(package).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found[package] = "none"
    found[_CODE] = _code_hash()
    return found


@functools.cache
def _code_hash() -> str:
    """A hash of all Python files of the package ``project``."""
    root = Path(__file__).parents[1]
    sha = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        sha.update(path.relative_to(root).as_posix().encode())
        sha.update(hashlib.sha256(path.read_bytes()).digest())
    return sha.hexdigest()[:12]


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """What differs between two machines, such as ``torch 2.12.0 (here 2.13.0)``."""
    return [
        f"{name} {there.get(name, 'none')} (here {version})"
        for name, version in here.items()
        if there.get(name, "none") != version
    ]


def check_versions(cluster: Cluster) -> list[Node]:
    """The nodes; raises AssayError for one whose versions or code differ from those here."""
    here = versions()
    found = cluster.on_every_node(_versions_there, None)
    for node, there in found.items():
        if differing := differences(here, there):
            more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
            raise AssayError(
                f"cluster: node {node.name} has {', '.join(differing[:_SHOWN])}{more}. Results "
                "would depend on the node: install the same requirements.txt and "
                "requirements-ray.txt there as here."
            )
    return [*found]


@contextlib.contextmanager
def checked_cluster(cluster: str) -> Iterator[Cluster]:
    """A connection to a cluster all of whose nodes have the versions that are here.

    ``cluster``: the parameter of that name; not ``none``.
    """
    with connected(cluster) as connection:
        check_versions(connection)
        yield connection


def _versions_there(argument: None) -> dict[str, str]:
    del argument
    return versions()


@contextlib.contextmanager
def marked(folder: Path) -> Iterator[Marker]:
    """A marker in a folder of this machine, as long as the context lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    marker = Marker(str(folder.absolute() / f".cluster-{uuid.uuid4().hex}"), uuid.uuid4().hex)
    path = Path(marker.path)
    try:
        path.write_text(marker.text, encoding="utf-8")
        yield marker
    finally:
        for written in (path, *path.parent.glob(f"{path.name}.*")):
            written.unlink(missing_ok=True)


def sees(marker: Marker) -> bool:
    """Whether this process reads the marker's folder, and may write there."""
    path = Path(marker.path)
    try:
        is_same = path.read_text(encoding="utf-8") == marker.text
    except (OSError, UnicodeDecodeError):
        return False
    return is_same and os.access(path.parent, os.W_OK | os.X_OK)


def blind_nodes(cluster: Cluster, marker: Marker) -> list[Node]:
    """The nodes that cannot read what this process writes beside the marker, or the reverse."""
    answers = cluster.on_every_node(_write_back, marker)
    return [
        node
        for node, suffix in answers.items()
        if not suffix or not Path(f"{marker.path}.{suffix}").is_file()
    ]


def _write_back(marker: Marker) -> str:
    """Write a file beside the marker; returns what its name ends with, "" if that is impossible."""
    if not sees(marker):
        return ""
    suffix = uuid.uuid4().hex
    try:
        Path(f"{marker.path}.{suffix}").touch()
    except OSError:
        return ""
    return suffix
