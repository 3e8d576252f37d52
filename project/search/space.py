"""The search space of a sweep: the parts of a setting, their values, and what a trial measures."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from project.config.arms import Arm
from project.config.labels import LabelConfig
from project.labels.sources import arms


@dataclass(frozen=True)
class Setting:
    """What one trial tries: a label source with its parameters, and the annotator's prompt."""

    source: str
    replace_share: float
    ensemble_size: int
    n_demonstrations: int
    calibration: str

    def arm(self, config: LabelConfig) -> Arm:
        """The arm, with the parameters that its kind uses.

        Raises AssayError where the arm is not possible, such as an ensemble of one draw.
        """
        (arm,) = arms(
            dataclasses.replace(config, arms=(self.source,), replace_share=(self.replace_share,)),
            self.ensemble_size,
        )
        return arm

    def name(self, config: LabelConfig) -> str:
        """A name that is the same for settings which differ only in what their source ignores."""
        arm = self.arm(config)
        prompt = (self.n_demonstrations, self.calibration) if arm.draws else None
        return f"{arm.kind} {arm.replace_share} {arm.ensemble_size} {prompt}"


class Values(NamedTuple):
    """What a trial measures.

    Macro-F1 on validation, in [0, 1]; human labels for each training text; requests to the LLM;
    and the cost in the unit of the prices.
    """

    macro_f1: float
    human_share: float
    llm_calls: float
    cost: float


@dataclass(frozen=True)
class Space:
    """The values of every part of a setting; a part with one value is fixed.

    A grid has these values alone. Other samplers try all numbers between the smallest and the
    largest.
    """

    source: tuple[str, ...]
    replace_share: tuple[float, ...]
    ensemble_size: tuple[int, ...]
    n_demonstrations: tuple[int, ...]
    calibration: tuple[str, ...]

    def varied(self) -> dict[str, tuple[Any, ...]]:
        """The parts with several values."""
        parts = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {name: values for name, values in parts.items() if len(values) > 1}

    def grid(self) -> list[dict[str, Any]]:
        """Every combination of the parts that vary."""
        varied = self.varied()
        return [
            dict(zip(varied, values, strict=True)) for values in itertools.product(*varied.values())
        ]

    def setting(self, params: Mapping[str, Any]) -> Setting:
        """The setting with ``params`` for the parts that vary."""
        parts = {
            item.name: params.get(item.name, getattr(self, item.name)[0])
            for item in dataclasses.fields(self)
        }
        return Setting(**parts)
