"""What is printed of trainings beside their progress: steps, and those that have not learned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from entrypoints.wiring.conditions import Condition
from project.config.finetune import FinetuneConfig
from project.config.recipe import FEW_STEPS, MIN_STEPS, Schedule
from project.training.history import Evaluation, Report
from project.training.results import Job

_MAX_RECIPES = 8  # lines


def recipe_lines(jobs: Sequence[Job]) -> list[str]:
    """Which recipe the jobs have and what it comes to: a line for each number of steps and rate."""
    arms: dict[str, dict[str, None]] = {}
    for job in jobs:
        if job.schedules:
            arms.setdefault(_recipe_text(job.config, job.schedules), {})[job.arm] = None
    if len(arms) <= _MAX_RECIPES:
        return [f"{text}: {', '.join(names)}." for text, names in arms.items()]
    steps = [job.n_steps for job in jobs if job.schedules]
    return [f"{len(arms)} recipes and sizes, of {min(steps)} to {max(steps)} steps each."]


def _recipe_text(config: FinetuneConfig, schedules: Sequence[Schedule]) -> str:
    phases = " + ".join(
        f"{one.n_steps} steps ({one.epochs} epochs of {one.steps_per_epoch})" for one in schedules
    )
    return f"recipe {config.recipe}, learning rate {config.learning_rate:g}, {phases}"


def few_steps_notes(jobs: Iterable[Job]) -> list[str]:
    """A note on the arms with so few steps that their training has hardly begun."""
    arms: dict[int, dict[str, None]] = {}
    for job in jobs:
        if 0 < job.n_steps < FEW_STEPS:
            arms.setdefault(job.n_steps, {})[job.arm] = None
    return [
        f"note: so few steps, {n}, that a training has hardly begun: {', '.join(names)}. With "
        f"fewer than {FEW_STEPS} the scores say little of the labels. Leave epochs and recipe out, "
        f"or set min_steps={MIN_STEPS}."
        for n, names in arms.items()
    ]


def missing_label_notes(conditions: Iterable[Condition]) -> list[str]:
    """What is said of arms that chose at random, or leave examples without a label out."""
    notes = []
    for condition in conditions:
        if condition.chance:
            notes.append(f"{condition.name} chose at random: {condition.chance}.")
        if condition.note:
            notes.append(f"{condition.name}: {condition.note}.")
        n_missing = len(condition.examples) - len(condition.labels)
        if n_missing:
            notes.append(
                f"{condition.name} leaves out {n_missing} of {len(condition.examples)} "
                "training examples that have no label."
            )
    return notes


def absent_classes_note(listed: str, *, is_weighted: bool) -> str:
    """What is said of arms and their classes without a training label.

    ``is_weighted``: whether classes are weighted by their frequency.
    """
    weight = ", and class_weights=balanced gives them no weight" if is_weighted else ""
    return (
        f"classes without any training label ({listed}) cannot be learned{weight}. Macro-F1 "
        "counts them all the same where they have test examples."
    )


def not_learned_note(title: str, n: int, n_seeds: int) -> str:
    """What is said of an arm of whose seeds ``n`` have not learned."""
    return (
        f"note: {n} of {n_seeds} seeds of {title} have not learned: the training loss is that of "
        "always answering the label shares, or one class is predicted for every text. Such scores "
        "say nothing of the labels. Raise min_steps or learning_rate, or check the labels."
    )


def progress_line(job: Job, told: Report) -> str:
    """One seed's progress, and how long its training will take at this pace."""
    texts_left = 0.0
    steps_before = 0
    for phase, one in zip(job.inputs.phases, job.schedules, strict=True):
        done = min(max(told.step - steps_before, 0), one.n_steps)
        texts_left += (one.n_steps - done) * len(phase.indices) / one.steps_per_epoch
        steps_before += one.n_steps
    seconds_left = texts_left / told.texts_per_second
    remaining = f", {seconds_left:.0f} s left" if texts_left else ""
    scores = ""
    if isinstance(told, Evaluation):
        scores = (
            f", loss {told.training_loss:.3f}, validation macro-F1 {told.validation_macro_f1:.3f}"
        )
    return (
        f"{job.arm} seed {job.seed:02d}: step {told.step} of {job.n_steps}{scores}, "
        f"{told.texts_per_second:.0f} texts/s{remaining}"
    )
