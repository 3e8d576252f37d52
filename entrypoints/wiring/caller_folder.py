"""The folder from which ``mlflow run`` was called, where it runs a temporary clone of a git URI.

MLflow clones a git URI into a folder of its own below the temporary one and starts the entry point
there. Relative paths would then mean files of the clone, and results would lie where nobody looks
for them. Linux tells the working folder of every process, that of ``mlflow run`` too.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from entrypoints.wiring.repository import ROOT
from entrypoints.wiring.terminal import print_line

_MOST_ANCESTORS = 10
_RUN_ID = "MLFLOW_RUN_ID"
_MADE_BY_MKDTEMP = re.compile(rf"{re.escape(tempfile.gettempprefix())}[a-z0-9_]{{8}}")
"""The name of a folder that Python's ``mkdtemp`` makes: ``mktemp`` of a shell names them
otherwise, and what lies there is a checkout that somebody made."""


def enter_caller_folder(root: Path = ROOT) -> bool:
    """Work in the caller's folder if ``root`` is a temporary clone of ``mlflow run``, and say so.

    Returns whether that is so. Whoever calls ``mlflow run`` inside of ``root`` stays there.
    """
    if _RUN_ID not in os.environ or not is_temporary_clone(root):
        return False
    folder = _folder_of_mlflow_run()
    if folder.is_relative_to(root.resolve()):
        return False
    # Processes that are started from here must find the code all the same.
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    os.chdir(folder)
    print_line(
        f"note: mlflow run works in a temporary clone. Relative paths are read from {folder}."
    )
    return True


def is_temporary_clone(root: Path) -> bool:
    """Whether ``root`` is in a folder that Python made for a moment, as MLflow's clones are."""
    temporary = Path(tempfile.gettempdir()).resolve()
    resolved = root.resolve()
    return any(
        folder.parent == temporary and _MADE_BY_MKDTEMP.fullmatch(folder.name)
        for folder in (resolved, *resolved.parents)
    )


def _folder_of_mlflow_run() -> Path:
    """The working folder of ``mlflow run``; the home folder where that cannot be told.

    MLflow puts the run's id into the environment of what it starts. So the nearest ancestor that
    was started without one is ``mlflow run``.
    """
    process = os.getpid()
    for _ in range(_MOST_ANCESTORS):
        try:
            # The fields behind the command's name, which may hold spaces and brackets.
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            process = int(fields[1])
            started_with = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
            if any(entry.startswith(f"{_RUN_ID}=".encode()) for entry in started_with):
                continue
            return Path(f"/proc/{process}/cwd").readlink()
        except (OSError, ValueError, IndexError):
            break
    return Path.home()


def about_relative_paths(message: str, arguments: Sequence[str]) -> str:
    """Where relative paths are read from, if ``message`` names one that does not exist."""
    for word in arguments:
        value = word.partition("=")[2] if word.startswith("--") else word
        # A suffix of digits is the end of a number.
        looks_like_path = "/" in value or Path(value).suffix.strip(".0123456789")
        if not value or value not in message or not looks_like_path or "://" in value:
            continue
        path = Path(value)
        if not path.is_absolute() and not value.startswith("~") and not path.exists():
            return f" Relative paths are read from {Path.cwd()}."
    return ""
