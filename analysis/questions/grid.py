"""Which hyper-parameters are best? The best of a grid by validation macro-F1, scored on test.

The report is rebuilt from the tracking store alone.

python -m analysis.questions.grid --run_id RUN

It prints tables and writes CSV to outputs/reports/RUN.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from analysis.render.scores import (
    LIMIT_HEAD,
    interval_of,
    limit_cells,
    scaled_metrics,
    score_cells,
    score_head,
)
from analysis.render.section import Section, Table
from analysis.render.text import ORDER_NOTE, has_order, number, pair, ranged, title
from analysis.store.command import publish_command, publish_section
from analysis.store.root_results import RootResults
from project.config.arms import GOLD
from project.config.metrics import score_metrics
from project.stats.scores import spread

if TYPE_CHECKING:
    import pandas as pd

    from analysis.store.replicates import Replicates
    from analysis.store.stored_run import StoredRun


QUESTION = "Which hyper-parameters are best?"
SEARCHED = ("learning_rate", "train_batch_size", "epochs")
_NOTE = (
    "Chosen for each arm by the mean validation macro-F1 of the best epoch over grid_seeds seeds "
    "(ties: the earlier configuration), with the validation labels that the arm trains with; the "
    "test split is read for the chosen configurations alone. The highest of many validation scores "
    "is optimistic, since chance chose it too: the test scores are the result. All numbers x 100; "
    "mean ± sample standard deviation (ddof 1) over the seeds, macro-F1 over the classes of the "
    "test split. limits: 95 % limits of macro-F1 over test examples and seeds; loss: macro-F1 "
    "of gold less its own; both hold for all arms at once."
)


def _no_rows() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame()


@dataclass(frozen=True)
class GridSearch(RootResults):
    """A grid search.

    Attributes
    ----------
    tried
        One row for each arm and configuration; see :func:`try_table`.
    tested
        Scores of each arm's chosen configuration on the test split, in [0, 1], with its
        hyper-parameters; empty before anything is tested.
    annotator
        Scores of the LLM itself, one row for each split.
    """

    tried: pd.DataFrame
    tested: pd.DataFrame
    annotator: pd.DataFrame = field(default_factory=_no_rows)


class Tried(NamedTuple):
    """Validation scores of all configurations, and the configurations that lack seeds."""

    rows: pd.DataFrame
    incomplete: list[str]


def read_grid(run_id: str = "") -> GridSearch:
    """A finished or running grid search; an empty ``run_id`` takes the newest finished one."""
    import pandas as pd

    from analysis.store.arm_scores import annotator_rows, arm_row, limit_columns
    from analysis.store.artifacts import MissingResult, needs
    from analysis.store.replicates import complete_replicates
    from analysis.store.stored_run import read_root

    stored = read_root(run_id, "grid")
    tried, incomplete = try_table(stored)
    arms = stored.config["arms"]
    n_seeds = dict.fromkeys(arms, int(stored.config["config"]["finetune"]["seeds"]))
    tested: dict[str, Replicates] = {}
    lacking: tuple[str, ...] = tuple(arms)
    # Nothing is tested yet if the search was stopped early.
    with contextlib.suppress(MissingResult):
        tested, lacking = complete_replicates(stored, n_seeds, lambda run: run.params["arm"])
    limits = limit_columns(tested, stored, GOLD) if tested else {}
    rows = []
    for arm, replicates in tested.items():
        first = replicates.runs[0]
        needs(first, dict.fromkeys(SEARCHED, float))
        setting = {name: float(first.params[name]) for name in SEARCHED}
        scores = arm_row(arm, replicates, stored.test, stored.label_set, ordered=stored.ordered)
        rows.append({**scores, **limits[arm], **setting})
    return GridSearch(
        stored.root,
        stored.config,
        tried=tried,
        tested=pd.DataFrame(rows),
        annotator=annotator_rows(stored),
        incomplete=(*incomplete, *(f"{note} on test" for note in lacking)),
    )


def try_table(stored: StoredRun) -> Tried:
    """Validation scores of every arm and configuration, in the order of the grid.

    ``validation_macro_f1`` is the mean over the seeds, in [0, 1]. ``chosen`` marks the first
    configuration of an arm with the highest mean; nothing is chosen while any lacks seeds.
    """
    import pandas as pd

    from analysis.store.artifacts import broken, needs

    design = stored.config["design"]
    if not all(set(setting) == set(SEARCHED) for setting in design["grid"]):
        rule = f"must have {', '.join(SEARCHED)} in every configuration of design.grid"
        raise broken(stored.root, "config.json", rule)
    # By arm and configuration, then by seed: a seed that was logged twice counts once.
    scores: dict[tuple[str, int], dict[str, float]] = {}
    for run in stored.validation_seeds():
        needs(run, {"arm": str, "seed": int, "configuration": int}, ("best_validation_macro_f1",))
        by_seed = scores.setdefault((run.params["arm"], int(run.params["configuration"])), {})
        by_seed[run.params["seed"]] = run.metrics["best_validation_macro_f1"]
    rows = []
    incomplete = []
    for arm in stored.config["arms"]:
        for index, setting in enumerate(design["grid"]):
            score = spread(list(scores.get((arm, index), {}).values()))
            row = {
                "arm": arm,
                "configuration": index,
                **setting,
                "n_seeds": score.n,
                "validation_macro_f1": score.mean,
                "validation_macro_f1_sd": score.sd,
            }
            rows.append(row)
            if score.n < design["grid_seeds"]:
                seeds = f"{score.n} of {design['grid_seeds']} seeds"
                incomplete.append(f"{arm} {_setting_text(row)} ({seeds})")
    table = pd.DataFrame(rows)
    # Means over different numbers of seeds cannot be compared. Of equal means idxmax takes the
    # first.
    best = pd.Series(-1, index=table.index)
    if not incomplete:
        best = table.groupby("arm")["validation_macro_f1"].transform("idxmax")
    return Tried(table.assign(chosen=best == table.index), incomplete)


def section(search: GridSearch) -> Section:
    """The configurations that were tried and, once there are any, those that were tested."""
    tables = [_search_table(search)]
    if len(search.tested):
        tables.append(_tested_table(search))
    return Section("grid", QUESTION, _answer(search), tables, notes=_notes(search))


def _search_table(search: GridSearch) -> Table:
    names = ("validation_macro_f1", "validation_macro_f1_sd")
    scaled = search.tried.assign(**{name: 100 * search.tried[name] for name in names})
    rows = []
    for row in scaled.to_dict("records"):
        chosen = "chosen" if row["chosen"] else ""
        rows.append([*_setting_cells(row), pair(row, "validation_macro_f1"), chosen])
    head = ["labels", "learning rate", "batch", "epochs", "validation macro-F1", ""]
    return Table("search", f"{title(search.config)}: search", head, rows, frame=search.tried)


def _tested_table(search: GridSearch) -> Table:
    from analysis.store.arm_scores import without_lists

    ordered = has_order(search.config)
    head = ["labels", "learning rate", "batch", "epochs", *score_head("test ", ordered=ordered)]
    head += LIMIT_HEAD
    rows = [
        [*_setting_cells(row), *score_cells(scaled, ordered=ordered), *limit_cells(row)]
        for row, scaled in zip(
            search.tested.to_dict("records"),
            scaled_metrics(search.tested).to_dict("records"),
            strict=True,
        )
    ]
    frame = without_lists(search.tested)
    return Table("chosen", "chosen, on the test split", head, rows, frame=frame)


def _setting_cells(row: Mapping[Any, Any]) -> list[str]:
    return [str(row["arm"]), *(f"{row[name]:g}" for name in SEARCHED)]


def _setting_text(row: Mapping[Any, Any]) -> str:
    return ", ".join(f"{name}={row[name]:g}" for name in SEARCHED)


def _answer(search: GridSearch) -> str:
    """The chosen configuration of every arm, and what it reaches on the test split."""
    chosen = search.tried[search.tried["chosen"]].to_dict("records")
    if not chosen:
        return "No configuration is chosen yet."
    tested = {str(row["arm"]): row for row in search.tested.to_dict("records")}
    settings = "; ".join(f"{row['arm']}: {_setting_text(row)}" for row in chosen)
    parts = [f"Best on validation: {settings}."]
    n_tried = len(search.tried) // len(chosen)
    if n_tried > 1:
        scores = _scores({row["arm"]: number(100 * row["validation_macro_f1"]) for row in chosen})
        parts.append(
            f"The macro-F1 on validation ({scores}) is optimistic: it is the highest of {n_tried} "
            "configurations."
        )
    if tested:
        scores = _scores(
            {arm: ranged(interval_of(row, "macro_f1"), 100, 1) for arm, row in tested.items()}
        )
        parts.append(f"On test it is {scores}.")
    return " ".join(parts)


def _scores(by_arm: Mapping[Any, str]) -> str:
    return ", ".join(f"{arm} {score}" for arm, score in by_arm.items())


def _notes(search: GridSearch) -> list[str]:
    from analysis.store.arm_scores import absent_note

    absent = {str(row["arm"]): str(row["absent"]) for row in search.tested.to_dict("records")}
    order = ORDER_NOTE if has_order(search.config) else ""
    notes = [_NOTE + order, absent_note(search.config, absent).strip()]
    if search.incomplete:
        notes.append(f"INCOMPLETE: {', '.join(search.incomplete)}.")
    return notes


def publish(run_id: str, workspace: str) -> None:
    """Rebuild the report of a grid search, write it, log it to the root run and print it."""
    from analysis.questions.root_metrics import tested_metrics
    from analysis.store.root_summary import of_arms

    search = read_grid(run_id)
    scores = score_metrics(ordered=has_order(search.config))
    names = (*(metric.key for metric in scores), *SEARCHED)
    metrics = {
        f"{row['arm']}.{name}": row[name]
        for row in search.tested.to_dict("records")
        for name in names
    }
    main = tested_metrics(search.tested, search.annotator, search.config)
    named = of_arms(search.root, metrics)
    publish_section(section(search), search.root, workspace, {0: named}, main)


if __name__ == "__main__":
    publish_command(__doc__ or "", "a grid", publish)
