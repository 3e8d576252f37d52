"""The tables of a suite: quartiles over tasks, precision against recall, causes of the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.questions.suite_rows import FEATURES, ITSELF, SCORES, SuiteEntry, by_data
from analysis.render.scores import interval_of
from analysis.render.section import Table, columns
from analysis.render.text import listed, number, ranged, signed
from project.config.arms import GOLD, LLM
from project.stats.bootstrap import Interval
from project.stats.noise import holm
from project.stats.tasks import (
    MIN_FOR_LIMITS,
    MIN_FOR_REGRESSION,
    Quartiles,
    Relation,
    Shift,
    quartiles,
    relation,
    shift,
)

if TYPE_CHECKING:
    import pandas as pd

_PAPER = (
    "paper: Pangakis and Wolken (2024), medians of 14 tasks, BERT trained on 1,000 labels; F1 and "
    "recall of the positive class, ours of all classes, so that the losses compare and the scores "
    "do not."
)
_PAPER_ROWS = {
    # source: F1, recall; of gold only the gap of 0.039 to the arm llm is known
    ITSELF: (0.592, 0.8),
    LLM: (0.586, 0.746),
    GOLD: (0.625, math.nan),
}
_SHOWN = ("macro_f1", "accuracy", "precision", "recall")
_ALL = (*SCORES, "alpha", "loss")
_MIN_FOR_QUARTILES = 3
SIGNIFICANCE = 0.05


def scores_over_tasks(rows: pd.DataFrame) -> Table:
    """Median and quartiles over tasks of every score, for each group and source of labels."""
    import pandas as pd

    counted = by_data(rows, ["group", "source"])
    cells, records, kinds = [], [], []
    for (group, source), part in counted.groupby(["group", "source"], sort=False):
        record: dict[str, Any] = {
            "group": group,
            "source": source,
            "n_tasks": len(part),
            "n_with_loss": int(part["loss"].notna().sum()),
        }
        found = {name: quartiles(part[name].to_numpy(dtype=float)) for name in _ALL}
        for name, each in found.items():
            record |= columns(name, each.median)
            record |= {f"{name}_q1": each.low, f"{name}_q3": each.high}
        loss = "" if source == GOLD else ranged(found["loss"].median, 100, 1, sign=True)
        middles = [_middle(found[name]) for name in _SHOWN]
        alpha = number(100 * found["alpha"].median.estimate)
        line = [str(group), str(source), str(len(part)), loss, *middles, alpha]
        cells.append(line)
        records.append(record)
        kinds.append("annotator" if source == ITSELF else "arm")
    for source, (f1, recall) in _PAPER_ROWS.items():
        loss = "" if source == GOLD else signed(100 * (_PAPER_ROWS[GOLD][0] - f1))
        known = {"macro_f1": number(100 * f1), "recall": number(100 * recall)}
        scores = [known.get(name, "") for name in _SHOWN]
        cells.append(["paper: GPT-4", source, "14", loss, *scores, ""])
        kinds.append("paper")
    head = ["LLM", "labels", "tasks", "loss", *(SCORES[name] for name in _SHOWN), "alpha"]
    middle = "median (quartiles)"
    return Table(
        "suite_scores",
        "Over tasks",
        head,
        cells,
        frame=pd.DataFrame(records),
        notes=[
            "All numbers x 100. Means over the seeds of a task, then the median and the quartiles "
            "over tasks; tasks on the same data count once. Limits of the loss treat tasks as the "
            f"sample, and need {MIN_FOR_LIMITS} of them. Precision and recall: means over the "
            "classes. alpha: nominal, also of tasks whose labels have an order.",
            *_left_out(rows),
            _PAPER,
        ],
        kinds=kinds,
        units=["", "", "", "median [limits]", *[middle] * len(_SHOWN), "median"],
    )


def _left_out(rows: pd.DataFrame) -> list[str]:
    """A note on tasks without a macro-F1; see :func:`analysis.questions.suite_rows.score_rows`."""
    missing = rows[rows["macro_f1"].isna()]
    tasks = list(missing.loc[missing["source"] != ITSELF, "task"].unique())
    asked = [name for name in missing["task"].unique() if name not in tasks]
    notes = []
    if tasks:
        reason = "Without macro-F1, precision and recall, since all test texts have the same label"
        notes.append(f"{reason}: {listed(tasks)}.")
    if asked:
        reason = "The same of the LLM itself, in the texts that it was asked about"
        notes.append(f"{reason}: {listed(asked)}.")
    return notes


def _middle(found: Quartiles) -> str:
    """A median x 100, with its quartiles where there are three values or more."""
    if math.isnan(found.median.estimate):
        return "-"
    if found.n < _MIN_FOR_QUARTILES:
        return number(100 * found.median.estimate)
    return f"{100 * found.median.estimate:.1f} ({100 * found.low:.0f} to {100 * found.high:.0f})"


_SHIFT_NOTE = (
    "Points (x 100). Above 0: the source finds more of a class than gold-trained classifiers do, "
    "and is wrong more often when it names it. Hodges-Lehmann estimate with exact limits, and "
    "Wilcoxon's signed-rank test, paired over tasks; p adjusted for all rows (Holm). Pangakis and "
    "Wolken (2024) report more recall and less precision for GPT-4 and for classifiers trained on "
    "its labels."
)
_FEATURE_NOTE = (
    "Points (x 100). Least squares on one feature at a time. loss: change for one standard "
    "deviation more. error: of a task that is left out, root of the mean square; without it: the "
    "same where the mean of the other tasks foretells. p: F test, adjusted for all rows (Holm). A "
    "feature foretells where p is at most 0.05 and its error is the smaller one."
)


def shift_table(rows: pd.DataFrame) -> Table:
    """How much more recall than precision a source has, against classifiers trained on gold."""
    import pandas as pd

    counted = by_data(rows, ["group", "source"])
    records: list[dict[str, Any]] = []
    shifts: list[Shift] = []
    for group, part in counted.groupby("group", sort=False):
        by_source = {name: one.set_index("data") for name, one in part.groupby("source")}
        for source in (ITSELF, LLM):
            if GOLD not in by_source or source not in by_source:
                continue
            for of, name in (("", "all classes"), ("rare_", "the rarest class")):
                own, gold = (_lean(by_source[key], of) for key in (source, GOLD))
                found = shift((own - gold).dropna().to_numpy(dtype=float))
                if found.n:
                    shifts.append(found)
                    head = {"group": group, "source": source, "of": name, "n_tasks": found.n}
                    records.append({**head, **columns("shift", found.difference)})
    adjusted = holm(np.array([found.p for found in shifts]))
    cells = []
    for record, found, p in zip(records, shifts, adjusted, strict=True):
        record["p"] = float(p)
        shown = ranged(found.difference, 100, 1, sign=True)
        names = [str(record[name]) for name in ("group", "source", "of", "n_tasks")]
        cells.append([*names, shown, "-" if math.isnan(p) else f"{p:.3f}"])
    return Table(
        "suite_shift",
        "Recall less precision, against classifiers trained on gold labels",
        ["LLM", "labels", "of", "tasks", "shift", "p"],
        cells,
        frame=pd.DataFrame(records),
        notes=[_SHIFT_NOTE],
        units=["", "", "", "", "[limits]", "two-sided"],
    )


def _lean(part: pd.DataFrame, of: str) -> pd.Series:
    """Recall less precision, by data set."""
    found: pd.Series = part[f"{of}recall"] - part[f"{of}precision"]
    return found


def task_table(entries: Sequence[SuiteEntry], rows: pd.DataFrame) -> Table:
    """One row for each task: the LLM, the loss and the verdict."""
    import pandas as pd

    by_task = {(row["task"], row["source"]): row for row in rows.to_dict("records")}
    cells, records = [], []
    for entry in entries:
        one = entry.judged
        run_id = one.scored.experiment.root.run_id
        found = [by_task.get((one.name, source), {}) for source in (ITSELF, GOLD, LLM)]
        scores = [row.get("macro_f1", math.nan) for row in found]
        right = found[0].get("accuracy", math.nan)
        loss = Interval(*[math.nan] * 3) if one.llm is None else interval_of(one.llm, "loss")
        shown = [number(100 * score) for score in (right, *scores)]
        judged = [ranged(loss, 100, 1, sign=True), one.decision.word, run_id[:8]]
        cells.append([one.name, entry.group, *shown, *judged])
        names = ("llm_accuracy", "llm_macro_f1", "macro_f1_gold", "macro_f1_llm")
        records.append(
            {
                **entry.head,
                **dict(zip(names, (right, *scores), strict=True)),
                **columns("loss", loss),
                "verdict": one.decision.word,
                "reason": one.decision.sentence,
                "run_id": run_id,
            }
        )
    score = "macro-F1"
    return Table(
        "suite_tasks",
        "Each task",
        ["task", "LLM", "LLM right", "LLM", "gold", "llm", "loss", "verdict", "run"],
        cells,
        frame=pd.DataFrame(records),
        notes=[
            "All numbers x 100. Limits of the loss hold for one task at a time. The LLM: of the "
            "test texts that it was asked about."
        ],
        units=["", "", "% of the test", score, score, score, "[limits]", "", ""],
    )


def feature_table(features: pd.DataFrame) -> Table:
    """How each feature of a task goes with the loss, and whether it foretells a new task's."""
    import pandas as pd

    counted = by_data(features, ["group"])
    fits: list[tuple[str, str, pd.DataFrame, Relation | None]] = []
    for group, part in counted.groupby("group", sort=False):
        if len(part) >= MIN_FOR_REGRESSION:
            for name in FEATURES:
                known = part[[name, "loss"]].dropna()
                found = relation(known[[name]].to_numpy(dtype=float), known["loss"].to_numpy())
                fits.append((str(group), name, known, found))
    adjusted = holm(np.array([math.nan if found is None else found.p for *_, found in fits]))
    cells, records = [], []
    for (group, name, known, found), p in zip(fits, adjusted, strict=True):
        head = [group, FEATURES[name], str(len(known))]
        if found is None:
            cells.append([*head, "-", "-", "-", "-", _why_none(known[name])])
            continue
        foretells = p <= SIGNIFICANCE and found.error < found.error_of_mean
        slope = float(found.slopes[0])
        points = [signed(100 * slope), number(100 * found.error), number(100 * found.error_of_mean)]
        cells.append([*head, *points, f"{p:.3f}", "yes" if foretells else "no"])
        records.append(
            {
                "group": group,
                "feature": name,
                "n_tasks": found.n,
                "slope": slope,
                "error": found.error,
                "error_of_mean": found.error_of_mean,
                "p": float(p),
            }
        )
    return Table(
        "suite_features",
        "What goes with the loss",
        ["LLM", "feature", "tasks", "loss", "error", "without it", "p", "foretells"],
        cells,
        frame=pd.DataFrame(records),
        notes=[_FEATURE_NOTE],
        units=["", "", "", "for 1 sd more", "left out", "left out", "adjusted", ""],
    )


def _why_none(values: pd.Series) -> str:
    """Why there is no regression on a feature."""
    if len(values) < MIN_FOR_REGRESSION:
        return f"needs {MIN_FOR_REGRESSION} tasks"
    return "the same in all tasks" if values.nunique() == 1 else "one task decides alone"


def consistency_table(features: pd.DataFrame) -> Table:
    """How many labels are right where all draws agree, and where they do not."""
    known = features.dropna(subset=["consistent"])
    names = ("consistent", "right_consistent", "right_others")
    cells = [
        [row["task"], row["group"], *(number(100 * row[name]) for name in names)]
        for row in known.to_dict("records")
    ]
    return Table(
        "suite_consistency",
        "Where all draws agree",
        ["task", "LLM", "all agree", "right there", "right elsewhere"],
        cells,
        frame=known[["task", "group", *names]],
        notes=[
            "Per cent of the training texts, by gold labels. A consistency of 1 is the threshold "
            "of Pangakis and Wolken (2024); leaving out the other texts cost them 0.4 points of F1."
        ],
        units=["", "", "% of the texts", "%", "%"],
    )
