"""Tables and the figure of zones: how many labels are wrong in each, and what is inherited."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analysis.questions.zone_search import Judged, LabelledTexts, Zones
from analysis.render.figures import look, new_figure, picture
from analysis.render.section import Figure, Table, columns
from analysis.render.text import listed, number, ranged, signed
from project.stats.bootstrap import Interval
from project.stats.types import Codes, Mask
from project.stats.zones import divided_loss, repeated

if TYPE_CHECKING:
    from analysis.store.experiment import Experiment

MIN_WRONG = 10
"""Fewest test texts with a wrong label of the LLM for what a classifier makes of a zone."""
_ELSEWHERE = "in none of them"
_EXAMPLES = 20
_SHOWN = 5
_NAME_WIDTH = 40  # characters of a line in the figure
_MAX_CHARACTERS = 300
_ZONES_NOTE = (
    "Zones are found on one half of the texts (p, found: the largest of all zones under "
    "permutations of the wrong labels; none for pairs, which a tree picks) and confirmed on the "
    "other half, from which the shares are (p: Fisher's exact test, more wrong within, adjusted by "
    "Holm). The limits hold for all rows at once. Zones overlap."
)
_INHERITED_NOTE = (
    "Test split. Of the texts that the LLM labels wrongly, per cent to which the trainings give "
    "the same wrong label: those on gold, where texts are hard, and those on the LLM's labels. "
    "lean: how much more often the latter give that label to texts of the same gold class that the "
    "LLM labels rightly. inherited: what they repeat more than gold-trained ones beyond that lean, "
    "with 95 % limits over texts, each row on its own. lost: points of accuracy that are lost on "
    "these texts, of the loss on all; of the texts: their part of all."
)


def zones_table(zones: Zones) -> Table:
    """The zones that stood out in the first half, and how they fared in the second."""
    import pandas as pd

    rows = []
    records = []
    for one in zones.zones:
        found = one.confirmed
        rows.append(
            [
                one.zone.name,
                str(found.n),
                number(100 * found.share),
                number(100 * found.share_outside),
                ranged(found.more, 100, 1, sign=True),
                _chance(one.p_found),
                _chance(found.p),
                "yes" if one.holds else "no",
            ]
        )
        records.append(
            {
                "zone": one.zone.name,
                "n": found.n,
                "n_wrong": found.n_wrong,
                "n_outside": found.n_outside,
                "n_wrong_outside": found.n_wrong_outside,
                **columns("more", found.more),
                "p_found": one.p_found,
                "p": found.p,
                "confirmed": one.holds,
            }
        )
    return Table(
        "zones",
        f"Zones that stood out, of {zones.n_tried}",
        ["zone", "texts", "wrong", "elsewhere", "more", "p, found", "p", "confirmed"],
        rows,
        frame=pd.DataFrame(records),
        notes=[_ZONES_NOTE],
        units=["", "second half", "%", "%", "points [limits]", "", "second half", ""],
    )


def notes_on_candidates(zones: Zones) -> list[str]:
    """One line that names the numbers without a candidate; empty if every number has one."""
    if not zones.unused:
        return []
    return [f"Unknown or alike in all texts, and so no zones: {listed(zones.unused, 30)}."]


def _chance(p: float) -> str:
    if math.isnan(p):
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def inheritance_table(
    experiment: Experiment, labelled: LabelledTexts, confirmed: Sequence[Judged]
) -> Table:
    """Whether classifiers repeat the LLM's errors within the zones and outside of all of them."""
    import pandas as pd

    tested = _tested(experiment, labelled)
    of_test = labelled.table["split"].to_numpy() == "test"
    zones = [(one.zone.name, one.zone.texts[of_test]) for one in confirmed]
    zones.append((_ELSEWHERE, ~np.any([zone for _, zone in zones], axis=0)))
    records = [
        _inherited(name, zone, tested)
        for name, zone in zones
        if (zone & tested.wrong).sum() >= MIN_WRONG
    ]
    rows = [
        [
            record["zone"],
            str(record["n_wrong"]),
            *(number(100 * record[name]) for name in ("repeated_gold", "repeated_llm", "lean")),
            ranged(_interval(record), 100, 1, sign=True),
            signed(100 * record["lost"]),
            f"{100 * record['share_of_texts']:.0f} %",
        ]
        for record in records
    ]
    lost = 100 * tested.lost
    return Table(
        "zones_inherited",
        f"What a classifier makes of them (in all it loses {lost:.1f} points of accuracy)",
        ["zone", "LLM wrong", "gold", "llm", "lean", "inherited", "lost", "of the texts"],
        rows,
        frame=pd.DataFrame(records),
        notes=[_INHERITED_NOTE],
        units=[
            *("", "test texts", "repeat, %", "repeat, %", "points"),
            *("points [limits]", "points", ""),
        ],
    )


class _Tested(NamedTuple):
    """Class codes of the test texts ``(n,)``, and of the trainings ``(n_seeds, n)``."""

    gold: Codes
    llm: Codes
    of_gold: Codes
    of_llm: Codes

    @property
    def wrong(self) -> Mask:
        """Which texts have a wrong label of the LLM ``(n,)``; no label is none that is repeated."""
        return (self.llm != self.gold) & (self.llm >= 0)

    @property
    def lost(self) -> float:
        """Accuracy that is lost by training on the LLM's labels."""
        return float((self.of_gold == self.gold).mean() - (self.of_llm == self.gold).mean())


def _tested(experiment: Experiment, labelled: LabelledTexts) -> _Tested:
    """The test texts that have both labels."""
    import pandas as pd

    of_test = labelled.table["split"].to_numpy() == "test"
    ids = labelled.table.loc[of_test, "example_id"]
    order = pd.Index(experiment.test["example_id"]).get_indexer(ids)
    predicted = [experiment.arms[arm].predicted[:, order] for arm in ("gold", "llm")]
    return _Tested(labelled.gold[of_test], labelled.llm[of_test], *predicted)


def _inherited(name: str, zone: Mask, tested: _Tested) -> dict[str, Any]:
    """One row of :func:`inheritance_table`."""
    arms = (tested.of_gold, tested.of_llm)
    found = repeated(zone, tested.gold, tested.llm, *arms)
    right = [(arm == tested.gold).mean(axis=0) for arm in arms]
    return {
        "zone": name,
        "n_wrong": found.n,
        "repeated_gold": found.reference,
        "repeated_llm": found.trained,
        "lean": found.lean,
        **columns("inherited", found.inherited),
        "lost": divided_loss(zone, *right).within,
        "share_of_texts": float(zone.mean()),
    }


def _interval(record: dict[str, Any]) -> Interval:
    return Interval(record["inherited"], record["inherited_low"], record["inherited_high"])


def inheritance_sentence(table: Table) -> str:
    """In which zones a classifier repeats the LLM's errors."""
    found = table.frame
    if found.empty:
        return "None of them has enough test texts to say what a classifier makes of it."
    within = found[found["zone"] != _ELSEWHERE]
    names = within.loc[within["inherited_low"] > 0, "zone"].tolist()
    if not names:
        return "It is not measurable that a classifier inherits their errors."
    return f"A classifier inherits the errors of {listed(names)}."


def examples_table(
    experiment: Experiment, labelled: LabelledTexts, confirmed: Sequence[Judged]
) -> Table:
    """Texts of each confirmed zone with a wrong label: the shortest, which are read fastest."""
    import pandas as pd

    table = labelled.table
    n_characters = table["text"].str.len().to_numpy()
    records, rows = [], []
    for one in confirmed:
        chosen = np.flatnonzero(one.zone.texts & labelled.wrong & (labelled.llm >= 0))
        shortest = chosen[np.argsort(n_characters[chosen], kind="stable")][:_EXAMPLES]
        for position, index in enumerate(shortest):
            text = str(table["text"].iloc[index])
            records.append(
                {
                    "text": text[:_MAX_CHARACTERS] + ("..." if len(text) > _MAX_CHARACTERS else ""),
                    "gold": experiment.label_set[labelled.gold[index]],
                    "LLM": experiment.label_set[labelled.llm[index]],
                    "zone": one.zone.name,
                }
            )
            if position < _SHOWN:
                rows.append([str(value) for value in records[-1].values()])
    frame = pd.DataFrame(records, columns=["text", "gold", "LLM", "zone"])
    return Table(
        "zones_examples",
        "Wrong labels in the confirmed zones",
        list(frame.columns),
        rows,
        frame=frame,
        notes=[
            f"The {_SHOWN} shortest texts of each zone that the LLM labels wrongly; the CSV file "
            f"has {_EXAMPLES}."
        ],
        folded=True,
    )


def zones_figure(zones: Sequence[Judged]) -> Figure:
    """The share of wrong labels within each zone and elsewhere, in the second half."""
    names = [textwrap.fill(one.zone.name, _NAME_WIDTH) for one in reversed(zones)]
    n_lines = sum(name.count("\n") + 2 for name in names)
    figure = new_figure(7.5, 1.2 + 0.24 * n_lines)
    axes: Any = figure.subplots()
    within, _, colour = look(1)
    outside, _, other = look(0)
    for row, one in enumerate(reversed(zones)):
        shares = (100 * one.confirmed.share_outside, 100 * one.confirmed.share)
        axes.plot(shares, [row, row], color="#999999", linewidth=1, zorder=1)
        is_first = row == len(zones) - 1
        axes.plot(
            shares[1],
            row,
            within,
            color=colour,
            markersize=7,
            fillstyle="full" if one.holds else "none",
            label="within the zone (filled: confirmed)" if is_first else None,
        )
        axes.plot(shares[0], row, outside, color=other, label="elsewhere" if is_first else None)
    axes.set_yticks(range(len(zones)), names)
    axes.set_ylim(-0.5, len(zones) - 0.5)
    axes.set_xlabel("per cent of the LLM's labels that are wrong")
    axes.set_xlim(left=0)
    axes.margins(x=0.08)
    axes.grid(alpha=0.3, axis="x")
    axes.spines[["top", "right"]].set_visible(False)
    seen = "; ".join(
        f"{one.zone.name}: {100 * one.confirmed.share:.0f} % within, "
        f"{100 * one.confirmed.share_outside:.0f} % elsewhere"
        for one in zones
    )
    caption = (
        "How many of the LLM's labels are wrong within each zone that stood out, and elsewhere."
    )
    return Figure("zones_shares", picture(figure), caption, seen=f"{seen}.")
