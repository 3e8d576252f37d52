"""The storage of a study of Optuna: a journal file, or a database whose address is never shown."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from project.config.designs import SweepConfig
from project.search.heartbeat import HEARTBEAT_SECONDS
from project.support.errors import AssayError, Incomplete
from project.support.process import SILENCE_SECONDS
from project.support.redact import short_message

STORAGE = "ASSAY_SWEEP_STORAGE"
"""Environment variable with the storage's address, which may hold a password."""

_INSTALL = "    after: pip install optuna-dashboard"


def open_storage(
    config: SweepConfig, workspace: Path, name: str, stale: list[FrozenTrial] | None = None
) -> optuna.storages.BaseStorage:
    """The storage of a study.

    Parameters
    ----------
    config
        ``sweep_storage`` names a journal file or a database; the environment variable
        ``ASSAY_SWEEP_STORAGE`` comes first. Without both it is a journal below the workspace.
    workspace
        Folder of the journal, if the storage is one there.
    name
        Name of the study.
    stale
        Trials that ``optuna.storages.fail_stale_trials`` ends in a database are appended to it.
    """
    address = os.environ.get(STORAGE) or config.sweep_storage
    if "://" in address:
        ended = [] if stale is None else stale
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # heartbeats are experimental to Optuna
            return optuna.storages.RDBStorage(
                address,
                heartbeat_interval=int(HEARTBEAT_SECONDS),
                grace_period=int(SILENCE_SECONDS),
                heartbeat_stale_trial_callback=lambda study, trial: ended.append(trial),
            )
    from optuna.storages.journal import JournalFileBackend

    path = Path(address).expanduser() if address else _journal(workspace, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return optuna.storages.JournalStorage(JournalFileBackend(str(path)))


def dashboard_command(config: SweepConfig, workspace: Path, name: str) -> str:
    """The command that shows a study in ``optuna-dashboard``, and how to install that.

    Parameters
    ----------
    config, workspace, name
        See :func:`open_storage`. An address in the environment, which may hold a password, is
        named by its variable.
    """
    if os.environ.get(STORAGE):
        return f'optuna-dashboard "${STORAGE}"{_INSTALL}'
    address = config.sweep_storage
    if "://" not in address:
        path = Path(address).expanduser() if address else _journal(workspace, name)
        address = str(path.absolute())
    return f"optuna-dashboard {shlex.quote(address)}{_INSTALL}"


def _journal(workspace: Path, name: str) -> Path:
    """The journal file of a study below the workspace; a task's name may hold slashes."""
    return workspace / "sweeps" / f"{name.replace('/', '-')}.journal"


@contextlib.contextmanager
def storage_errors(name: str, *, opening: bool = False) -> Iterator[None]:
    """Turn errors of the storage into one line.

    While a storage is opened, every error of files and packages counts as one of the storage.
    """
    kinds: tuple[type[Exception], ...] = (optuna.exceptions.StorageInternalError, SQLAlchemyError)
    if opening:
        # A driver that is not installed, and a journal that cannot be written.
        kinds += (ImportError, OSError)
    try:
        yield
    except kinds as error:
        reason = _without_addresses(short_message(error.__cause__ or error, 200))
        raise Incomplete(
            f"the storage of the study {name} cannot be used: {reason} Repair it, or set "
            "sweep_storage to another one."
        ) from error


def _without_addresses(text: str) -> str:
    """``text`` without addresses and users: a driver's message may hold the password."""
    words = text.split(" ")
    for index, word in enumerate(words):
        if "://" in word or "@" in word:
            words[index] = "..."
    return re.sub(r"(?i)(password|passwd|pwd|token|user)=[^\s&]+", r"\1=...", " ".join(words))


def refuse_password(address: str) -> None:
    """Refuse an address with a user or a password, which would be in the tracking store."""
    if "://" in address and any(mark in address for mark in "@?#"):
        raise AssayError(
            "sweep_storage must hold no user name, no password and no query: it is written into "
            f"the tracking store. Put the address into the environment variable {STORAGE} instead."
        )
