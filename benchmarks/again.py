"""What a run costs whose answers are all there already."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.engines import Settings
from benchmarks.machine import Report, Row, wall
from project.annotation.annotate import annotate
from project.annotation.cost import Meter
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.annotation.prompt import build_prompts
from project.config.experiment import AnnotateConfig, PromptConfig, SpendConfig, TaskConfig
from project.data.task import load_task

MOST = 0.01


def again(settings: Settings, folder: str, report: Report) -> None:
    """The transformers engine over two draws of the embedded task, and once more with an engine that knows nothing of the first."""
    del settings
    task = load_task(TaskConfig(max_train=500, max_test=100, max_validation=60))
    prompts = build_prompts(
        PromptConfig(label_style="name"),
        task.label_set,
        task.description,
        task.split("demonstration"),
        2,
    )
    train = task.split("train")

    def run(place: str) -> float:
        def work() -> None:
            engine = TransformersAnnotator(AnnotateConfig(annotator_model=folder))
            config, meter = AnnotateConfig(calibration="batch"), Meter(SpendConfig())
            list(
                annotate(
                    [engine],
                    prompts,
                    train,
                    task.label_set,
                    config=config,
                    folder=Path(place),
                    progress=lambda _: None,
                    meter=meter,
                )
            )

        return wall(work)

    with tempfile.TemporaryDirectory() as place:
        first, second = run(place), run(place)
    measure = f"annotating {len(train)} texts in {len(prompts)} draws a second time"
    report.rows.append(
        Row(
            measure,
            f"{second:.3g} s",
            f"{first:.3g} s the first time",
            f"{second / first:.2%}",
            f"<= {MOST:.0%}",
            second <= MOST * first,
        )
    )
    report.notes.append(
        "a second time: the engine is made anew and never loaded. A process of its own takes seconds more, to import what it needs."
    )
