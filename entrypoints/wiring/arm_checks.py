"""Arms that cannot get what they need are refused before the annotator is asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from entrypoints.wiring.terminal import print_line
from project.annotation.engines.base import Annotator
from project.config.arms import Arm
from project.config.experiment import ExperimentConfig
from project.config.finetune import LINEAR, FinetuneConfig
from project.config.labels import LabelConfig
from project.data.task import Task
from project.labels.audited import audit_share_note, check_audit
from project.labels.shares import share_size
from project.support.errors import AssayError

_NEEDED = {
    "probabilities": "class probabilities",
    "label_mass": "the LLM's label mass",
    "repeats": "repeated answers",
}


def check_human_labels(arms: Sequence[Arm], task: Task, *, has_answers: bool) -> None:
    """Raise AssayError for arms that need human labels of training texts that have none.

    ``has_answers``: a file holds human labels.
    """
    n_unlabelled = task.counts.get("unlabelled", 0)
    without_labels = [
        arm.name
        for arm in arms
        if arm.facts.ranks_by_gold or (not has_answers and arm.facts.needs_human_labels)
    ]
    if without_labels and n_unlabelled:
        raise AssayError(
            f"{', '.join(without_labels)} need human labels of training texts; {n_unlabelled} of "
            "these have no gold label. Have some labelled (entry point ask) and set human=FILE, "
            "or compare arms that need none, such as arms=llm."
        )


def check_audits(arms: Sequence[Arm], texts: Mapping[str, int], config: ExperimentConfig) -> None:
    """Raise AssayError for an arm whose budget is too small for its audit.

    ``texts``: number of texts by split.
    """
    for arm in arms:
        check_audit(arm, texts["train"], config=config.label)
        if config.finetune.validation_labels == "arm":
            check_audit(arm, texts["validation"], "validation", config.label)


def print_audit_notes(arms: Sequence[Arm], n: int, config: LabelConfig) -> None:
    """Print which arms will spend half of their budget among ``n`` texts, or more, on the audit."""
    for arm in arms:
        if arm.facts.selects == "audit" and arm.replace_share is not None:
            note = audit_share_note(share_size(arm.replace_share, n), config)
            if note:
                print_line(f"note: {arm.name} will choose at random: {note}.")


def check_training(arms: Sequence[Arm], finetune: FinetuneConfig) -> None:
    """Raise AssayError for an arm that the classifier or the recipe cannot be trained with."""
    if any(arm.facts.latent for arm in arms):
        from project.training.targets import check_latent

        check_latent(finetune)
    if any(arm.facts.remade == "coteach" for arm in arms):
        from project.training.coteach import check_pair

        check_pair(finetune)
    in_phases = [arm.name for arm in arms if arm.facts.two_phases]
    if in_phases and finetune.encoder == LINEAR:
        raise AssayError(
            f"{', '.join(in_phases)} train in two phases, which a logistic regression "
            "(encoder=linear) has not. Leave them out of arms, or name an encoder."
        )


def check_zones(arms: Sequence[Arm], task: Task, config: LabelConfig) -> None:
    """Raise AssayError for an arm of zones without an experiment that has some, or the reverse."""
    reading = [arm.name for arm in arms if arm.facts.reads_zones]
    if bool(reading) != bool(config.zones):
        raise AssayError(
            f"{', '.join(reading)} needs zones=RUN, an experiment with confirmed zones (python -m "
            "analysis.questions.zones). Set zones, or leave the arm out of arms."
            if reading
            else f"zones must be left out without the arm zones; got {config.zones!r}. Add zones "
            "to arms, or ask with design=zones."
        )
    if reading:
        from analysis.questions.zone_aim import check_zones

        check_zones(config.zones, task.label_set)


def check_order(task: Task, finetune: FinetuneConfig) -> None:
    """Raise AssayError for targets that know an order, for a task without one."""
    if finetune.ordinal_targets != "none" and not task.ordered:
        raise AssayError(
            f"ordinal_targets must be none with the task {task.name}, whose labels have no order; "
            f"got {finetune.ordinal_targets}. If 'labels' of its card are in order, add "
            "'label_type: ordinal' there."
        )


def check_answers(
    arms: Sequence[Arm], annotator: Annotator | None, config: ExperimentConfig
) -> None:
    """Raise AssayError for an arm that reads what the answers will come without.

    What a server or a model gives is known only when it is asked; a file of labels says it at once.
    """
    # For each draw, what its answers come without; an engine need not say it.
    lacks: Sequence[Collection[str]] = getattr(annotator, "lacks", ())
    for arm in arms:
        reads = arm.facts.reads
        if reads == "repeats" and not config.annotate.repeats:
            raise AssayError(
                f"the arm {arm.name} needs repeated answers; got repeats=0. Set repeats, for "
                f"instance to 9, or leave {arm.kind} out of arms."
            )
        if any(reads in lacking for lacking in lacks[: _draws_read(arm, config)]):
            raise AssayError(
                f"the arm {arm.name} needs {_NEEDED[reads]}, which these labels come without. "
                f"{_instead(arm)}"
            )


def announce_needs(arms: Sequence[Arm], annotators: Sequence[Annotator]) -> None:
    """Tell engines that ask a server what the arms read of the answers, and the way out without it.

    What a server gives is known once it is asked; the engine then refuses before it sends a text.
    """
    needed = {
        arm.facts.reads: f"the arm {arm.name} needs {_NEEDED[arm.facts.reads]}. {_instead(arm)}"
        for arm in reversed(arms)
        if arm.facts.reads in ("probabilities", "label_mass")
    }
    for annotator in annotators:
        if hasattr(annotator, "needed"):
            annotator.needed = needed


def _instead(arm: Arm) -> str:
    """What to do where an arm cannot get what it reads."""
    leave = f"eave {arm.kind} out of arms."
    if arm.facts.selects == "ranking" and arm.facts.reads == "probabilities":
        votes = arm.kind.replace(arm.base_kind, "vote_entropy")
        return f"Use {votes}, which needs two draws or more, or l{leave}"
    return f"L{leave}"


def _draws_read(arm: Arm, config: ExperimentConfig) -> int:
    """Of how many draws, the first ones, an arm reads more than the labels."""
    # A pipeline replicate r has draw r; any other arm with one draw has the first.
    if arm.one_draw and config.replicate.replicate == "pipeline":
        return config.finetune.seeds
    return arm.draws if arm.facts.soft else 1
