"""The files that the entry point ``init`` writes: a card, parameters, and a copy of the data."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from project.config.init import InitConfig
from project.data.inspection.card_text import card_text, run_text
from project.data.inspection.proposal import Proposal
from project.support.errors import AssayError
from project.support.files import write_atomically

_MARK = re.compile(r"# init wrote this from (.*): ([0-9a-f]{16})\n?")


class InitFiles(NamedTuple):
    """Paths of the card, of the parameters, and of the data that the card names."""

    card: Path
    run: Path
    data: Path


def write_files(proposal: Proposal, config: InitConfig) -> InitFiles:
    """Write the card, the parameters and the copy, if one is needed, such as beside the card.

    A file that ``init`` wrote from the same data, and that nobody changed since, is replaced.

    Raises
    ------
    AssayError
        If another file would be replaced; nothing is written then.
    """
    source = proposal.source.path
    folder = Path(config.folder).expanduser() if config.folder else source.parent
    # The card of a file run.csv has the name run.yaml itself.
    is_usual = not config.name and proposal.name != "run"
    run_name = "run.yaml" if is_usual else f"{_file_stem(proposal.name)}_run.yaml"
    card = folder / f"{_file_stem(proposal.name)}.yaml"
    # A suite reads the file beside the card; data=FILE is for one task.
    is_copied = proposal.has_several and folder.resolve() != source.parent.resolve()
    copy = source.read_bytes() if is_copied and proposal.copy is None else proposal.copy
    is_beside = copy is not None or folder.resolve() == source.parent.resolve()
    files = InitFiles(card, folder / run_name, folder / proposal.file_name if is_beside else source)
    data = "" if is_beside else shown_path(source)
    run = run_text(proposal, config, task=shown_path(card), data=data)
    contents: dict[Path, bytes] = {
        files.card: _marked(card_text(proposal), source),
        files.run: _marked(run, source),
    }
    if copy is not None:
        contents[files.data] = copy
    if not config.overwrite:
        _check_replaced(contents, source)
    for path, content in contents.items():
        write_atomically(path, content)
    return files


def _file_stem(name: str) -> str:
    """The name of a task as that of a file; AssayError for one that leads elsewhere."""
    if re.search(r"[/\\\0]", name) or name.startswith("."):
        raise AssayError(f"name must be a file's name without a folder; got {name!r}.")
    return name


def shown_path(path: Path) -> str:
    """A path as commands need it: from the current folder if it lies there, else from the root."""
    whole = path.expanduser().absolute()
    here = Path.cwd()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)


def _marked(text: str, source: Path) -> bytes:
    """The text with a last line by which it is known that nobody changed it."""
    return f"{text}# init wrote this from {source.name}: {_digest(text)}\n".encode()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_replaced(contents: Mapping[Path, bytes], source: Path) -> None:
    """Raise AssayError if a file exists that is not ours to replace."""
    foreign = [
        shown_path(path)
        for path, content in contents.items()
        if path.exists() and not _is_own(path, content, source)
    ]
    if foreign:
        verb = "exists" if len(foreign) == 1 else "exist"
        raise AssayError(
            f"{' and '.join(foreign)} {verb} already, with content that is not what init wrote "
            f"from {source.name}. Nothing is written. Set name=OTHER for files of other names, or "
            "overwrite=true to replace what is there."
        )


def _is_own(path: Path, content: bytes, source: Path) -> bool:
    """Whether a file has this content already, or init wrote it and nobody changed it."""
    try:
        before = path.read_bytes()
        if before == content:
            return True
        text = before.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    body, _, last = text.rstrip("\n").rpartition("\n")
    mark = _MARK.fullmatch(last)
    return mark is not None and mark.groups() == (source.name, _digest(f"{body}\n"))
