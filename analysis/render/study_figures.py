"""Optuna's figures of a study, from a table of its trials."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna
    import pandas as pd


def figures(trials: pd.DataFrame, settings: Sequence[str], *, many: bool) -> dict[str, Any]:
    """Optuna's figures of a study by file name: history, importances, contour of share x size.

    Parameters
    ----------
    trials
        One row each, with ``number``, ``state``, ``value`` (the objective or, with several,
        macro-F1) and the columns ``settings``.
    settings
        The parts of a setting. Only those that vary are drawn, the contour only if both
        ``replace_share`` and ``ensemble_size`` do.
    many
        Whether the study has several objectives.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from optuna.visualization import matplotlib as plots

    varied = [name for name in settings if trials[name].nunique() > 1]
    study = _study(trials, varied)
    title = "validation macro-F1 x 100" if many else "objective"
    drawn: dict[str, Any] = {}
    # Optuna's style must not reach our own figures.
    with warnings.catch_warnings(), mpl.rc_context({"text.parse_math": False}):
        warnings.simplefilter("ignore")
        history = plots.plot_optimization_history(study, target_name=title)
        drawn["history.png"] = history.figure
        if varied and trials.loc[trials["state"] == "COMPLETE", "value"].nunique() > 1:
            # Optuna cannot estimate importances from a few trials; then the figure is left out.
            with contextlib.suppress(ValueError, RuntimeError):
                importances = plots.plot_param_importances(study, target_name=title)
                drawn["importance.png"] = importances.figure
        if {"replace_share", "ensemble_size"} <= set(varied):
            axes: Any = plots.plot_contour(
                study, params=["replace_share", "ensemble_size"], target_name=title
            )
            axes.set_xlabel("ensemble size K")
            axes.set_ylabel("replace share, per cent")
            drawn["contour.png"] = axes.figure
    return drawn


def _study(trials: pd.DataFrame, varied: Sequence[str]) -> optuna.Study:
    """The trials as a study in memory, with the settings ``varied``."""
    # The store of a study may be on another machine, so it is rebuilt from the logged trials.
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    ranges = {name: _range(trials[name]) for name in varied}
    for row in trials.sort_values("number").to_dict("records"):
        state = optuna.trial.TrialState[row["state"]]
        complete = state == optuna.trial.TrialState.COMPLETE
        study.add_trial(
            optuna.create_trial(
                params={name: row[name] for name in varied},
                distributions=ranges,
                state=state,
                **({"value": row["value"]} if complete else {}),
            )
        )
    return study


def _range(values: pd.Series) -> optuna.distributions.BaseDistribution:
    """The values that a setting took, as Optuna describes them."""
    import optuna

    if values.dtype.kind in "if":
        return optuna.distributions.FloatDistribution(float(values.min()), float(values.max()))
    return optuna.distributions.CategoricalDistribution(sorted(values.unique()))
