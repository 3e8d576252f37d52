"""Questions for a person: which texts, and the files in which they are written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from entrypoints.wiring.conditions import SplitAnnotations
from entrypoints.wiring.experiment import PreparedExperiment
from entrypoints.wiring.human_answers import unused_answers
from entrypoints.wiring.question_sheet import QuestionSheet, publish_sheet
from entrypoints.wiring.review_answers import as_given
from entrypoints.wiring.review_questions import answers_to_come
from entrypoints.wiring.terminal import print_line
from project.config.ask import AskConfig
from project.config.next_command import FILE, command_with_answers
from project.labels.choice import AUDIT, Selection
from project.labels.human import questions
from project.labels.selection import select
from project.stats.types import Mask
from project.support.errors import AssayError
from project.tracking import Tracker


def choose_questions(prepared: PreparedExperiment, annotations: SplitAnnotations) -> Selection:
    """The training texts to ask about now: those of the arm that have no human label yet.

    Raises AssayError if all of them are labelled.
    """
    (arm,) = prepared.arms
    train = prepared.task.split("train")
    # Without a file of answers no label is known: gold labels must not stand in for answers here.
    human = pd.Series(dtype=object) if prepared.human is None else prepared.human
    inputs = dataclasses.replace(annotations, human=human).label_inputs(
        train, annotations.train, draw=0, task=prepared.task, config=prepared.config.label
    )
    selection = select(arm, inputs)
    if prepared.answers is not None:
        chosen_ids = set(train["example_id"][selection.selected])
        if note := unused_answers(prepared.answers, chosen_ids, prepared.task):
            print_line(f"note: {note}.")
    is_labelled = train["example_id"].isin(human.index).to_numpy()
    now = _ask_now(arm.name, selection, selection.selected & ~is_labelled)
    if not now.selected.any():
        raise AssayError(
            f"nothing is left to ask: all {int(selection.selected.sum())} texts of {arm.name} are "
            "labelled. Train with human=FILE now."
        )
    return now


def _ask_now(name: str, selection: Selection, open_questions: Mask) -> Selection:
    """What the arm ``name`` asks about now.

    An arm with an error model asks for its audit first: the other questions depend on the answers.
    """
    in_audit = np.asarray(selection.reasons == AUDIT)
    open_audit = open_questions & in_audit
    if not open_audit.any():
        if selection.chance:
            print_line(f"ask: {name} chose at random: {selection.chance}.")
        return _of_open(selection, open_questions)
    print_line(
        f"ask: these {int(open_audit.sum())} texts are the audit. Have them labelled, and run "
        "again with human=FILE for the other texts, as below."
    )
    audit = selection._replace(
        selected=in_audit,
        reasons=np.where(in_audit, AUDIT, "annotated").astype(object),
        inclusion_probability=np.full(len(in_audit), in_audit.mean()),
    )
    return _of_open(audit, open_audit)


def _of_open(selection: Selection, open_questions: Mask) -> Selection:
    """The ``open_questions`` of a selection.

    Where some of its texts are labelled already, no probability is known of the others: it need
    not be chance which ones these are.
    """
    if (open_questions == selection.selected).all():
        return selection
    unknown = np.full(len(open_questions), np.nan)
    return selection._replace(selected=open_questions, inclusion_probability=unknown)


def publish_questions(
    tracker: Tracker,
    prepared: PreparedExperiment,
    annotations: SplitAnnotations,
    *,
    chosen: Selection,
    config: AskConfig,
    codebook: str,
    params: Mapping[str, str],
) -> None:
    """Write the questions into the workspace and log them.

    Parameters
    ----------
    tracker
        The tracker of the root run.
    prepared
        The experiment.
    annotations
        Annotations of the training split, for ``show_llm``.
    chosen
        The texts to ask about.
    config
        The parameters of the entry point.
    codebook
        Rules for the person, shown on the page.
    params
        Every parameter of the entry point, as text, for the command that takes the answers.
    """
    train = prepared.task.split("train")
    llm_labels = annotations.train[0] if config.show_llm and annotations.train else None
    asked = questions(train[chosen.selected], llm_labels, config.ask_seed)
    caution = ""
    if np.isnan(chosen.inclusion_probability[chosen.selected]).any():
        caution = " They are no random sample: they say nothing unbiased about the other texts."
    sheet = QuestionSheet(
        task=prepared.task,
        annotator=prepared.session.annotator.name if prepared.session else "",
        asked=[asked],
        sampling=_sampling(chosen, train),
        title=f"{len(asked)} texts of {prepared.task.name} for a person to label, by "
        f"{prepared.arms[0].name}.{caution}",
        next_step=_next_step(chosen, params, answers_to_come(config, tracker.run_id, FILE)),
    )
    publish_sheet(tracker, sheet, config, prepared.config, codebook=codebook)


def _next_step(chosen: Selection, params: Mapping[str, str], answers: str) -> str:
    """What to do with the answers: ask for more after the audit, else train."""
    is_audit = bool((chosen.reasons[chosen.selected] == AUDIT).all())
    # Files of answers from MLflow are read again then.
    given = {**params, "human": as_given(params["human"])}
    command = command_with_answers(given, "ask" if is_audit else "main", answers)
    together = ", together with those known before" if params.get("human") else ""
    what = "ask for the other texts" if is_audit else "train on them"
    step = f"Then give the answers back{together}, to {what}:\n{command}"
    return step.replace("{", "{{").replace("}", "}}")


def _sampling(selection: Selection, train: pd.DataFrame) -> pd.DataFrame:
    """A row for every training text: whether it is asked about, why, and with which probability.

    The probabilities allow unbiased estimates later; they are null where chance did not decide.
    """
    return pd.DataFrame(
        {
            "example_id": train["example_id"],
            "asked": selection.selected,
            "reason": selection.reasons,
            "inclusion_probability": selection.inclusion_probability,
        }
    )
