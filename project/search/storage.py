"""Where a study of Optuna is kept: a journal file or a database, whose address may hold a password and is shown to nobody."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import optuna
from sqlalchemy.exc import SQLAlchemyError

from project.config.entry_points import SweepConfig
from project.support.errors import AssayError, Incomplete
from project.support.redact import short_message

STORAGE = "ASSAY_SWEEP_STORAGE"
"""Environment variable that may hold the storage's address, password included."""


def open_storage(config: SweepConfig, workspace: Path, name: str) -> optuna.storages.BaseStorage:
    """The storage of the study ``name``: what the environment names, else what ``config`` does, else a journal below ``workspace``."""
    where = os.environ.get(STORAGE) or config.sweep_storage
    if "://" in where:
        return optuna.storages.RDBStorage(where)
    path = (
        Path(where).expanduser()
        if where
        else workspace / "sweeps" / f"{name.replace('/', '-')}.journal"
    )  # a task's name may hold anything
    path.parent.mkdir(parents=True, exist_ok=True)
    from optuna.storages.journal import JournalFileBackend

    return optuna.storages.JournalStorage(JournalFileBackend(str(path)))


@contextlib.contextmanager
def storage_errors(name: str, *, opening: bool = False) -> Iterator[None]:
    """Say in one line what is wrong with the storage; while it is opened any trouble with files and packages is its."""
    known = (
        optuna.exceptions.StorageInternalError,
        SQLAlchemyError,
        *((ImportError, OSError) if opening else ()),
    )
    try:
        yield
    except known as error:
        reason = _without_addresses(short_message(error.__cause__ or error, 200))
        raise Incomplete(
            f"the storage of the study {name} cannot be used: {reason} Mend it, or name another one."
        ) from error


def _without_addresses(text: str) -> str:
    """``text`` without addresses and users in it: a driver writes a password in many ways."""
    hidden = " ".join("..." if "://" in word or "@" in word else word for word in text.split(" "))
    return re.sub(r"(?i)(password|passwd|pwd|token|user)=[^\s&]+", r"\1=...", hidden)


def refuse_password(address: str) -> None:
    """An address with a user's password would stand in the tracking store."""
    if "://" in address and any(mark in address for mark in "@?#"):
        raise AssayError(
            f"sweep_storage must hold no user name, no password and no query: it is written into the tracking store. Put the address into the "
            f"environment variable {STORAGE} instead."
        )
