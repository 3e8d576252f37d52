"""The note below the result table: what the columns mean, and what to mind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from analysis.questions.arms_table import MIN_SCORED, ScoredExperiment
from analysis.questions.paper import CITATION
from analysis.render.text import ORDER_NOTE, has_order, replicate_of
from project.config.engines import has_prompt
from project.config.finetune import LINEAR

if TYPE_CHECKING:
    import pandas as pd

_REPLICATES = {
    "training": ("seeds", "seed", ""),
    "pipeline": (
        "replicates",
        "replicate",
        " Replicate r of llm and entropy has its own demonstrations and labels (draw r) and seed "
        "r; the other arms have one label file, and their replicates differ in the seed alone.",
    ),
    "crossed": (
        "replicates",
        "replicate",
        " The replicates of llm are all draws with all seeds; those of the other arms differ in "
        "the seed alone.",
    ),
}
_UNDEFINED = " undefined: all replicates give all examples one class, where alpha has no value."


class Caption(NamedTuple):
    """The note below the result table: what the columns mean, and what to mind."""

    how: str
    mind: str


def caption(scored: ScoredExperiment, table: pd.DataFrame) -> Caption:
    """The note below the result table; its parts follow one another."""
    from analysis.questions.answers_note import answers_note
    from analysis.store.arm_scores import chance_note

    arms = table[table["kind"] == "arm"]
    no_alpha = arms["krippendorff_alpha"].isna() & (arms["too_few"] == "")
    is_undefined = (no_alpha & (arms["n_seeds"] > 1)).any()
    has_paper = (table["kind"] == "paper").any()
    how = (
        _columns_note(scored.config)
        + _labels_note(scored.config, table)
        + (_UNDEFINED if is_undefined else "")
        + (f" Rows in italics: {CITATION}; RoBERTa-base." if has_paper else "")
    )
    mind = (
        chance_note(scored.arms)
        + _no_row_note(scored.annotator)
        + too_few_note(table)
        + answers_note(scored.experiment)
        + _incomplete_note(scored.experiment.incomplete)
    )
    return Caption(how, mind)


def _columns_note(config: Mapping[str, Any]) -> str:
    """What the columns mean."""
    many, each, more = _REPLICATES[replicate_of(config)]
    agreement = f"alpha_K: Krippendorff's alpha (nominal) with the {many} as raters."
    if has_order(config):
        agreement = (
            f"ordinal alpha_K: Krippendorff's alpha (ordinal) with the {many} as raters; arms.csv "
            "has the nominal one, krippendorff_alpha, too."
        )
    return (
        "Test split; all numbers x 100. Mean and, behind it, sample standard deviation (ddof 1) "
        f"over the {many}; macro-F1 over the classes of the test split. {agreement} unchanged: "
        f"examples that every {each} labels alike. human: training labels a human gave.{more}"
        f"{ORDER_NOTE if has_order(config) else ''} {_seeds_note(config)}"
    )


def _seeds_note(config: Mapping[str, Any]) -> str:
    """How seeds differ where nothing is fine-tuned."""
    if config["config"]["finetune"]["encoder"] != LINEAR:
        return ""
    return (
        "Nothing is fine-tuned: every seed is a logistic regression on a bootstrap resample of "
        "the training texts. "
    )


def _labels_note(config: Mapping[str, Any], table: pd.DataFrame) -> str:
    """Human labels that the column ``human`` leaves out, and classes without training labels."""
    from analysis.store.arm_scores import absent_note

    stages = config["config"]
    counts = config["task"]["counts"]
    shots = stages["prompt"]["n_demonstrations"]
    draws = stages["prompt"]["ensemble_size"]
    recorded = not has_prompt(stages["annotate"].get("annotator", ""))
    uncounted = []
    if config["models"]["annotator"] and shots and not recorded:
        # The experiment may have no arm that reads several draws.
        has_ensemble = table["labels"].str.match(r"(drop_)?ensemble_").any()
        counted = f" (1 draw; {draws} for the ensemble)" if has_ensemble else ""
        uncounted.append(f"{shots} demonstrations in every draw{counted}")
    picks = "" if stages["finetune"]["encoder"] == LINEAR else " that pick the best epoch"
    if stages["finetune"]["validation_labels"] == "gold":
        uncounted.append(f"the {counts.get('validation', 0)} validation labels{picks} of every arm")
    else:
        uncounted.append("the gold labels that repair an arm's validation labels")
    note = f"Human-labelled and not counted there: {', and '.join(uncounted)}."
    if recorded:
        note += " Human labels that went into making the recorded ones are not known here."
    # One row of the paper is shown below several of ours.
    if (table["kind"] == "paper").any() and table["labels"].str.startswith("entropy").any():
        note += (
            " The paper's numbers for entropy stand under every share, since it does not say which "
            "share they are for."
        )
    absent = table[table["kind"] == "arm"].set_index("labels")["absent"]
    return note + absent_note(config, {str(arm): str(names) for arm, names in absent.items()})


def _no_row_note(annotator: pd.DataFrame) -> str:
    """Texts without a row in the file of recorded labels, which the annotator's rows leave out."""
    rows = [row for row in annotator.to_dict("records") if row["no_row"]]
    if not rows:
        return ""
    counts = " and ".join(f"{row['no_row']} {row['split']}" for row in rows)
    return f" Not scored: {counts} texts that have no row in the file of recorded labels."


def _incomplete_note(incomplete: Sequence[str]) -> str:
    return f" INCOMPLETE: {', '.join(incomplete)}." if incomplete else ""


def too_few_note(table: pd.DataFrame) -> str:
    """A sentence on the rows that have too few texts for a result; empty without any."""
    few = table["too_few"].fillna("")
    reasons = list(dict.fromkeys(few[few != ""]))
    if not reasons:
        return ""
    return (
        f" No result: {', '.join(reasons)}; shown are scores from {MIN_SCORED} texts on, of "
        "arms with at least one training text for each class."
    )
