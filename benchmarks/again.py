"""What a second run costs whose answers are all on disk already."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.machine import Report, Row, seconds_of
from benchmarks.readers import Settings
from project.annotation.annotate import annotate
from project.annotation.cost import Meter
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.annotation.prompt import build_prompts
from project.config.annotation import AnnotateConfig, SpendConfig
from project.config.prompt import PromptConfig
from project.config.task import TaskConfig
from project.data.task import load_task

MAX_SHARE = 0.01  # of the time of the first run
DRAWS = 2


def again(settings: Settings, model: str, report: Report) -> None:
    """The transformers engine over two draws of the bundled task, twice.

    The second run has a new engine, which shares nothing with the first but the folder.
    """
    del settings
    task = load_task(TaskConfig(max_train=500, max_test=100, max_validation=60))
    config = PromptConfig(label_style="name")
    demonstrations = task.split("demonstration")
    prompts = build_prompts(config, task.label_set, task.description, demonstrations, n_draws=DRAWS)
    train = task.split("train")

    def annotate_all(folder: str) -> None:
        draws = annotate(
            [TransformersAnnotator(AnnotateConfig(annotator_model=model))],
            prompts,
            train,
            task.label_set,
            config=AnnotateConfig(calibration="batch"),
            folder=Path(folder),
            progress=lambda _: None,
            meter=Meter(SpendConfig()),
        )
        list(draws)

    with tempfile.TemporaryDirectory() as folder:
        first = seconds_of(lambda: annotate_all(folder))
        second = seconds_of(lambda: annotate_all(folder))
    report.rows.append(
        Row(
            f"annotating {len(train)} texts in {len(prompts)} draws a second time",
            f"{second:.3g} s",
            f"{first:.3g} s the first time",
            f"{second / first:.2%}",
            target=f"<= {MAX_SHARE:.0%}",
            met=second <= MAX_SHARE * first,
        )
    )
    report.notes.append(
        "a second time: the engine is new and its model is never loaded. "
        "A process of its own takes seconds more, for its imports."
    )
