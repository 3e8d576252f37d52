"""What the files of a spool hold: the root run, and entries to log for it.

Spools outlive the version of Assay that wrote them, so the keys in the files never change; the
attributes have clearer names than some of the keys.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from project.support.errors import AssayError
from project.support.files import write_atomically

ENTRY_FILE = "entry.json"
# The keys in the files of those attributes that have another name.
_STORED_KEYS = {
    "created_ms": "made",
    "classifier_run": "of",
    "classifier": "model",
    "end_status": "end",
    "report_due": "report",
}


def milliseconds() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


class _Stored(BaseModel):
    """A JSON file in a spool."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        alias_generator=lambda name: _STORED_KEYS.get(name, name),
    )

    @classmethod
    def load(cls, path: Path) -> Self:
        """What a file holds; AssayError for a file that is damaged."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise AssayError(f"{path} cannot be read: it is not JSON") from error
        if not isinstance(values, dict):
            raise AssayError(f"{path} cannot be read: it is not a JSON object")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise AssayError(f"{path} cannot be read: {key}: {first['msg']}") from error


class RootRun(_Stored):
    """A root run.

    ``store`` is the address of its store without user and password; ``user`` is the owner's name.
    """

    run_id: str
    experiment_id: str
    kind: str
    store: str
    user: str = ""

    def save(self, path: Path) -> None:
        """Write the root run to its file, in one step."""
        write_atomically(path, json.dumps(self.model_dump(), indent=1).encode())


class ChildRun(NamedTuple):
    """Name of a run below the root run, and the status that it ends with."""

    name: str
    status: str


class MetricValue(NamedTuple):
    """One value of a metric, at a step and a time (ms since 1970)."""

    name: str
    value: float
    time_ms: int
    step: int


class DataInput(NamedTuple):
    """Data that a run used: its name, the hash of its content, and what it was used for."""

    name: str
    sha256: str
    context: str


class Entry(_Stored):
    """Something to log, complete, so that sending it twice has the same effect as sending it once.

    Attributes
    ----------
    created_ms
        When it was made, in ms since 1970.
    entry_id
        Finds the child run that the entry has become, after a try whose answer was lost.
    child
        The run below the root run that the entry becomes; None if it belongs to the root run.
    seconds
        How long the child's work took.
    params, tags, metrics, inputs
        What is logged; the values are texts without secrets.
    classifier_run
        Id of the child whose classifier the files are, maybe a placeholder (``UNSENT``).
    classifier
        Keyword arguments of :func:`project.tracking.model.log_classifier` beside the folder.
    end_status
        The status that the root run ends with; empty for an entry that does not end it.
    report_due
        The report must be made from the store before the root run ends.
    """

    created_ms: int = Field(default_factory=milliseconds)
    entry_id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    child: ChildRun | None = None
    seconds: float = 0.0
    params: Mapping[str, str] = {}
    tags: Mapping[str, str] = {}
    metrics: Sequence[MetricValue] = ()
    inputs: Sequence[DataInput] = ()
    classifier_run: str = ""
    classifier: Mapping[str, Any] | None = None
    end_status: str = ""
    report_due: bool = False

    def to_json(self) -> str:
        """The text of the entry's file."""
        # Not model_dump_json: it would write a metric that is not a number as null.
        return json.dumps(self.model_dump(by_alias=True), ensure_ascii=False)

    @classmethod
    def of_folder(cls, folder: Path) -> Entry:
        """The entry in a folder of the spool."""
        return cls.load(folder / ENTRY_FILE)
