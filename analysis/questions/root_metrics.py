"""The main numbers of a root run, by which runs are compared in the MLflow UI.

They have the same names whatever measured them: an experiment, a budget, a grid or an audit. Shares
are in [0, 1]. Only what is known is there: without a price there is no cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from analysis.questions.arms_table import MIN_SCORED
from analysis.render.scores import NOMINAL_ALPHA, ORDINAL_ALPHA
from analysis.store.root_summary import known
from project.config.arms import GOLD, LLM

if TYPE_CHECKING:
    import pandas as pd

    from analysis.questions.arms_table import ScoredExperiment
    from analysis.questions.verdict import Verdict


def experiment_metrics(scored: ScoredExperiment, decision: Verdict) -> dict[str, float]:
    """The main numbers of an experiment or a budget.

    Loss and alpha are those of the LLM's labels alone. Human labels and cost are those of the
    labels that the verdict calls safe, else of the LLM's labels. A run of one arm only, without
    labels of an LLM, has the numbers of that arm.
    """
    from analysis.questions.verdict_humans import human_labels
    from analysis.store.arm_scores import priced

    values: dict[str, float | None] = {}
    if not decision.judged.empty:
        judged = decision.judged.set_index("arm").loc[LLM]
        values |= {name: judged[name] for name in ("loss", "loss_low", "loss_high")}
    values |= llm_scores(scored.annotator)
    arms = {str(row["arm"]): row for row in scored.arms.to_dict("records")}
    own = LLM if LLM in arms or len(arms) != 1 else next(iter(arms))
    if own in arms and len(scored.experiment.test) >= MIN_SCORED:
        values |= _alphas(arms[own])
    named = own if decision.arm == LLM else decision.arm
    if named in arms:
        humans = human_labels(scored.experiment, scored.experiment.arms[named])
        values["human_labels"] = humans.total
        if priced(scored.config):
            values["cost"] = arms[named]["cost"]
    return known(values)


def _alphas(row: Mapping[Any, Any]) -> dict[str, float | None]:
    """The nominal alpha of an arm and, where its labels have an order, the ordinal one."""
    names = {"alpha": NOMINAL_ALPHA, "alpha_ordinal": ORDINAL_ALPHA}
    return {name: row[key] for name, key in names.items() if key in row}


def llm_scores(annotator: pd.DataFrame) -> dict[str, float | None]:
    """Scores of the LLM's own labels of the test texts; empty without gold or with too few texts.

    ``annotator``: see :func:`analysis.store.arm_scores.annotator_rows`.
    """
    for row in annotator.to_dict("records"):
        if row["split"] == "test":
            return dict(llm_metrics(row, row["n"]))
    return {}


def llm_metrics(scores: Mapping[Any, Any], n_texts: int) -> dict[str, float]:
    """Those of ``scores`` that root runs have of the LLM itself; empty with too few texts."""
    if n_texts < MIN_SCORED:
        return {}
    names = ("macro_f1", "accuracy", "mean_absolute_error", "quadratic_kappa")
    return {f"llm.{name}": float(scores[name]) for name in names if name in scores}


def tested_metrics(
    tested: pd.DataFrame, annotator: pd.DataFrame, config: Mapping[str, Any]
) -> dict[str, float]:
    """The main numbers of a grid: those of the arm ``llm`` with its chosen configuration.

    Parameters
    ----------
    tested
        One row for each arm; see :class:`analysis.questions.grid.GridSearch`.
    annotator
        See :func:`llm_scores`.
    config
        The ``config.json`` of the run.
    """
    from analysis.store.arm_scores import priced

    values = llm_scores(annotator)
    rows = {str(row["arm"]): row for row in tested.to_dict("records")}
    llm = rows.get(LLM)
    if llm and GOLD in rows:
        values |= {name: llm.get(name) for name in ("loss", "loss_low", "loss_high")}
    if llm:
        values |= _alphas(llm)
        if priced(config):
            values["cost"] = llm["cost"]
    return known(values)


def audit_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The main numbers of an audit, from its ``audit.json``; none for the plan of one."""

    def value(part: str, metric: str, end: str = "estimate") -> float | None:
        found = ((result.get(part) or {}).get(metric) or {}).get(end)
        return None if found is None else float(found)

    return known(
        {
            "loss": value("loss", "macro_f1"),
            "loss_low": value("loss", "macro_f1", "low"),
            "loss_high": value("loss", "macro_f1", "high"),
            "llm.macro_f1": value("llm", "macro_f1"),
            "llm.accuracy": value("llm", "accuracy"),
            "alpha": value("agreement", "alpha"),
            "human_labels": result.get("n_audit") if "verdict" in result else None,
        }
    )
