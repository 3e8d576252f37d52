"""Do more of the LLM's labels wash its errors out? Repeated errors against the size of the pool.

Of a learning curve: how many of the LLM's wrong test labels the classifiers repeat, within the
zones that were confirmed and outside of them. Random errors should be repeated less with more
texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analysis.questions.zone_search import LabelledTexts, Zones, find_zones, read_labelled
from analysis.questions.zone_tables import MIN_WRONG, notes_on_candidates, zones_table
from analysis.render.figures import look, new_figure, picture
from analysis.render.section import Figure, Section, Table, columns
from analysis.render.text import listed, number, ranged
from project.config.arms import GOLD, LLM, SOFT
from project.stats.bootstrap import Interval
from project.stats.zones import repeated
from project.support.errors import AssayError

if TYPE_CHECKING:
    import pandas as pd

    from analysis.store.replicates import Replicates
    from analysis.store.stored_run import StoredRun

QUESTION = "Do more of these labels wash the LLM's errors out?"
_NOTE = (
    "Of the test texts that the LLM labels wrongly, per cent to which the trainings give the same "
    "wrong label; mean over the seeds. The LLM itself repeats 100 %. lean: how much more often "
    "those of its labels (llm) or probabilities (soft) give it to texts of the same gold class "
    "that the LLM labels rightly. inherited: what they repeat more than gold-trained ones beyond "
    "that lean, with 95 % limits over texts, each row on its own."
)
_TAUGHT = (LLM, SOFT)
_PARTS = ("within the zones", "outside")


class _Point(NamedTuple):
    """The trainings of one size: on gold, and by ``arm`` on the LLM's labels or probabilities."""

    size: int
    arm: str
    gold: Replicates
    taught: Replicates


def section(run_id: str) -> Section:
    """Repeated errors by training size, within the confirmed zones and outside of them.

    Raises AssayError for a curve without the arms gold and llm.
    """
    from analysis.store.stored_run import read_root

    stored = read_root(run_id, "curve")
    points = _points(stored)
    labelled = read_labelled(stored)
    zones = find_zones(labelled, stored.label_set, {})
    frame = _rows(stored, labelled, zones, points)
    tables = [zones_table(zones), _table(frame)]
    answer = _answer(zones, frame)
    return Section(
        "zone_curve", QUESTION, answer, tables, [_figure(frame)], notes=notes_on_candidates(zones)
    )


def _points(stored: StoredRun) -> list[_Point]:
    """The sizes at which gold and llm, or gold and soft, are complete, from small to large."""
    from analysis.store.replicates import complete_replicates

    sizes = [int(size) for size in stored.config["design"]["sizes"]]
    names = {f"{arm} n={size}": (arm, size) for arm in (GOLD, *_TAUGHT) for size in sizes}
    seeds = int(stored.config["config"]["finetune"]["seeds"])
    complete, _ = complete_replicates(
        stored,
        dict.fromkeys(names, seeds),
        lambda run: f"{run.params['arm']} n={run.params['n_examples']}",
    )
    points = [
        _Point(size, arm, complete[f"{GOLD} n={size}"], complete[f"{arm} n={size}"])
        for arm in _TAUGHT
        for size in sorted(sizes)
        if {f"{GOLD} n={size}", f"{arm} n={size}"} <= set(complete)
    ]
    if not any(point.arm == LLM for point in points):
        raise AssayError(
            f"run {stored.root.run_id} has no size at which the arms gold and llm are complete. "
            "Run the curve with arms=gold,llm."
        )
    return points


def _rows(
    stored: StoredRun, labelled: LabelledTexts, zones: Zones, points: Sequence[_Point]
) -> pd.DataFrame:
    """One row for each part, labels and size; the parts: within the confirmed zones, outside."""
    import pandas as pd

    of_test = labelled.table["split"].to_numpy() == "test"
    ids = labelled.table.loc[of_test, "example_id"]
    order = pd.Index(stored.test["example_id"]).get_indexer(ids)
    gold, llm = labelled.gold[of_test], labelled.llm[of_test]
    wrong = (llm != gold) & (llm >= 0)
    within = np.zeros(len(gold), dtype=bool)
    for one in zones.confirmed:
        within |= one.zone.texts[of_test]
    rows = []
    for part, texts in zip(_PARTS, (within, ~within), strict=True):
        if (wrong & texts).sum() < MIN_WRONG:
            continue
        for point in points:
            arms = (point.gold.predicted[:, order], point.taught.predicted[:, order])
            found = repeated(texts, gold, llm, *arms)
            rows.append(
                {
                    "part": part,
                    "labels": point.arm,
                    "n_examples": point.size,
                    "n_wrong": found.n,
                    "repeated_gold": found.reference,
                    "repeated": found.trained,
                    "lean": found.lean,
                    **columns("inherited", found.inherited),
                }
            )
    if not rows:
        raise AssayError(
            f"run {stored.root.run_id} has fewer than {MIN_WRONG} test texts that the LLM labels "
            "wrongly, too few to say what becomes of such errors."
        )
    return pd.DataFrame(rows)


def _table(frame: pd.DataFrame) -> Table:
    """One row for each part, labels and size."""
    rows = []
    for row in frame.to_dict("records"):
        inherited = Interval(row["inherited"], row["inherited_low"], row["inherited_high"])
        rows.append(
            [
                row["part"],
                row["labels"],
                str(row["n_examples"]),
                str(row["n_wrong"]),
                number(100 * row["repeated_gold"]),
                number(100 * row["repeated"]),
                number(100 * row["lean"]),
                ranged(inherited, 100, 1, sign=True),
            ]
        )
    return Table(
        "zone_curve",
        "Repeated errors by training size",
        ["texts", "labels", "n", "LLM wrong", "gold", "repeated", "lean", "inherited"],
        rows,
        frame=frame,
        notes=[_NOTE],
        units=["", "", "", "test texts", "repeats, %", "%", "points", "points [limits]"],
    )


def _answer(zones: Zones, frame: pd.DataFrame) -> str:
    """How the share of repeated errors moves from the smallest size to the largest."""
    names = [one.zone.name for one in zones.confirmed]
    first = f"Confirmed zones: {listed(names)}." if names else "No zone was confirmed."
    sentences = [first]
    for (part, labels), rows in frame.groupby(["part", "labels"], sort=False):
        small, large = rows.iloc[0], rows.iloc[-1]
        shares = [f"{100 * row['repeated']:.0f} %" for row in (small, large)]
        if labels == SOFT:
            sentences.append(f"Those of its probabilities repeat {shares[0]} and {shares[1]}.")
            continue
        sentences.append(
            f"{str(part).capitalize()}, classifiers of the LLM's labels repeat {shares[0]} of its "
            f"errors with {small['n_examples']} texts and {shares[1]} with {large['n_examples']} "
            f"(gold-trained ones {100 * small['repeated_gold']:.0f} and "
            f"{100 * large['repeated_gold']:.0f} %)."
        )
    return " ".join(sentences)


def _figure(frame: pd.DataFrame) -> Figure:
    """Repeated errors against training size, a line for each part and each kind of labels.

    The LLM itself, which repeats all of them, is a dotted line.
    """
    figure = new_figure(6.5, 4.0)
    axes: Any = figure.subplots()
    seen = []
    for index, (part, rows) in enumerate(frame.groupby("part", sort=False)):
        of_llm = rows[rows["labels"] == LLM]
        lines = [(GOLD, of_llm["n_examples"], of_llm["repeated_gold"], "--")]
        for (labels, taught), style in zip(rows.groupby("labels", sort=False), "-:", strict=False):
            lines.append((str(labels), taught["n_examples"], taught["repeated"], style))
        mark, _, colour = look(1 - index)
        for title, sizes, shares, style in lines:
            axes.plot(
                sizes,
                100 * shares,
                marker=mark,
                linestyle=style,
                fillstyle="full" if style == "-" else "none",
                color=colour,
                label=f"{part}, {title}",
            )
            ends = f"{100 * shares.iloc[0]:.0f} to {100 * shares.iloc[-1]:.0f} %"
            seen.append(f"{part}, {title}: {ends}")
    axes.axhline(100, color="black", linewidth=0.8, linestyle=(0, (1, 3)), label="the LLM itself")
    axes.set_xscale("log")
    ticks = sorted(set(frame["n_examples"]))
    axes.set_xticks(ticks, [str(size) for size in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 103)
    axes.set_xlabel("training texts (logarithmic)")
    axes.set_ylabel("per cent of the LLM's errors repeated")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    caption = (
        "How many of the LLM's wrong test labels the classifiers repeat, against the number of "
        "training texts, by what they were trained on (soft: the LLM's probabilities)."
    )
    return Figure("zone_curve", picture(figure), caption, seen=f"{'; '.join(seen)}.")
