"""The confirmed zones of an experiment in other texts, at which human labels may be aimed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analysis.questions.zone_candidates import Zone, candidates, halves
from analysis.questions.zone_numbers import ANSWER_ENTROPY, numbers_of_answers
from analysis.questions.zone_search import (
    NUMBERS,
    LabelledTexts,
    Zones,
    find_zones,
    read_labelled,
)
from project.data.text_forms import folded_text
from project.stats.types import Codes, Floats, Mask
from project.support.errors import AssayError

if TYPE_CHECKING:
    import pandas as pd


class Aim(NamedTuple):
    """The confirmed zones of an experiment in other texts.

    Attributes
    ----------
    names
        The zones that can be told in these texts.
    within
        Which texts are in one of them, at least ``(n,)``.
    n_wrong, n
        Wrong labels and texts, outside of these zones and within them ``(2,)``, in the half of the
        experiment's texts that confirmed them.
    untold
        The other confirmed zones.
    """

    names: list[str]
    within: Mask
    n_wrong: Codes
    n: Codes
    untold: list[str]


class ZoneSource(NamedTuple):
    """An experiment with its texts and zones."""

    label_set: tuple[str, ...]
    labelled: LabelledTexts
    zones: Zones


@functools.lru_cache(maxsize=4)
def confirmed_zones(run_id: str) -> ZoneSource:
    """An experiment with a confirmed zone.

    Raises AssayError if it has none.
    """
    from analysis.store.experiment import read_experiment

    experiment = read_experiment(run_id)
    labelled = read_labelled(experiment)
    zones = find_zones(labelled, experiment.label_set, {})
    if not zones.confirmed:
        raise AssayError(
            f"zones must name an experiment with a confirmed zone; {run_id} has none: of "
            f"{zones.n_tried} that were tried {len(zones.zones)} stood out in one half of the "
            "texts, and the other half confirmed none. Name another run, or set design=audit or "
            "another arm, such as random."
        )
    return ZoneSource(experiment.label_set, labelled, zones)


def check_zones(run_id: str, label_set: Sequence[str]) -> None:
    """Raise AssayError unless an experiment has a confirmed zone, and these labels."""
    of_run = confirmed_zones(run_id).label_set
    if set(of_run) != set(label_set):
        raise AssayError(
            f"zones must name an experiment with the same labels, {', '.join(label_set)}; {run_id} "
            f"has {', '.join(of_run)}. Name another run."
        )


def aim_at(run_id: str, texts: Sequence[str], annotations: pd.DataFrame) -> Aim:
    """The confirmed zones of an experiment in other texts.

    Where a zone begins was decided by the experiment's first half. What stands in no text, as the
    draws and the demonstrations, is known of the experiment's own texts alone.

    Parameters
    ----------
    run_id
        The experiment.
    texts
        The texts ``(n,)``; they may be the experiment's own.
    annotations
        The LLM's answers to them ``(n,)``, an annotations table.

    Raises
    ------
    AssayError
        If the experiment has no confirmed zone, or none that can be told in these texts.
    """
    return aim_of(confirmed_zones(run_id), texts, annotations, run_id)


def aim_of(source: ZoneSource, texts: Sequence[str], annotations: pd.DataFrame, run_id: str) -> Aim:
    """:func:`aim_at` of zones that are found already, those of ``run_id``."""
    from project.data.tables import codes

    labelled = source.labelled
    llm = codes(annotations["label"], source.label_set)
    together = _together(source, texts, llm, annotations)
    by_name = {zone.name: zone.texts for zone in together.candidates}
    unknown = tuple(
        name for name, values in together.numbers.items() if np.isnan(values[llm >= 0]).any()
    )
    names, untold = [], []
    within = np.zeros(len(together.texts), dtype=bool)
    for one in source.zones.confirmed:
        rule = one.zone.rule or ((one.zone.name, True),)
        if all(name in by_name and not name.endswith(unknown) for name, _ in rule):
            names.append(one.zone.name)
            within |= np.all([by_name[name] == belongs for name, belongs in rule], axis=0)
        else:
            untold.append(one.zone.name)
    if not names:
        raise AssayError(
            f"zones must name an experiment with a zone that can be told in these texts; those of "
            f"{run_id} need what is known of its own texts alone: {', '.join(untold)}. Name "
            "another run."
        )
    second = ~halves(labelled.table["text"].astype(str).tolist())
    inside = within[: len(second)]
    parts = [second & ~inside, second & inside]
    return Aim(
        names,
        within[together.indices],
        np.array([labelled.wrong[part].sum() for part in parts]),
        np.array([part.sum() for part in parts]),
        untold,
    )


class _Together(NamedTuple):
    """The experiment's texts and, behind them, those that it lacks.

    ``indices`` ``(n,)``: where among them each of the other texts stands. ``numbers`` are those of
    the other texts alone ``(n,)``.
    """

    texts: list[str]
    indices: Codes
    numbers: dict[str, Floats]
    candidates: list[Zone]


def _together(
    source: ZoneSource, texts: Sequence[str], llm: Codes, annotations: pd.DataFrame
) -> _Together:
    """All candidates over the experiment's texts and others, each text once.

    Rare words and near-duplicates depend on all texts, so that no text may stand there twice.
    """
    labelled = source.labelled
    own = labelled.table["text"].astype(str).tolist()
    place: dict[str, int] = {}
    everything: list[str] = []
    for text in [*own, *texts]:
        key = folded_text(text).lower()
        if place.setdefault(key, len(everything)) == len(everything):
            everything.append(text)
    indices = np.array([place[folded_text(text).lower()] for text in texts], dtype=np.int64)
    # Texts of both have the label and the numbers of now, where these are known.
    labels = np.full(len(everything), -1, dtype=np.int64)
    labels[: len(own)] = labelled.llm
    labels[indices[llm >= 0]] = llm[llm >= 0]
    numbers = {}
    for name in NUMBERS:
        values = np.full(len(everything), np.nan)
        values[: len(own)] = labelled.numbers[name]
        if name == ANSWER_ENTROPY:
            of_now = numbers_of_answers([annotations], source.label_set)[name]
            known = ~np.isnan(of_now)
            values[indices[known]] = of_now[known]
        numbers[name] = values
    first = np.zeros(len(everything), dtype=bool)
    first[: len(own)] = halves(own)
    found = candidates(everything, labels, source.label_set, numbers, {}, first).zones
    return _Together(
        everything, indices, {name: values[indices] for name, values in numbers.items()}, found
    )
