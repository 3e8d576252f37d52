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
from analysis.questions.zone_tables import MIN_WRONG, zones_table
from analysis.render.figures import look, new_figure, picture
from analysis.render.section import Figure, Section, Table, columns
from analysis.render.text import listed, number, ranged
from project.config.arms import GOLD, LLM
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
    "wrong label; mean over the seeds. lean: how much more often those of the LLM's labels give it "
    "to texts of the same gold class that the LLM labels rightly. inherited: what they repeat more "
    "than gold-trained ones beyond that lean, with 95 % limits over texts, each row on its own."
)
_PARTS = ("within the zones", "outside")


class _Point(NamedTuple):
    """The trainings of one size: those on gold and those on the LLM's labels."""

    size: int
    gold: Replicates
    llm: Replicates


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
    return Section("zone_curve", QUESTION, _answer(zones, frame), tables, [_figure(frame)])


def _points(stored: StoredRun) -> list[_Point]:
    """The sizes at which both arms are complete, from small to large."""
    from analysis.store.replicates import complete_replicates

    sizes = [int(size) for size in stored.config["design"]["sizes"]]
    names = {f"{arm} n={size}": (arm, size) for arm in (GOLD, LLM) for size in sizes}
    seeds = int(stored.config["config"]["finetune"]["seeds"])
    complete, _ = complete_replicates(
        stored,
        dict.fromkeys(names, seeds),
        lambda run: f"{run.params['arm']} n={run.params['n_examples']}",
    )
    points = [
        _Point(size, complete[f"{GOLD} n={size}"], complete[f"{LLM} n={size}"])
        for size in sorted(sizes)
        if {f"{GOLD} n={size}", f"{LLM} n={size}"} <= set(complete)
    ]
    if not points:
        raise AssayError(
            f"run {stored.root.run_id} has no size at which the arms gold and llm are complete. "
            "Run the curve with arms=gold,llm."
        )
    return points


def _rows(
    stored: StoredRun, labelled: LabelledTexts, zones: Zones, points: Sequence[_Point]
) -> pd.DataFrame:
    """One row for each size and part: within the zones, if any was confirmed, and outside."""
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
            arms = (point.gold.predicted[:, order], point.llm.predicted[:, order])
            found = repeated(texts, gold, llm, *arms)
            rows.append(
                {
                    "part": part,
                    "n_examples": point.size,
                    "n_wrong": found.n,
                    "repeated_gold": found.reference,
                    "repeated_llm": found.trained,
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
    """One row for each part and size."""
    rows = []
    for row in frame.to_dict("records"):
        inherited = Interval(row["inherited"], row["inherited_low"], row["inherited_high"])
        rows.append(
            [
                row["part"],
                str(row["n_examples"]),
                str(row["n_wrong"]),
                number(100 * row["repeated_gold"]),
                number(100 * row["repeated_llm"]),
                number(100 * row["lean"]),
                ranged(inherited, 100, 1, sign=True),
            ]
        )
    return Table(
        "zone_curve",
        "Repeated errors by training size",
        ["texts", "n", "LLM wrong", "gold", "llm", "lean", "inherited"],
        rows,
        frame=frame,
        notes=[_NOTE],
        units=["", "", "test texts", "repeat, %", "repeat, %", "points", "points [limits]"],
    )


def _answer(zones: Zones, frame: pd.DataFrame) -> str:
    """How the share of repeated errors moves from the smallest size to the largest."""
    names = [one.zone.name for one in zones.confirmed]
    first = f"Confirmed zones: {listed(names)}." if names else "No zone was confirmed."
    sentences = [first]
    for part, rows in frame.groupby("part", sort=False):
        small, large = rows.iloc[0], rows.iloc[-1]
        sentences.append(
            f"{str(part).capitalize()}, classifiers of the LLM's labels repeat "
            f"{100 * small['repeated_llm']:.0f} % of its errors with {small['n_examples']} texts "
            f"and {100 * large['repeated_llm']:.0f} % with {large['n_examples']} (gold-trained "
            f"ones {100 * small['repeated_gold']:.0f} and {100 * large['repeated_gold']:.0f} %)."
        )
    return " ".join(sentences)


def _figure(frame: pd.DataFrame) -> Figure:
    """Repeated errors against training size, a line for each part and each kind of labels."""
    figure = new_figure(6.5, 4.0)
    axes: Any = figure.subplots()
    seen = []
    for part_index, (part, rows) in enumerate(frame.groupby("part", sort=False)):
        for column, title, dashed in (
            ("repeated_llm", "LLM-trained", False),
            ("repeated_gold", "gold-trained", True),
        ):
            mark, _, colour = look(1 - part_index)
            shares = 100 * rows[column]
            axes.plot(
                rows["n_examples"],
                shares,
                marker=mark,
                linestyle="--" if dashed else "-",
                fillstyle="none" if dashed else "full",
                color=colour,
                label=f"{part}, {title}",
            )
            seen.append(f"{part}, {title}: {shares.iloc[0]:.0f} to {shares.iloc[-1]:.0f} %")
    axes.set_xscale("log")
    sizes = sorted(set(frame["n_examples"]))
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(0, 100)
    axes.set_xlabel("training texts (logarithmic)")
    axes.set_ylabel("per cent of the LLM's errors repeated")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    caption = (
        "How many of the LLM's wrong test labels the classifiers repeat, against the number of "
        "training texts."
    )
    return Figure("zone_curve", picture(figure), caption, seen=f"{'; '.join(seen)}.")
