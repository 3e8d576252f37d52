"""What a study searches: the parts of a setting, their values, and what a trial is judged by."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from project.config.arms import Arm
from project.config.experiment import LabelConfig
from project.labels.sources import arms


@dataclass(frozen=True)
class Setting:
    """What one trial tries: a label source with all that could be told of it, and the prompt that the annotator gets."""

    source: str
    replace_share: float
    ensemble_size: int
    n_demonstrations: int
    calibration: str

    def arm(self, config: LabelConfig) -> Arm:
        """The arm, with those of the parameters that its kind looks at; refuses what cannot be."""
        (arm,) = arms(
            dataclasses.replace(config, arms=(self.source,), replace_share=(self.replace_share,)),
            self.ensemble_size,
        )
        return arm

    def name(self, config: LabelConfig) -> str:
        """The same for settings that differ in nothing their source looks at."""
        arm = self.arm(config)
        asked = (self.n_demonstrations, self.calibration) if arm.draws else None
        return f"{arm.kind} {arm.replace_share} {arm.ensemble_size} {asked}"


class Values(NamedTuple):
    """What a trial is judged by: macro-F1 on validation in [0, 1], human labels for each training text, LLM calls, money."""

    macro_f1: float
    human_share: float
    llm_calls: float
    cost: float


@dataclass(frozen=True)
class Space:
    """The values of every part of a setting; a part with one value is fixed.

    Numbers lie anywhere between the least and the greatest value, but in the grid, which has these values alone.
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
        """Every combination of what varies."""
        return [
            dict(zip(self.varied(), one, strict=True))
            for one in itertools.product(*self.varied().values())
        ]

    def setting(self, params: Mapping[str, Any]) -> Setting:
        """The setting with ``params`` for what varies."""
        parts = {
            item.name: params.get(item.name, getattr(self, item.name)[0])
            for item in dataclasses.fields(self)
        }
        return Setting(**parts)
