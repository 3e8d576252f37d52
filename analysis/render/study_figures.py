"""Optuna's figures of a study, from a table of its trials."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from typing import Any

import optuna
import pandas as pd
from optuna.trial import TrialState

from project.search.space import Space

optuna.logging.set_verbosity(optuna.logging.ERROR)


def figures(trials: pd.DataFrame, *, many: bool) -> dict[str, Any]:
    """Optuna's figures of a study: history, importances and, where both vary, the contour of replace share x ensemble size, by file name.

    ``trials``: one row each, with ``number``, ``state``, ``value`` (the objective or, with several, macro-F1) and the parts of its setting.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from optuna.visualization import matplotlib as plots

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    names = [item.name for item in dataclasses.fields(Space)]
    varied = [name for name in names if trials[name].nunique() > 1]
    spans = {name: _span(trials[name]) for name in varied}
    for row in trials.sort_values("number").to_dict("records"):
        params = {name: row[name] for name in varied}
        state = TrialState[row["state"]]
        value = {"value": row["value"]} if state == TrialState.COMPLETE else {}
        study.add_trial(
            optuna.create_trial(params=params, distributions=spans, state=state, **value)
        )
    title = "validation macro-F1 x 100" if many else "objective"
    made: dict[str, Any] = {}
    with warnings.catch_warnings(), mpl.rc_context():  # Optuna's style is for its own figures
        warnings.simplefilter("ignore")
        made["history.png"] = plots.plot_optimization_history(study, target_name=title).figure
        if varied and trials.loc[trials["state"] == "COMPLETE", "value"].nunique() > 1:
            with contextlib.suppress(ValueError, RuntimeError):  # too few trials for importances
                made["importance.png"] = plots.plot_param_importances(
                    study, target_name=title
                ).figure
        if {"replace_share", "ensemble_size"} <= set(varied):
            axes = plots.plot_contour(
                study, params=["replace_share", "ensemble_size"], target_name=title
            )
            axes.set_xlabel("ensemble size K")  # type: ignore[union-attr]
            axes.set_ylabel("replace share, per cent")  # type: ignore[union-attr]
            made["contour.png"] = axes.figure  # type: ignore[union-attr]
    return made


def _span(values: pd.Series) -> optuna.distributions.BaseDistribution:
    if values.dtype.kind in "if":
        return optuna.distributions.FloatDistribution(float(values.min()), float(values.max()))
    return optuna.distributions.CategoricalDistribution(sorted(values.unique()))
