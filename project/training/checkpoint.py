"""The file from which a killed training continues: tensors and JSON, nothing that runs code."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from project.support.checksums import report_damage
from project.support.errors import AssayError
from project.training.history import Evaluation

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state of one parameter
Tensors = Mapping[str, torch.Tensor]


class HasState(Protocol):
    """Something whose state is ready for JSON."""

    state: Any


@dataclass
class TrainingState:
    """Everything that changes while a model is trained.

    Attributes
    ----------
    parameters
        The trainable parameters by name.
    optimizer
        AdamW of these; a new one for each phase.
    scaler
        Loss scaling of fp16.
    order
        Order of the training texts.
    """

    parameters: Mapping[str, torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    order: HasState


class Checkpoint:
    """The file of one training: its last saved evaluation, and the weights of the best one."""

    def __init__(self, path: Path, digest: str, seconds: float) -> None:
        """Describe the file; nothing is read or written yet.

        Parameters
        ----------
        path
            The file.
        digest
            Identity of the training; a file with another one is refused.
        seconds
            An evaluation is saved only if the last save is at least this old.
        """
        self._path = path
        self._digest = digest
        self._seconds = seconds
        self._began = time.monotonic()
        self._saved = self._began
        self._best: dict[str, torch.Tensor] = {}
        self.spent = 0.0
        """Seconds of training before this process continued it."""

    def restore(self, state: TrainingState) -> list[Evaluation]:
        """Set ``state`` to the saved evaluation; returns the history.

        The history is empty where nothing is saved or the file is damaged.

        Raises
        ------
        AssayError
            If the file is of another training.
        """
        try:
            with safe_open(self._path, framework="pt") as file:
                metadata = file.metadata() or {}
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
        except FileNotFoundError:
            return []
        except SafetensorError:
            tensors, metadata = {}, {}
        if metadata.get("checksum") != _checksum(tensors, metadata.get("facts", "")):
            folder, name = self._path.parent, self._path.name
            report_damage(folder, [name], "This training begins anew.")
            return []
        if metadata.get("digest") != self._digest:
            raise AssayError(
                f"the checkpoint {self._path} is of another configuration "
                f"({metadata.get('digest')}; this one is {self._digest}). Move it away and run "
                "again."
            )
        facts = json.loads(metadata["facts"])
        with torch.no_grad():
            for name, value in state.parameters.items():
                value.copy_(tensors[f"weights.{name}"])
                if f"step.{name}" in tensors:
                    state.optimizer.state[value] = {
                        key: tensors[f"{key}.{name}"].to(value.device) for key in _MOMENTS
                    }
        # Best weights that equal the last ones were not saved twice.
        self._best = {
            name: tensors.get(f"best.{name}", tensors[f"weights.{name}"])
            for name in state.parameters
        }
        self.spent = float(facts.get("seconds", 0.0))
        state.scaler.load_state_dict(facts["scaler"])
        state.order.state = facts["order"]
        torch.set_rng_state(tensors["random"])
        if "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])
        return [Evaluation.from_json(values) for values in facts["history"]]

    def best_weights(self, parameters: Iterable[str]) -> dict[str, torch.Tensor]:
        """The best weights of ``parameters`` that :meth:`restore` read; empty where none were."""
        return {name: self._best[name] for name in parameters if name in self._best}

    def save(self, state: TrainingState, history: Sequence[Evaluation], best: Tensors) -> None:
        """Save the state at an evaluation, unless the last save is recent.

        Parameters
        ----------
        state
            State of the training at the evaluation.
        history
            All evaluations so far.
        best
            Weights of the best evaluation by name, on any device.
        """
        if time.monotonic() - self._saved < self._seconds:
            return
        tensors = {f"weights.{name}": value.detach() for name, value in state.parameters.items()}
        for name, value in state.parameters.items():
            moments = state.optimizer.state.get(value)
            if moments:  # else the parameter never had a gradient
                tensors |= {f"{key}.{name}": moments[key] for key in _MOMENTS}
        # Best weights that equal the current ones are not written twice.
        tensors |= {
            f"best.{name}": value
            for name, value in best.items()
            if not torch.equal(value, state.parameters[name].detach().to(value.device))
        }
        tensors["random"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        facts = {
            "history": [evaluation.as_json() for evaluation in history],
            "scaler": state.scaler.state_dict(),
            "order": state.order.state,
            "seconds": self.spent + time.monotonic() - self._began,
        }
        on_cpu = {name: value.cpu().contiguous() for name, value in tensors.items()}
        self._write(on_cpu, json.dumps(facts))
        self._saved = time.monotonic()

    def _write(self, tensors: dict[str, torch.Tensor], facts: str) -> None:
        """Replace the file; for a moment the old and the new one are both on disk."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f"{self._path.stem}-{uuid.uuid4().hex}.tmp")
        try:
            checksum = _checksum(tensors, facts)
            metadata = {"digest": self._digest, "facts": facts, "checksum": checksum}
            save_file(tensors, temporary, metadata)
            # The file is missing where another process has ended the same training meanwhile.
            with contextlib.suppress(FileNotFoundError):
                temporary.replace(self._path)
        except (SafetensorError, OSError) as error:
            raise AssayError(
                f"the checkpoint could not be written ({error}). Free space in the workspace and "
                "run again; finished seeds are kept."
            ) from error
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the file, and those that a killed process left half written."""
        for path in (self._path, *self._path.parent.glob(f"{self._path.stem}-*.tmp")):
            path.unlink(missing_ok=True)


def _checksum(tensors: Mapping[str, torch.Tensor], facts: str) -> str:
    """Checksum of all tensors and facts of a checkpoint."""
    value = zlib.crc32(facts.encode())
    for name in sorted(tensors):
        value = zlib.crc32(name.encode(), value)
        value = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, value)
    return f"{value:08x}"
