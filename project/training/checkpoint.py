"""Where a training goes on after it was killed: one file with all that the next epoch depends on. Tensors and JSON, nothing that runs code."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from project.support.errors import AssayError

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state of one parameter
Weights = Mapping[str, torch.Tensor]


class Checkpoint:
    """The file of one training. It holds the last epoch's end and the best epoch's weights; for a moment it stands beside its successor."""

    def __init__(self, path: Path, digest: str, seconds: float) -> None:
        """``digest``: the training's identity; ``seconds``: an epoch's end is kept only when the last one kept is at least that old."""
        self._path, self._digest, self._seconds, self._kept = (
            path,
            digest,
            seconds,
            time.monotonic(),
        )
        self._best: dict[str, torch.Tensor] = {}
        self._began, self.spent = self._kept, 0.0  # seconds, before this process took over

    def restore(
        self,
        learning: Weights,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        order: np.random.Generator,
    ) -> list[Any]:
        """Put everything back as it was at the end of the epoch that was kept; its history, empty where nothing was kept.

        ``learning``: the parameters that training changes, by name. A file that is no whole checkpoint counts as nothing.
        """
        try:
            with safe_open(self._path, framework="pt") as file:
                metadata = file.metadata() or {}
                state = {name: file.get_tensor(name) for name in file.keys()}
        except (FileNotFoundError, SafetensorError):
            return []
        if metadata.get("digest") != self._digest:
            raise AssayError(
                f"the checkpoint {self._path} is of another configuration ({metadata.get('digest')}; this one is {self._digest}). "
                "Move it away and run again."
            )
        facts = json.loads(metadata["facts"])
        with torch.no_grad():
            for name, value in learning.items():
                value.copy_(state[f"weights.{name}"])
                if f"step.{name}" in state:
                    optimizer.state[value] = {
                        key: state[f"{key}.{name}"].to(value.device) for key in _MOMENTS
                    }
        self._best = {
            name: state.get(f"best.{name}", state[f"weights.{name}"]) for name in learning
        }
        self.spent = float(facts.get("seconds", 0.0))
        scaler.load_state_dict(facts["scaler"])
        order.bit_generator.state = facts["order"]
        torch.set_rng_state(state["random"])
        if "random.cuda" in state:
            torch.cuda.set_rng_state(state["random.cuda"])
        return list(facts["history"])

    def best(self, learning: Weights) -> dict[str, torch.Tensor]:
        """The best epoch's weights that :meth:`restore` found; empty where it found nothing."""
        return {name: self._best[name] for name in learning if name in self._best}

    def keep(
        self,
        learning: Weights,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        order: np.random.Generator,
        history: Sequence[Any],
        best: Weights,
    ) -> None:
        """Keep an epoch's end, unless the last one kept is recent. ``history``: dataclasses, the best epoch's weights are ``best``."""
        if time.monotonic() - self._kept < self._seconds:
            return
        state = {f"weights.{name}": value.detach() for name, value in learning.items()}
        moved = {
            name: optimizer.state[value]
            for name, value in learning.items()
            if optimizer.state.get(value)
        }  # the others never had a gradient
        state |= {
            f"{key}.{name}": moments[key] for name, moments in moved.items() for key in _MOMENTS
        }
        state |= {
            f"best.{name}": value
            for name, value in best.items()
            if not torch.equal(value, learning[name].detach().cpu())
        }
        state["random"] = torch.get_rng_state()
        if torch.cuda.is_available():
            state["random.cuda"] = torch.cuda.get_rng_state()
        facts = {
            "history": [dataclasses.asdict(one) for one in history],
            "scaler": scaler.state_dict(),
            "order": order.bit_generator.state,
            "seconds": self.spent + time.monotonic() - self._began,
        }
        self._write(
            {name: value.cpu().contiguous() for name, value in state.items()}, json.dumps(facts)
        )
        self._kept = time.monotonic()

    def _write(self, state: dict[str, torch.Tensor], facts: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f"{self._path.stem}-{uuid.uuid4().hex}.tmp")
        try:
            save_file(state, temporary, {"digest": self._digest, "facts": facts})
            with contextlib.suppress(
                FileNotFoundError
            ):  # another process has ended the same training meanwhile
                temporary.replace(self._path)
        except (SafetensorError, OSError) as error:
            raise AssayError(
                f"the checkpoint could not be written ({error}). Free space in the workspace and run again; finished seeds are kept."
            ) from error
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self) -> None:
        """The training has ended: nothing is left to go on with."""
        for path in (
            self._path,
            *self._path.parent.glob(f"{self._path.stem}-*.tmp"),
        ):  # one may be left of a process that was killed
            path.unlink(missing_ok=True)
